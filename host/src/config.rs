//! Flags, environment and settings file, resolved once.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::{Parser, Subcommand};

mod access_args;
mod advice;
mod bounds;
mod dev;
mod file;
mod key_action;
mod logs;
mod place;
mod plugin_trust;
mod resolve;
mod units;
mod variables;

use self::units::seconds;
pub use self::{
    access_args::AccessArgs,
    bounds::Bounds,
    dev::Dev,
    file::FileError,
    key_action::KeyAction,
    logs::{LogFormat, Logs},
    place::{ConfigPlace, StatePlace},
    plugin_trust::PluginTrust,
    resolve::{Origin, ResolveError, Resolved, Setting, command, resolve},
    units::Share,
    variables::misspelt,
};

/// The lowest port that the host takes: those below are the system's.
pub const LOWEST_PORT: u16 = 1024;

/// The help's headings.
const SERVING: &str = "Serving";
const PLUGINS: &str = "Plugins";
const REPORTS: &str = "Logs and metrics";

const AFTER_HELP: &str = "\
Every flag of a serving host is also a key of the settings file (`port = 5001`, `bind = [\"::1\"]`) and an \
environment variable: DROPIN_ and its name, in capitals and with underscores (DROPIN_MAX_SESSIONS), \
unless another is named above. A flag wins over the environment, the environment over the file. \
`host config` prints what is in force, and where it comes from.

Exit status: 0 after an orderly end with every state saved, 1 when the host cannot start, 2 on wrong \
usage, 3 when a worker outlasted the grace and the host ended without it, or a second signal ended it \
at once, 4 when the state of a plugin could not be saved, whatever else happened, 70 when a plugin \
called `exit`.

Examples:
  host --port 5000 --plugins ./plugins
  host --bind 127.0.0.1 --bind ::1
  host check target/release/libtext.so
  host dev plugins/text --port 5001";

/// A command server that is extended by dropping a library into a folder.
#[derive(Debug, Parser)]
#[command(name = "host", version, after_help = AFTER_HELP)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub action: Option<Action>,

    /// Where the settings file is.
    #[command(flatten)]
    pub settings: ConfigPlace,

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
        /// Which libraries are taken.
        #[command(flatten)]
        trust: PluginTrust,
        /// Where the settings file is.
        #[command(flatten)]
        settings: ConfigPlace,
    },
    /// Print how the host would serve, as a settings file, and where each value comes from.
    Config {
        /// Where the settings file is.
        #[command(flatten)]
        settings: ConfigPlace,
        /// How to serve.
        #[command(flatten)]
        serve: Box<Serve>,
    },
    /// Serve a plugin that is being written: build it, serve it, and do so again at every save.
    ///
    /// The first build may take a while. A build that fails leaves the version before serving, and so
    /// does a library that is refused; state is handed over as at any reload.
    Dev(Dev),
    /// Make, show and revoke keys, with which those log in who are not trusted.
    #[command(subcommand)]
    Key(KeyAction),
    /// Print the fingerprint of the host's certificate, for comparing it at a client.
    Fingerprint {
        /// The certificate that the host is given by its own --tls-cert.
        #[arg(long, value_name = "FILE")]
        tls_cert: Option<PathBuf>,
        /// Where the host keeps the one that it made itself.
        #[command(flatten)]
        place: StatePlace,
    },
    /// Print what a shell needs to complete this program's command line.
    ///
    /// For bash: `host completion bash > ~/.local/share/bash-completion/completions/host`
    Completion {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page; to read it: `host man | man -l -`
    Man {
        /// Write it into this directory, with a page for each subcommand, instead of printing it.
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
    },
    /// The throwaway process of a probe. The host starts it itself.
    #[command(hide = true)]
    Probe {
        /// The library.
        file: PathBuf,
        /// Where the report is written.
        report: PathBuf,
    },
}

