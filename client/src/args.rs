//! The command line.

use clap::{Parser, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Sends commands to a Dropin host and shows the replies.
///
/// Without a command, the client takes commands until `close` or Ctrl-D; commands can also come
/// from a pipe, one a line. A line is split as in a shell: "a b" and 'a b' are one argument.
#[derive(Debug, Parser)]
#[command(name = "client", version, max_term_width = 100, after_long_help = AFTER_HELP)]
pub struct Args {
    /// Where the host is; asked for when left out at a terminal
    #[arg(value_name = "TYPE", value_enum)]
    pub place: Option<Place>,

    /// A command to run, then exit; everything after its name is passed on as it stands
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<OsString>,

    /// Host name or IP address of the host
    #[arg(long, value_name = "HOST")]
    pub address: Option<String>,

    /// Port of the host [default: 5000]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,

    /// Connect over TLS; types l and i do so anyway
    #[arg(long, conflicts_with = "plain")]
    pub tls: bool,

    /// Connect without TLS: others on the way can read and change everything
    #[arg(long)]
    pub plain: bool,

    /// The fingerprint that the host's certificate must have, as `host fingerprint` shows it
    #[arg(long, value_name = "SHA256:..", conflicts_with_all = ["ca", "plain"])]
    pub fingerprint: Option<String>,

    /// A file (PEM) with the certificate that the host's own must be, or be vouched for by
    #[arg(long, value_name = "FILE", conflicts_with = "plain")]
    pub ca: Option<PathBuf>,

    /// The key that lets you in; other users of this machine may see it, unlike --key-file
    #[arg(long, value_name = "KEY", conflicts_with = "key_file")]
    pub key: Option<String>,

    /// A file with the key that lets you in
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,

    /// Settings file, instead of dropin/client.toml in your configuration directory
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// End when the connection is lost, instead of connecting again; only a prompt does that
    #[arg(long)]
    pub no_reconnect: bool,

    /// How long to try each address of the host; fractions are allowed
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub connect_timeout: Duration,

    /// How long to wait for a reply [default: as long as it takes]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Option<Duration>,
}

/// Where the host is, seen from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Place {
    /// Same machine
    #[value(name = "s", alias = "same")]
    Same,
    /// Same LAN
    #[value(name = "l", alias = "lan")]
    Lan,
    /// Internet
    #[value(name = "i", alias = "internet")]
    Internet,
}

const AFTER_HELP: &str = "\
Examples:
  client                                 ask for the connection type, then take commands
  client s                               take commands for the host on this machine
  client s echo hello                    run one command and exit
  client l --address 192.168.1.20        the host at that address of the LAN
  client i --address example.org time    one command for a host on the internet
  client s < commands.txt                run the commands of a file, one a line

The address comes from --address, else DROPIN_LAN_ADDRESS (l) or
DROPIN_INTERNET_ADDRESS (i), else DROPIN_ADDRESS, else the settings file,
else it is asked for at a terminal. Type s is this machine, unless
--address or the settings file says otherwise. The port comes from --port,
else DROPIN_PORT, else the settings file. DROPIN_CONFIG names a settings
file as --config does.

The key comes from --key or --key-file, else DROPIN_KEY, else the settings
file. The host's fingerprint is kept at first sight, in known_hosts beside the
settings file, and a changed one is refused.

Settings file (every line is optional):
  port = 5000
  [same]
  port = 5001
  [lan]
  address = \"192.168.1.20\"
  [internet]
  address = \"example.org\"
  key = \"3f9a...\"

At a prompt: Tab completes, Ctrl-R searches the history, Ctrl-C cancels what
runs, COMMAND | PROGRAM pipes the reply. Long replies go through PAGER, else
less; NO_COLOR leaves colours out; DROPIN_HISTORY names the history's file, and
none is kept when it is empty.

Exit code: 0 worked, 1 a command failed, 2 no connection or bad usage.";

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse::<f64>()
        .ok()
        .and_then(|number| Duration::try_from_secs_f64(number).ok())
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "give a number of seconds above 0, such as 5 or 0.5".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn command_arguments_are_taken_verbatim() {
        let args = Args::parse_from([
            "client", "s", "--port", "6000", "echo", "-n", "--help", "--", "--port",
        ]);
        assert_eq!(args.place, Some(Place::Same));
        assert_eq!(args.port, Some(6000));
        assert_eq!(args.command, ["echo", "-n", "--help", "--", "--port"]);
    }

    #[test]
    fn timeouts_take_fractions_and_refuse_nonsense() {
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        for text in ["0", "-1", "nan", "inf", "soon", "1e300", ""] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn nonsense_types_and_ports_are_refused() {
        for bad in [["client", "x"], ["client", "--port=0"], ["client", "--port=70000"]] {
            assert!(Args::try_parse_from(bad).is_err(), "{bad:?}");
        }
    }
}
