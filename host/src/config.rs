//! The configuration: flags, environment and settings file, resolved once.

use std::{
    ffi::OsString,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::{Parser, Subcommand};
use plugin_engine::state::durability::Durability;

mod access_args;
mod advice;
mod bounds;
mod dev;
mod durability_args;
mod file;
mod file_place;
mod fleet_args;
mod key_action;
mod logs;
mod place;
mod plugin_table;
mod plugin_tables;
mod plugin_trust;
mod resolve;
mod state_action;
mod tables;
mod units;
mod value;
mod variables;

pub use self::{
    access_args::AccessArgs,
    bounds::Bounds,
    dev::Dev,
    durability_args::DurabilityArgs,
    file::FileError,
    fleet_args::FleetArgs,
    key_action::KeyAction,
    logs::{LogFormat, Logs},
    place::{ConfigPlace, StatePlace},
    plugin_tables::PluginTables,
    plugin_trust::PluginTrust,
    resolve::{Origin, ResolveError, Resolved, Setting, TableSetting, command, resolve},
    state_action::{PortPlace, StateAction},
    units::Share,
    variables::misspelt,
};
use self::{plugin_table::plugin_name, units::seconds};

/// The lowest port that the host serves on; those below are reserved for the system.
pub const LOWEST_PORT: u16 = 1024;

/// The headings of the help.
const SERVING: &str = "Serving";
const PLUGINS: &str = "Plugins";
const REPORTS: &str = "Logs and metrics";

const AFTER_HELP: &str = "\
Every flag of a serving host is also a key of the settings file (`port = 5001`, \
`bind = [\"::1\"]`) and an environment variable: DROPIN_ and its name, in capitals and with \
underscores (DROPIN_MAX_SESSIONS), unless another is named above. A flag overrides the \
environment, the environment overrides the file. Its table [fleet] has \
the flags of that group. Its tables [plugin.NAME] and [interpreters] are \
no flags: they have the settings of single plugins, and the commands that run scripts. \
`host config` prints the settings in force, and the origin of each.

Exit status: 0 after an orderly end with every state saved, 1 when the host cannot start, 2 on \
wrong usage, 3 when a worker outlasted the grace and the host ended without it, or a second \
signal ended it at once, 4 when the state of a plugin could not be saved (this overrides the \
others), 70 when a plugin called `exit`.

Examples:
  host --port 5000 --plugins ./plugins
  host --bind 127.0.0.1 --bind ::1
  host check target/release/libtext.so
  host dev plugins/text --port 5001
  host dev greet.py --port 5001";

/// A command server that is extended by dropping a library into a folder.
#[derive(Debug, Parser)]
#[command(name = "host", version, after_help = AFTER_HELP)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// The task to run instead of serving.
    #[command(subcommand)]
    pub action: Option<Action>,

    /// The settings file.
    #[command(flatten)]
    pub settings: ConfigPlace,

    /// The flags of a serving host.
    #[command(flatten)]
    pub serve: Serve,
}

