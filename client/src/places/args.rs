//! Options that describe a host, as the command line has them.

use std::{path::PathBuf, time::Duration};

use clap::{ArgGroup, ValueHint};

use crate::duration::parse_timeout;

/// The options for connecting to a host.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
pub struct ConnectionArgs {
    /// Host name or IP address of the host
    #[arg(long, value_name = "HOST", global = true, value_hint = ValueHint::Hostname)]
    pub address: Option<String>,

    /// Port of the host [default: 5000]
    #[arg(long, global = true, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,

    /// Connect over TLS; types l and i do so by default
    #[arg(long, global = true)]
    pub tls: bool,

    /// Connect without TLS: anyone on the network path can read and change everything
    #[arg(long, global = true)]
    pub plain: bool,

    /// Fingerprint that the host's certificate must have, as `host fingerprint` shows it
    #[arg(long, value_name = "SHA256:..", global = true)]
    pub fingerprint: Option<String>,

    /// PEM file with the host's certificate, or with that of the authority that signed it
    #[arg(long, value_name = "FILE", global = true, value_hint = ValueHint::FilePath)]
    pub ca: Option<PathBuf>,

    /// Key to log in with; other users of this machine may see it, unlike --key-file
    #[arg(long, value_name = "KEY", global = true)]
    pub key: Option<String>,

    /// File with the key to log in with
    #[arg(long, value_name = "FILE", global = true, value_hint = ValueHint::FilePath)]
    pub key_file: Option<PathBuf>,

    /// Settings file, instead of dropin/client.toml in your configuration directory
    #[arg(long, value_name = "FILE", global = true, value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,

    /// End when the connection is lost; by default a prompt connects again
    #[arg(long, global = true)]
    pub no_reconnect: bool,

    /// Time limit for connecting to each address of the host; fractions are allowed
    #[arg(
        long,
        value_name = "SECONDS",
        global = true,
        default_value = "5",
        value_parser = parse_timeout
    )]
    pub connect_timeout: Duration,

    /// Time limit for each reply [default: none]
    #[arg(long, value_name = "SECONDS", global = true, value_parser = parse_timeout)]
    pub timeout: Option<Duration>,
}

/// The arguments of `client add`.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(group = ArgGroup::new("location").args(["same", "lan", "internet"]).required(true))]
pub struct NewPlace {
    /// Name of the place: letters, digits, '-', '_' and '.'
    pub name: String,

    /// The host is on this machine
    #[arg(long)]
    pub same: bool,

    /// The host is on the same LAN, at this address
    #[arg(long, value_name = "HOST", value_hint = ValueHint::Hostname)]
    pub lan: Option<String>,

    /// The host is on the internet, at this address
    #[arg(long, value_name = "HOST", value_hint = ValueHint::Hostname)]
    pub internet: Option<String>,

    /// Replace the place that has this name
    #[arg(long)]
    pub replace: bool,
}
