//! Parses the words of the command line.

use std::{ffi::OsString, path::PathBuf};

use clap::{
    Arg, ArgMatches, Command, CommandFactory as _, FromArgMatches as _, parser::ValueSource,
};
use clap_complete::Shell;

use crate::{
    cli::{
        args::{Cli, CommandArgs, OutputArgs, PluginTask, ScriptArgs, Subcommand},
        help::after_help,
    },
    error::Error,
    places::args::{ConnectionArgs, NewPlace},
    program,
};

/// The parsed command line.
#[derive(Debug)]
pub struct Args {
    /// The options for connecting to a host.
    pub connection: ConnectionArgs,
    /// The options for the output of replies.
    pub output: OutputArgs,
    /// The options for scripts.
    pub script: ScriptArgs,
    /// The action to perform.
    pub action: Action,
}

/// An action of the client.
#[derive(Debug)]
pub enum Action {
    /// Connects to a host.
    Connect {
        /// A connection type or the name of a place; `None` asks the person.
        place: Option<String>,
        /// The command to run; an empty one reads commands from the prompt, a pipe or a file.
        command: Vec<OsString>,
    },
    /// Saves a place.
    Add(NewPlace),
    /// Removes the place of this name.
    Remove(String),
    /// Lists the places.
    Places,
    /// Pushes a plugin's file.
    Push {
        /// The file.
        file: PathBuf,
        /// As in [`Action::Connect`].
        place: Option<String>,
    },
    /// Prints a shell's completion script.
    Completion(Shell),
    /// Prints the manual page.
    Man,
}

/// The result of a command line that performs no action.
#[derive(Debug)]
pub enum ParseError {
    /// A request for help, or words that clap rejects.
    Clap(clap::Error),
    /// Options that exclude or require each other.
    Usage(Error),
}

/// The options that each task accepts; a task rejects all others.
const TASKS: [(&str, &[&str]); 6] = [
    (
        "plugin",
        &[
            "address",
            "port",
            "tls",
            "plain",
            "fingerprint",
            "ca",
            "key",
            "key_file",
            "config",
            "connect_timeout",
            "timeout",
            "json",
            "csv",
            "raw",
            "quiet",
        ],
    ),
    ("add", &["config", "port", "tls", "plain", "fingerprint", "ca", "key", "key_file", "quiet"]),
    ("remove", &["config", "quiet"]),
    ("places", &["config", "json", "csv", "raw", "quiet"]),
    ("completion", &["config", "quiet"]),
    ("man", &["quiet"]),
];

/// Returns the options, types and tasks under the installed names of the programs.
fn base_definition() -> Command {
    let own = program::own();
    let usage = format!("{own} [OPTIONS] [TYPE] [COMMAND]...\n       {own} [OPTIONS] <TASK>");
    program::spelled_in(Cli::command()).name(own).override_usage(usage)
}

/// Returns the definition of the whole command line, without the named places.
pub fn definition() -> Command {
    let definition = base_definition().after_long_help(after_help());
    let options = global_options(&definition);
    TASKS.iter().fold(definition, |definition, (task, _)| {
        // An option in front of a task's name is parsed only if the task knows it.
        let unused = options.iter().filter(|option| !accepts(task, option));
        let unused: Vec<_> = unused.map(|option| option.clone().hide(true)).collect();
        definition.mut_subcommand(task, |task| task.args(unused))
    })
}

/// Returns the definition for completion: each type and task has exactly its own options.
pub fn completion_definition() -> Command {
    let base = base_definition();
    let definition = base.clone().mut_args(|option| option.global(false));
    let options = global_options(&base);
    base.get_subcommands().fold(definition, |definition, subcommand| {
        let accepted = options.iter().filter(|option| accepts(subcommand.get_name(), option));
        let accepted: Vec<_> = accepted.map(|option| option.clone().global(false)).collect();
        definition.mut_subcommand(subcommand.get_name(), |subcommand| subcommand.args(accepted))
    })
}

