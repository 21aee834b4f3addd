//! The options of the command line, and the tasks besides talking to a host.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{ArgGroup, Parser, Subcommand, ValueHint};
use clap_complete::Shell;

use crate::{
    error::Error,
    program,
    units::{Repeat, interval, seconds},
};

/// Sends commands to a Dropin host and shows the replies.
///
/// Without a command it takes them one by one until `close` or Ctrl-D; commands can also come
/// from a pipe or a file, one a line. A line is split as in a shell: "a b" and 'a b' are one
/// argument. The name of a place that `client add` made stands for a TYPE as well. Options stand before the TYPE or directly behind it; everything after the name of the
/// command belongs to the command.
#[derive(Debug, Parser)]
#[command(name = "client", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(subcommand_help_heading = "Types and tasks", subcommand_value_name = "TYPE")]
pub struct Line {
    #[command(flatten)]
    pub connection: Connection,
    #[command(flatten)]
    pub output: Output,
    #[command(flatten)]
    pub script: Script,
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

/// How to reach a host.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
pub struct Connection {
    /// Host name or IP address of the host
    #[arg(long, value_name = "HOST", global = true, value_hint = ValueHint::Hostname)]
    pub address: Option<String>,

    /// Port of the host [default: 5000]
    #[arg(long, global = true, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,

    /// Connect over TLS; types l and i do so anyway
    #[arg(long, global = true)]
    pub tls: bool,

    /// Connect without TLS: others on the way can read and change everything
    #[arg(long, global = true)]
    pub plain: bool,

    /// The fingerprint that the host's certificate must have, as `host fingerprint` shows it
    #[arg(long, value_name = "SHA256:..", global = true)]
    pub fingerprint: Option<String>,

    /// A file (PEM) with the certificate that the host's own must be, or be vouched for by
    #[arg(long, value_name = "FILE", global = true, value_hint = ValueHint::FilePath)]
    pub ca: Option<PathBuf>,

    /// The key that lets you in; other users of this machine may see it, unlike --key-file
    #[arg(long, value_name = "KEY", global = true)]
    pub key: Option<String>,

    /// A file with the key that lets you in
    #[arg(long, value_name = "FILE", global = true, value_hint = ValueHint::FilePath)]
    pub key_file: Option<PathBuf>,

    /// Settings file, instead of dropin/client.toml in your configuration directory
    #[arg(long, value_name = "FILE", global = true, value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,

    /// End when the connection is lost, instead of connecting again; only a prompt does that
    #[arg(long, global = true)]
    pub no_reconnect: bool,

    /// How long to try each address of the host; fractions are allowed
    #[arg(long, value_name = "SECONDS", global = true, default_value = "5", value_parser = seconds)]
    pub connect_timeout: Duration,

    /// How long to wait for a reply [default: as long as it takes]
    #[arg(long, value_name = "SECONDS", global = true, value_parser = seconds)]
    pub timeout: Option<Duration>,
}

/// How replies are shown.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub struct Output {
    /// Each reply as one line of JSON, errors too, all on standard output
    #[arg(long, global = true)]
    pub json: bool,

    /// Each reply as rows of comma-separated values, a list of maps with a header
    #[arg(long, global = true)]
    pub csv: bool,

    /// Each reply as plain bytes, also at a terminal; so it is anyway where a file or program reads
    #[arg(long, global = true)]
    pub raw: bool,

    /// Say nothing on standard error but errors
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

/// What scripts need.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Scripts")]
pub struct Script {
    /// Run the commands in FILE, one a line, instead of those from a pipe; - is standard input
    #[arg(long, short, value_name = "FILE", global = true, value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,

    /// Give the command all of standard input as its last argument, byte for byte
    #[arg(short = 'x', global = true)]
    pub last_argument: bool,

    /// Run the command N times in one session; -1 is until it is interrupted
    #[arg(long, short, value_name = "N", global = true, allow_hyphen_values = true)]
    pub repeat: Option<Repeat>,

