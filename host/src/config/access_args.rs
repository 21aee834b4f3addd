//! The flags that control access.

use std::{path::PathBuf, time::Duration};

use auth::trust::Trust;

use super::units::seconds;

/// The access rules for clients.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Access")]
pub struct AccessArgs {
    /// The clients that need no key, by their address.
    #[arg(long, env = "DROPIN_TRUST", value_name = "WHOM", value_enum,
          default_value_t = Trust::Loopback)]
    pub trust: Trust,

    /// The certificate for TLS (PEM). Default: one that the host makes itself.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// The certificate's private key (PEM). Other users must not be able to read it.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// The longest time that a TLS handshake may take, and the time in which a client that is not
    /// trusted must log in, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub login_timeout: Duration,
}