/// A task of the program other than serving.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Probe one plugin file, in a separate process, and print its commands.
    ///
    /// The file is a library, or an executable such as a script. Exit status: 0 when the host would
    /// load it, 1 when it would not.
    Check {
        /// The library or executable.
        file: PathBuf,
        /// The longest time that the probe may take, in seconds.
        #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
        probe_timeout: Duration,
        /// The rules for which libraries are accepted.
        #[command(flatten)]
        trust: PluginTrust,
        /// The settings file.
        #[command(flatten)]
        settings: ConfigPlace,
        /// The settings of single plugins.
        #[arg(skip)]
        plugin_tables: PluginTables,
    },
    /// Print the settings that the host would serve with, as a settings file, and their origins.
    Config {
        /// The settings file.
        #[command(flatten)]
        settings: ConfigPlace,
        /// The flags of a serving host.
        #[command(flatten)]
        serve: Box<Serve>,
    },
    /// Serve a plugin under development: build and serve it, and do so again at every save.
    ///
    /// The plugin is a crate, or an executable file such as a script, which needs no build. The
    /// first build may take a while. After a failed build or a refused file, the previous version
    /// keeps serving. State is handed over as at any reload.
    Dev(Dev),
    /// Add, list and revoke keys, with which clients log in that are not trusted by their address.
    #[command(subcommand)]
    Key(KeyAction),
    /// Check, repair, export and import the saved state of plugins.
    #[command(subcommand)]
    State(StateAction),
    /// Print the fingerprint of the host's certificate, to compare it with the client's.
    Fingerprint {
        /// The certificate, if the host is started with --tls-cert. Default: the one that the host
        /// has made itself.
        #[arg(long, value_name = "FILE")]
        tls_cert: Option<PathBuf>,
        /// The state directory, which has the certificate that the host has made itself.
        #[command(flatten)]
        place: StatePlace,
    },
    /// Print a shell's completion script for this program.
    ///
    /// For bash: `host completion bash > ~/.local/share/bash-completion/completions/host`
    Completion {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page. To read it: `host man | man -l -`
    Man {
        /// Write the page, and one for each subcommand, into this directory instead of printing it.
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
    },
    /// Run as the worker process of a plugin. Only the host starts this.
    #[command(hide = true)]
    Worker,
    /// Run an executable plugin with its limits in force. Only the host starts this.
    #[command(hide = true)]
    Exec {
        /// The number of the host's process.
        parent: u32,
        /// The limits, in JSON.
        limits: String,
        /// The directory that the plugin may write to.
        data_dir: PathBuf,
        /// The program and its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
    /// Run as the process of a probe. Only the host starts this.
    #[command(hide = true)]
    Probe {
        /// The library.
        file: PathBuf,
        /// The file to write the report to.
        report: PathBuf,
    },
}

/// The flags of a serving host.
#[derive(Clone, Debug, clap::Args)]
pub struct Serve {
    /// The port to serve on: 1024 to 65535, or 0 for any free port.
    #[arg(long, env = "DROPIN_PORT", default_value_t = 5000, value_parser = parse_port,
          help_heading = SERVING)]
    pub port: u16,

    /// The plugins folder.
    #[arg(long, env = "DROPIN_PLUGINS", value_name = "DIR", default_value = "./plugins",
          help_heading = PLUGINS)]
    pub plugins: PathBuf,

    /// An address to serve on, instead of all. May be repeated.
    #[arg(long, value_name = "ADDR", help_heading = SERVING)]
    pub bind: Vec<IpAddr>,

    /// The directory for keys, certificate and plugins' states. Default: `dropin` in the user's
    /// state directory.
    #[arg(long, env = "DROPIN_STATE_DIR", value_name = "DIR", help_heading = SERVING)]
    pub state_dir: Option<PathBuf>,

    /// The longest time that running commands may take to finish at shutdown, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds,
          help_heading = SERVING)]
    pub grace: Duration,

    /// The longest time that saving plugins' states may take, in seconds, at shutdown after the
    /// grace or when a plugin is withdrawn; 0 for no limit. A state that is not saved by then is
    /// lost, and the file of its last save stays.
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = seconds,
          help_heading = SERVING)]
    pub save_timeout: Duration,

    /// The scheduling class of sessions (Linux). With `batch`, a running session is not preempted
    /// by one that wakes up, which serves more requests. With `normal` it is, which lowers
    /// latency beside work that uses the processors for long.
    #[arg(long, value_name = "CLASS", value_enum, default_value_t = Scheduling::Batch,
          help_heading = SERVING)]
    pub scheduling: Scheduling,

    /// The threads of sessions: `per-client` gives each client a thread for its whole session;
    /// `shared` has one thread for each processor serve all sessions, and more while commands take
    /// long, which suits hundreds of clients and more.
    #[arg(long, value_name = "HOW", value_enum, default_value_t = Threads::PerClient,
          help_heading = SERVING)]
    pub threads: Threads,

    /// The way in which changes in the plugins folder are noticed: `notify` by the system's events,
    /// `poll` by polling, for network file systems.
    #[arg(long, value_name = "HOW", value_enum, default_value_t = WatchMode::Notify,
          help_heading = PLUGINS)]
    pub watch: WatchMode,

    /// The longest time that saving, restoring or configuring a plugin may take while the host
    /// runs, in seconds; restoring a state from the disk may take a second more for each 8 MiB.
    /// It is also the time after which a change that waits for running calls is reported; new
    /// calls go on meanwhile.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds,
          help_heading = PLUGINS)]
    pub handover_timeout: Duration,

    /// The longest time that new calls wait for running ones when a plugin hands its state over, in
    /// seconds. If a call runs for longer, they go on, and the hand-over is tried again later.
    #[arg(long, value_name = "SECONDS", default_value = "0.2", value_parser = seconds,
          help_heading = PLUGINS)]
    pub handover_pause: Duration,

    /// The longest time that the probe of a plugin may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds,
          help_heading = PLUGINS)]
    pub probe_timeout: Duration,

    /// A plugin whose library runs in a process of its own, or `all`. May be repeated. The key
    /// `isolate` of a table [plugin.NAME] in the settings file overrides it.
    #[arg(long, value_name = "NAME", value_parser = plugin_name, help_heading = PLUGINS)]
    pub isolate: Vec<String>,

    /// The durability of plugins' states.
    #[command(flatten)]
    pub durability: DurabilityArgs,

    /// The settings of single plugins.
    #[arg(skip)]
    pub plugin_tables: PluginTables,

    /// A folder in which executables find modules, besides the plugins folder.
    #[arg(skip)]
    pub module_folder: Option<PathBuf>,

    /// The limits of what clients may ask for.
    #[command(flatten)]
    pub bounds: Bounds,

    /// The access rules for clients.
    #[command(flatten)]
    pub access: AccessArgs,

    /// The rules for which libraries are accepted.
    #[command(flatten)]
    pub plugin_trust: PluginTrust,

    /// The membership in a fleet.
    #[command(flatten)]
    pub fleet: FleetArgs,

    /// The log's level and format.
    #[command(flatten)]
    pub logs: Logs,

    /// Serve metrics for Prometheus at http://ADDR/metrics: an address of this machine and a port,
    /// such as 127.0.0.1:9464. Anyone who can connect to it can read them.
    #[arg(long, value_name = "ADDR", help_heading = REPORTS)]
    pub metrics: Option<SocketAddr>,
}