    /// Wait that long between repetitions [default: 0; 0.01 with --latency]
    #[arg(long, short, value_name = "SECONDS", global = true, value_parser = interval)]
    pub interval: Option<Duration>,

    /// Measure how long PING takes to be answered, until Ctrl-C or N times, in milliseconds
    #[arg(long, global = true)]
    pub latency: bool,
}

/// What the client does: talks to a host of one of three types, or a task of its own.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Talk to the host on this machine
    #[command(name = "s", visible_alias = "same")]
    Same(Words),

    /// Talk to a host on the same LAN
    #[command(name = "l", visible_alias = "lan")]
    Lan(Words),

    /// Talk to a host on the internet
    #[command(name = "i", visible_alias = "internet")]
    Internet(Words),

    /// Name a place in the settings file, so that `client NAME` talks to the host there
    ///
    /// The options --port, --tls, --plain, --fingerprint, --ca, --key-file and --key are kept with it.
    Add(NewPlace),

    /// Take a named place out of the settings file
    Remove {
        /// The name of the place
        name: String,
    },

    /// List the named places
    Places,

    /// Print what makes a shell complete the client's options and places
    Completion {
        /// The shell
        shell: Shell,
    },

    /// Print the client's manual page
    Man,

    /// A named place, and what stands behind it.
    #[command(external_subcommand)]
    Named(Vec<OsString>),
}

/// What stands behind a type.
#[derive(Debug, clap::Args)]
pub struct Words {
    /// A command to run, then exit; everything after its name is passed on as it stands
    #[arg(value_name = "COMMAND", trailing_var_arg = true)]
    pub command: Vec<OsString>,
}

/// A place that gets a name.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(group = ArgGroup::new("whereabouts").args(["same", "lan", "internet"]).required(true))]
pub struct NewPlace {
    /// Its name: letters, digits, '-', '_' and '.'
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

    /// Take the name from the place that has it now
    #[arg(long)]
    pub replace: bool,
}

impl Line {
    /// Refuses options that do not go together, wherever they stand.
    pub fn check(&self, command: Option<&[OsString]>) -> Result<(), Error> {
        let Connection { tls, plain, fingerprint, ca, key, key_file, .. } = &self.connection;
        let Output { json, csv, raw, .. } = self.output;
        let Script { file, last_argument, repeat, interval, latency } = &self.script;
        let (file, repeat, latency) = (file.is_some(), repeat.is_some(), *latency);
        let runs = command.is_some_and(|command| !command.is_empty());
        for (both, one, other) in [
            (json && csv, "--json", "--csv"),
            (json && raw, "--json", "--raw"),
            (csv && raw, "--csv", "--raw"),
            (*tls && *plain, "--tls", "--plain"),
            (*plain && fingerprint.is_some(), "--plain", "--fingerprint"),
            (*plain && ca.is_some(), "--plain", "--ca"),
            (fingerprint.is_some() && ca.is_some(), "--fingerprint", "--ca"),
            (key.is_some() && key_file.is_some(), "--key", "--key-file"),
            (*last_argument && file, "-x", "--file"),
            (latency && file, "--latency", "--file"),
            (latency && *last_argument, "--latency", "-x"),
            (latency && runs, "--latency", "a command"),
            (file && runs, "--file", "a command"),
        ] {
            if both {
                return Err(Error::Usage(format!(
                    "{one} and {other} exclude each other; leave out one of them"
                )));
            }
        }
        for (wrong, message) in [
            (*last_argument && !runs, "-x needs a command, as in `client s -x set key`"),
            (
                repeat && !runs && !latency,
                "--repeat needs a command to repeat, as in `client s -r 3 incr n`, or --latency",
            ),
            (
                interval.is_some() && !repeat && !latency,
                "--interval stands with --repeat or --latency; add one of them",
            ),
        ] {
            if wrong {
                return Err(Error::Usage(program::spelled(message)));
            }
        }
        Ok(())
    }
}