fn global_options(definition: &Command) -> Vec<Arg> {
    definition.get_arguments().filter(|option| option.is_global_set()).cloned().collect()
}

/// Returns true when a type or a task accepts this option.
fn accepts(subcommand: &str, option: &Arg) -> bool {
    let task = TASKS.iter().find(|(task, _)| *task == subcommand);
    task.is_none_or(|(_, accepted)| accepted.contains(&option.get_id().as_str()))
}

/// Parses the words, the first of which is the program's name.
pub fn parse(words: &[OsString]) -> Result<Args, ParseError> {
    let (mut cli, mut matches) = read(definition(), words)?;
    let mut name = None;
    if let Some(Subcommand::Named(arguments)) = &cli.subcommand {
        let word = arguments.first().cloned().unwrap_or_default();
        let word = word.into_string().map_err(|word| {
            let word = word.to_string_lossy().into_owned();
            ParseError::Usage(Error::UnknownPlace { word, nearest: None, places: Vec::new() })
        })?;
        // The name becomes an alias of a type, so that it accepts the same options.
        let alias = word.clone();
        let definition = definition().mut_subcommand("s", |types| types.alias(alias));
        (cli, matches) = read(definition, words)?;
        name = Some(word);
    }
    reject_unused_options(&matches).map_err(ParseError::Usage)?;
    let command = match &cli.subcommand {
        Some(Subcommand::Same(args) | Subcommand::Lan(args) | Subcommand::Internet(args)) => {
            Some(args.command.as_slice())
        }
        Some(_) => None,
        None => Some([].as_slice()),
    };
    cli.check(command).map_err(ParseError::Usage)?;
    let Cli { connection, output, script, subcommand } = cli;
    Ok(Args { connection, output, script, action: action(subcommand, name) })
}

/// Returns the action of a subcommand, which stands for the place of this name if there is one.
fn action(subcommand: Option<Subcommand>, name: Option<String>) -> Action {
    let connect = |letter: &str, args: CommandArgs| Action::Connect {
        place: Some(name.unwrap_or_else(|| letter.to_owned())),
        command: args.command,
    };
    match subcommand {
        Some(Subcommand::Same(args)) => connect("s", args),
        Some(Subcommand::Lan(args)) => connect("l", args),
        Some(Subcommand::Internet(args)) => connect("i", args),
        Some(Subcommand::Add(place)) => Action::Add(place),
        Some(Subcommand::Remove { name }) => Action::Remove(name),
        Some(Subcommand::Places) => Action::Places,
        Some(Subcommand::Plugin { task: PluginTask::Push { file, place } }) => {
            Action::Push { file, place }
        }
        Some(Subcommand::Completion { shell }) => Action::Completion(shell),
        Some(Subcommand::Man) => Action::Man,
        Some(Subcommand::Named(_)) | None => Action::Connect { place: None, command: Vec::new() },
    }
}

fn read(definition: Command, words: &[OsString]) -> Result<(Cli, ArgMatches), ParseError> {
    let mut shown = definition.clone();
    let matches = definition.try_get_matches_from(words).map_err(ParseError::Clap)?;
    let cli = Cli::from_arg_matches(&matches)
        .map_err(|error| ParseError::Clap(error.format(&mut shown)))?;
    Ok((cli, matches))
}

/// Rejects options that the task does not accept.
fn reject_unused_options(matches: &ArgMatches) -> Result<(), Error> {
    let task = matches.subcommand_name().unwrap_or_default();
    for option in global_options(&base_definition()) {
        let source = matches.value_source(option.get_id().as_str());
        if source == Some(ValueSource::CommandLine) && !accepts(task, &option) {
            let long = option.get_long().map(|long| format!("--{long}"));
            let name = long.unwrap_or_else(|| "-x".to_owned());
            return Err(Error::Usage(format!(
                "{name} has no meaning for `{own} {task}`; leave it out, or see `{own} {task} \
                 --help`",
                own = program::own()
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
