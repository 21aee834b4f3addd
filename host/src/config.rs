//! Flags and environment, resolved once.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use clap::{Parser, Subcommand};

use crate::wire::Limits;

/// The lowest port that the host takes: those below are the system's.
pub const LOWEST_PORT: u16 = 1024;

const AFTER_HELP: &str = "\
Exit status: 0 after an orderly end, 1 when the host cannot start, 2 on wrong usage, 3 when a worker \
outlasted the grace and the host ended without it.

Examples:
  host --port 5000 --plugins ./plugins
  host --bind 127.0.0.1 --bind ::1
  host check target/release/libtext.so";

/// A command server that is extended by dropping a library into a folder.
#[derive(Debug, Parser)]
#[command(name = "host", version, after_help = AFTER_HELP)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub action: Option<Action>,

    /// How to serve.
    #[command(flatten)]
    pub serve: Serve,
}

/// What the program does besides serving.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Probe one plugin library, in a process of its own, and print what it offers.
    ///
    /// Exit status: 0 when the host would load it, 1 when it would not.
    Check {
        /// The library.
        file: PathBuf,
        /// How long the library may take, in seconds.
        #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
        probe_timeout: Duration,
    },
    /// The throwaway process of a probe. The host starts it itself.
    #[command(hide = true)]
    Probe {
        /// The library.
        file: PathBuf,
        /// Where the verdict is written.
        verdict: PathBuf,
    },
}

/// The flags of a serving host.
#[derive(Clone, Debug, clap::Args)]
pub struct Serve {
    /// The port to serve on: 1024 to 65535, or 0 for any that is free.
    #[arg(long, env = "DROPIN_PORT", default_value_t = 5000, value_parser = port)]
    pub port: u16,

    /// The folder that plugins are dropped into.
    #[arg(long, env = "DROPIN_PLUGINS", value_name = "DIR", default_value = "./plugins")]
    pub plugins: PathBuf,

    /// An address to serve on, instead of all; may be given more than once.
    #[arg(long, value_name = "ADDR")]
    pub bind: Vec<IpAddr>,

    /// Where the host keeps what outlives it. Default: `dropin` in the user's state directory.
    #[arg(long, env = "DROPIN_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// How long running workers may take to finish when the host ends, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub grace: Duration,

    /// How changes in the plugins folder are noticed: `notify` by the system's word, `poll` by
    /// looking, for network file systems.
    #[arg(long, value_name = "HOW", value_enum, default_value_t = WatchMode::Notify)]
    pub watch: WatchMode,

    /// How long the running calls of a plugin that hands its state over may take to finish, and
    /// how long its saving and restoring may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub handover_timeout: Duration,

    /// How long a plugin may take to prove itself before it is loaded, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub probe_timeout: Duration,

    /// The longest argument, and the longest line, in bytes (K, M and G are understood).
    #[arg(long, value_name = "BYTES", default_value = "1M", value_parser = size)]
    pub max_argument: usize,

    /// The most arguments of one request, its command's name included.
    #[arg(long, value_name = "COUNT", default_value_t = 65_536,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub max_arguments: u32,

    /// The longest request, in bytes (K, M and G are understood).
    #[arg(long, value_name = "BYTES", default_value = "64M", value_parser = size)]
    pub max_request: usize,

    /// How long a client may be silent before the system asks whether it is still there, in
    /// seconds; 0 never asks.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub keepalive: Duration,

    /// How long a client may leave its replies unread before its session is closed, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub write_timeout: Duration,

    /// What is logged: error, warn, info, debug or trace.
    #[arg(long, env = "DROPIN_LOG", value_name = "LEVEL", default_value = "info")]
    pub log_level: log::LevelFilter,
}

/// How changes in the plugins folder are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum WatchMode {
    /// By the system's word.
    Notify,
    /// By looking.
    Poll,
}

impl Serve {
    /// The bounds of a request.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits {
            argument: self.max_argument,
            arguments: self.max_arguments as usize,
            request: self.max_request,
        }
    }

    /// Where the host keeps what outlives it.
    #[must_use]
    pub fn state_root(&self) -> Option<PathBuf> {
        self.state_dir.clone().or_else(|| {
            let user = dirs::state_dir().or_else(dirs::data_local_dir)?;
            Some(user.join("dropin"))
        })
    }
}

fn port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(port) if port == 0 || port >= LOWEST_PORT => Ok(port),
        Ok(port) => Err(format!(
            "port {port} is one of the system's own (1 to 1023); choose one from 1024 to 65535"
        )),
        Err(_) => Err("a port is a number from 1024 to 65535".into()),
    }
}

/// The longest time that a flag may name: a day over which a clock's sum cannot run over.
const LONGEST: f64 = 366.0 * 86_400.0;

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=LONGEST).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("a time is a number of seconds, at most a year, such as 5 or 0.5".into()),
    }
}

/// The largest size that a flag may name: places in a request are 32-bit numbers.
const LARGEST: u64 = 1 << 31;

fn size(text: &str) -> Result<usize, String> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1 << 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1 << 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1_u64),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|count| count.checked_mul(unit))
        .filter(|bytes| (1..=LARGEST).contains(bytes))
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or_else(|| "a size is a number of bytes, at most 2G, such as 4096, 64K or 1M".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_the_system_are_refused() {
        assert_eq!(port("1024"), Ok(1024));
        assert_eq!(port("65535"), Ok(65535));
        assert_eq!(port("0"), Ok(0));
        for text in ["1", "80", "1023", "65536", "-1", "", "http"] {
            assert!(port(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_take_units() {
        assert_eq!(size("1"), Ok(1));
        assert_eq!(size("64K"), Ok(65_536));
        assert_eq!(size("1m"), Ok(1 << 20));
        assert_eq!(size("2G"), Ok(1 << 31));
        for text in ["0", "", "K", "-1", "3G", "1T", "99999999999999999999G"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_bounded_and_finite() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["-1", "nan", "inf", "1e300", "soon"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }
}