/// The flags of a serving host.
#[derive(Clone, Debug, clap::Args)]
pub struct Serve {
    /// The port to serve on: 1024 to 65535, or 0 for any that is free.
    #[arg(long, env = "DROPIN_PORT", default_value_t = 5000, value_parser = port,
          help_heading = SERVING)]
    pub port: u16,

    /// The folder that plugins are dropped into.
    #[arg(long, env = "DROPIN_PLUGINS", value_name = "DIR", default_value = "./plugins",
          help_heading = PLUGINS)]
    pub plugins: PathBuf,

    /// An address to serve on, instead of all; may be given more than once.
    #[arg(long, value_name = "ADDR", help_heading = SERVING)]
    pub bind: Vec<IpAddr>,

    /// Where the host keeps what outlives it. Default: `dropin` in the user's state directory.
    #[arg(long, env = "DROPIN_STATE_DIR", value_name = "DIR", help_heading = SERVING)]
    pub state_dir: Option<PathBuf>,

    /// How long running workers may take to finish when the host ends, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds,
          help_heading = SERVING)]
    pub grace: Duration,

    /// How long the saving of plugins' states may take, in seconds, when the host ends after the grace,
    /// or when a plugin is withdrawn; 0 waits as long as it takes. A state that is not saved by then is
    /// lost, and the file from its last save stays.
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = seconds,
          help_heading = SERVING)]
    pub save_timeout: Duration,

    /// How sessions take turns where processors are short (Linux): with `batch`, who runs finishes
    /// first, which serves more requests; with `normal`, who is woken may interrupt, which waits less
    /// beside work that needs processors for long.
    #[arg(long, value_name = "CLASS", value_enum, default_value_t = Scheduling::Batch,
          help_heading = SERVING)]
    pub scheduling: Scheduling,

    /// How changes in the plugins folder are noticed: `notify` by the system's word, `poll` by
    /// looking, for network file systems.
    #[arg(long, value_name = "HOW", value_enum, default_value_t = WatchMode::Notify,
          help_heading = PLUGINS)]
    pub watch: WatchMode,

    /// How long a plugin's saving, restoring and configuring may take while the host runs, in seconds; a
    /// state from the disk may take a second more for each 8 MiB. Also after how long a change that
    /// waits for running calls is reported; new calls go on meanwhile.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds,
          help_heading = PLUGINS)]
    pub handover_timeout: Duration,

    /// How long new calls are held back for running ones when a plugin hands its state over, in
    /// seconds. Where a call runs for longer, they go on, and the hand-over is tried again later.
    #[arg(long, value_name = "SECONDS", default_value = "0.2", value_parser = seconds,
          help_heading = PLUGINS)]
    pub handover_pause: Duration,

    /// How long a plugin may take to prove itself before it is loaded, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds,
          help_heading = PLUGINS)]
    pub probe_timeout: Duration,

    /// How much clients may ask for.
    #[command(flatten)]
    pub bounds: Bounds,

    /// Who may come in.
    #[command(flatten)]
    pub access: AccessArgs,

    /// Which libraries are taken.
    #[command(flatten)]
    pub plugin_trust: PluginTrust,

    /// What is logged, and how.
    #[command(flatten)]
    pub logs: Logs,

    /// Serve metrics at http://ADDR/metrics, for Prometheus, to whoever reaches it: an address of this
    /// machine and a port, such as 127.0.0.1:9464.
    #[arg(long, value_name = "ADDR", help_heading = REPORTS)]
    pub metrics: Option<SocketAddr>,
}

/// How changes in the plugins folder are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum WatchMode {
    /// By the system's word.
    Notify,
    /// By looking.
    Poll,
}

impl From<WatchMode> for plugin_engine::watch::WatchMode {
    fn from(mode: WatchMode) -> Self {
        match mode {
            WatchMode::Notify => Self::Notify,
            WatchMode::Poll => Self::Poll,
        }
    }
}

/// How sessions take turns where processors are short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scheduling {
    /// Who runs finishes first.
    Batch,
    /// Who is woken may interrupt.
    Normal,
}

impl Serve {
    /// Where the host keeps what outlives it.
    #[must_use]
    pub fn state_root(&self) -> Option<PathBuf> {
        state_root(self.state_dir.clone())
    }
}

/// The directory that was named, or else `dropin` in the user's state directory.
#[must_use]
pub fn state_root(named: Option<PathBuf>) -> Option<PathBuf> {
    named.or_else(|| {
        let user = platform::state_dir()?;
        Some(user.join("dropin"))
    })
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
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }
}
