//! The flags that say who may come in.

use std::{path::PathBuf, time::Duration};

use auth::trust::Trust;

use super::units::seconds;

/// Who may come in.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Who may come in")]
pub struct AccessArgs {
    /// Whose commands are run without a key, by where a client is.
    #[arg(long, env = "DROPIN_TRUST", value_name = "WHOM", value_enum,
          default_value_t = Trust::Loopback)]
    pub trust: Trust,

    /// A certificate for TLS (PEM), instead of the one that the host makes itself.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// The certificate's private key (PEM), which others must not be able to read.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// How long a client may take to agree on TLS, and one that is not trusted to present its key, in
    /// seconds.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub login_timeout: Duration,
}