/// The way in which changes in the plugins folder are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum WatchMode {
    /// By the system's events.
    Notify,
    /// By polling.
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

/// The threads of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Threads {
    /// Each client has a thread for its whole session.
    PerClient,
    /// Sessions share threads, and one at rest has none.
    Shared,
}

/// The scheduling class of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scheduling {
    /// A running session is not preempted by one that wakes up.
    Batch,
    /// A session that wakes up may preempt a running one.
    Normal,
}

impl Arguments {
    /// Returns the durability of plugins' states that the flags describe; the default if the task
    /// has no such flags.
    fn durability(&self) -> Durability {
        match &self.action {
            None => self.serve.durability.durability(),
            Some(Action::Config { serve, .. }) => serve.durability.durability(),
            Some(Action::Dev(dev)) => dev.serve.durability.durability(),
            Some(_) => Durability::default(),
        }
    }

    /// Returns the settings of single plugins that apply to the task; `None` if it has none.
    fn plugin_tables_mut(&mut self) -> Option<&mut PluginTables> {
        match &mut self.action {
            None => Some(&mut self.serve.plugin_tables),
            Some(Action::Check { plugin_tables, .. }) => Some(plugin_tables),
            Some(Action::Config { serve, .. }) => Some(&mut serve.plugin_tables),
            Some(Action::Dev(dev)) => Some(&mut dev.serve.plugin_tables),
            Some(_) => None,
        }
    }
}

impl Serve {
    /// Returns the state directory; see [`state_root`].
    pub fn state_root(&self) -> Option<PathBuf> {
        state_root(self.state_dir.clone())
    }
}

/// Returns the directory that was named, or else `dropin` in the user's state directory; `None` if
/// the user has none.
pub fn state_root(named: Option<PathBuf>) -> Option<PathBuf> {
    named.or_else(|| {
        let user = platform::state_dir()?;
        Some(user.join("dropin"))
    })
}

fn parse_port(text: &str) -> Result<u16, String> {
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
        assert_eq!(parse_port("1024"), Ok(1024));
        assert_eq!(parse_port("65535"), Ok(65535));
        assert_eq!(parse_port("0"), Ok(0));
        for text in ["1", "80", "1023", "65536", "-1", "", "http"] {
            assert!(parse_port(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }
}
