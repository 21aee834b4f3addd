//! The definition of the command line.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Parser, ValueHint};
use clap_complete::Shell;

use crate::{
    duration::parse_interval,
    error::Error,
    output::format::Format,
    places::args::{ConnectionArgs, NewPlace},
    program,
    script::repeat::Repeat,
};

/// Sends commands to a Dropin host and shows the replies.
///
/// Without a command, the client opens a prompt until `close` or Ctrl-D. Commands can also come
/// from a pipe or a file, one per line. A line is split as in a shell: "a b" and 'a b' are one
/// argument. The name of a place that `client add` has saved can replace the TYPE. Options stand
/// before the TYPE or directly behind it; everything behind the command's name belongs to the
/// command.
#[derive(Debug, Parser)]
#[command(name = "client", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(subcommand_help_heading = "Types and tasks", subcommand_value_name = "TYPE")]
pub struct Cli {
    #[command(flatten)]
    pub connection: ConnectionArgs,
    #[command(flatten)]
    pub output: OutputArgs,
    #[command(flatten)]
    pub script: ScriptArgs,
    #[command(subcommand)]
    pub subcommand: Option<Subcommand>,
}

/// The options for the output of replies.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Each reply as one line of JSON, errors too, all on standard output
    #[arg(long, global = true)]
    pub json: bool,

    /// Each reply as rows of comma-separated values, a list of maps with a header
    #[arg(long, global = true)]
    pub csv: bool,

    /// Each reply as plain bytes, also at a terminal; files and pipes get them by default
    #[arg(long, global = true)]
    pub raw: bool,

    /// Only errors on standard error, no notices
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

/// The options for scripts.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Scripts")]
pub struct ScriptArgs {
    /// Run the commands in FILE, one per line, instead of those from a pipe; - is standard input
    #[arg(long, short, value_name = "FILE", global = true, value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,

    /// Pass all of standard input to the command as its last argument, byte for byte
    #[arg(short = 'x', global = true)]
    pub last_argument: bool,

    /// Run the command N times in one session; -1 repeats it until it is interrupted
    #[arg(long, short, value_name = "N", global = true, allow_hyphen_values = true)]
    pub repeat: Option<Repeat>,

    /// Wait that long between repetitions [default: 0; 0.01 with --latency]
    #[arg(long, short, value_name = "SECONDS", global = true, value_parser = parse_interval)]
    pub interval: Option<Duration>,

    /// Measure the round-trip time of PING in milliseconds, until Ctrl-C or N times
    #[arg(long, global = true)]
    pub latency: bool,
}

/// The types of connections, and the tasks of the client itself.
#[derive(Debug, clap::Subcommand)]
pub enum Subcommand {
    /// Talk to the host on this machine
    #[command(name = "s", visible_alias = "same")]
    Same(CommandArgs),

    /// Talk to a host on the same LAN
    #[command(name = "l", visible_alias = "lan")]
    Lan(CommandArgs),

    /// Talk to a host on the internet
    #[command(name = "i", visible_alias = "internet")]
    Internet(CommandArgs),

    /// Save a host under a name in the settings file, so that `client NAME` talks to it
    ///
    /// The options --port, --tls, --plain, --fingerprint, --ca, --key-file and --key are saved too.
    Add(NewPlace),

    /// Remove a named place from the settings file
    Remove {
        /// The name of the place
        name: String,
    },

    /// List the named places
    Places,

    /// Offer a plugin to all hosts of a fleet
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Plugin {
        #[command(subcommand)]
        task: PluginTask,
    },

    /// Print a completion script for the client's options and places
    Completion {
        /// The shell
        shell: Shell,
    },

    /// Print the client's manual page
    Man,

    /// The name of a place and the arguments behind it.
    #[command(external_subcommand)]
    Named(Vec<OsString>),
}

/// The tasks of `client plugin`.
#[derive(Debug, clap::Subcommand)]
pub enum PluginTask {
    /// Push a plugin's file to a host, which offers it to all hosts of its fleet
    ///
    /// FILE.minisig, which `minisign -S -m FILE` writes, is sent with it. The host must be a member
    /// of a fleet and run with --plugin-key. `fleet rollout` shows how the rollout goes on.
    Push {
        /// The library, program or script
        // The option --file has the id `file`.
        #[arg(id = "plugin_file", value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,

        /// The type of connection, s, l or i, or the name of a place; asked for if it is missing
        #[arg(value_name = "TYPE")]
        place: Option<String>,
    },
}

/// The arguments behind a connection type.
#[derive(Debug, clap::Args)]
pub struct CommandArgs {
    /// A command to run before the client exits; everything behind its name belongs to it
    #[arg(value_name = "COMMAND", trailing_var_arg = true)]
    pub command: Vec<OsString>,
}

impl OutputArgs {
    /// Returns the selected format.
    pub fn format(&self) -> Format {
        match self {
            Self { json: true, .. } => Format::Json,
            Self { csv: true, .. } => Format::Csv,
            Self { raw: true, .. } => Format::Raw,
            Self { .. } => Format::Text,
        }
    }
}

impl Cli {
    /// Rejects options that exclude or require each other, on both sides of the type.
    pub fn check(&self, command: Option<&[OsString]>) -> Result<(), Error> {
        let has_command = command.is_some_and(|command| !command.is_empty());
        self.check_exclusions(has_command)?;
        self.check_requirements(has_command)
    }

    fn check_exclusions(&self, has_command: bool) -> Result<(), Error> {
        let ConnectionArgs { tls, plain, fingerprint, ca, key, key_file, .. } = &self.connection;
        let OutputArgs { json, csv, raw, .. } = self.output;
        let ScriptArgs { file, last_argument, latency, .. } = &self.script;
        let (has_file, latency) = (file.is_some(), *latency);
        for (are_both_given, one, other) in [
            (json && csv, "--json", "--csv"),
            (json && raw, "--json", "--raw"),
            (csv && raw, "--csv", "--raw"),
            (*tls && *plain, "--tls", "--plain"),
            (*plain && fingerprint.is_some(), "--plain", "--fingerprint"),
            (*plain && ca.is_some(), "--plain", "--ca"),
            (fingerprint.is_some() && ca.is_some(), "--fingerprint", "--ca"),
            (key.is_some() && key_file.is_some(), "--key", "--key-file"),
            (*last_argument && has_file, "-x", "--file"),
            (latency && has_file, "--latency", "--file"),
            (latency && *last_argument, "--latency", "-x"),
            (latency && has_command, "--latency", "a command"),
            (has_file && has_command, "--file", "a command"),
        ] {
            if are_both_given {
                return Err(Error::Usage(format!(
                    "{one} and {other} exclude each other; leave out one of them"
                )));
            }
        }
        Ok(())
    }

    fn check_requirements(&self, has_command: bool) -> Result<(), Error> {
        let ScriptArgs { last_argument, repeat, interval, latency, .. } = &self.script;
        for (is_missing, message) in [
            (*last_argument && !has_command, "-x needs a command, as in `client s -x set key`"),
            (
                repeat.is_some() && !has_command && !latency,
                "--repeat needs a command to repeat, as in `client s -r 3 incr n`, or --latency",
            ),
            (
                interval.is_some() && repeat.is_none() && !latency,
                "--interval stands with --repeat or --latency; add one of them",
            ),
        ] {
            if is_missing {
                return Err(Error::Usage(program::spelled(message)));
            }
        }
        Ok(())
    }
}
