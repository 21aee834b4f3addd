//! From the words of the command line to what they ask for.

use std::ffi::OsString;

use clap::{
    Arg, ArgMatches, Command, CommandFactory as _, FromArgMatches as _, parser::ValueSource,
};
use clap_complete::Shell;

use crate::{
    cli::{
        args::{Connection, Line, NewPlace, Output, Script, Verb},
        help::after_help,
    },
    error::Error,
    program,
};

/// What the command line asks for.
#[derive(Debug)]
pub struct Args {
    /// How to reach a host.
    pub connection: Connection,
    /// How replies are shown.
    pub output: Output,
    /// What scripts need.
    pub script: Script,
    /// What to do.
    pub action: Action,
}

/// What to do.
#[derive(Debug)]
pub enum Action {
    /// Talk to a host.
    Talk {
        /// A connection type or the name of a place; asked for where there is none.
        place: Option<String>,
        /// The command to run; none takes them from the person, a pipe or a file.
        command: Vec<OsString>,
    },
    /// Keep a place under a name.
    Add(NewPlace),
    /// Forget the place of this name.
    Remove(String),
    /// List the places.
    Places,
    /// Print a shell's completion script.
    Completion(Shell),
    /// Print the manual page.
    Man,
}

/// Why there are no arguments.
#[derive(Debug)]
pub enum Stop {
    /// The words make no sense, or ask for help only; this prints what to say.
    Clap(clap::Error),
    /// They make no sense together.
    Usage(Error),
}

/// The options that a task takes; to all the others it says that they have no meaning there.
const TASKS: [(&str, &[&str]); 5] = [
    ("add", &["config", "port", "tls", "plain", "fingerprint", "ca", "key", "key_file", "quiet"]),
    ("remove", &["config", "quiet"]),
    ("places", &["config", "json", "csv", "raw", "quiet"]),
    ("completion", &["config", "quiet"]),
    ("man", &["quiet"]),
];

/// The options, types and tasks, under the names that the programs have here.
fn line() -> Command {
    let own = program::own();
    let usage = format!("{own} [OPTIONS] [TYPE] [COMMAND]...\n       {own} [OPTIONS] <TASK>");
    program::spelled_in(Line::command()).name(own).override_usage(usage)
}

/// The definition of the whole command line, but for the named places.
pub fn definition() -> Command {
    let definition = line().after_long_help(after_help());
    let options = global_options(&definition);
    TASKS.iter().fold(definition, |definition, (task, _)| {
        // To be heard in front of a task's name, an option must be known behind it too.
        let idle = options.iter().filter(|option| !takes(task, option));
        let idle: Vec<_> = idle.map(|option| option.clone().hide(true)).collect();
        definition.mut_subcommand(task, |task| task.args(idle))
    })
}

/// The definition with all that each type and task takes, and nothing else, in its own place.
pub fn spelled_out() -> Command {
    let whole = line();
    let definition = whole.clone().mut_args(|option| option.global(false));
    let options = global_options(&whole);
    whole.get_subcommands().fold(definition, |definition, verb| {
        let taken = options.iter().filter(|option| takes(verb.get_name(), option));
        let taken: Vec<_> = taken.map(|option| option.clone().global(false)).collect();
        definition.mut_subcommand(verb.get_name(), |verb| verb.args(taken))
    })
}

fn global_options(definition: &Command) -> Vec<Arg> {
    definition.get_arguments().filter(|option| option.is_global_set()).cloned().collect()
}

/// Whether a type or a task takes this option.
fn takes(verb: &str, option: &Arg) -> bool {
    let task = TASKS.iter().find(|(task, _)| *task == verb);
    task.is_none_or(|(_, takes)| takes.contains(&option.get_id().as_str()))
}

/// Reads the words, the first of which is the program's name.
pub fn parse(words: &[OsString]) -> Result<Args, Stop> {
    let (mut line, mut matches) = read(definition(), words)?;
    let mut named = None;
    if let Some(Verb::Named(behind)) = &line.verb {
        let word = behind.first().cloned().unwrap_or_default();
        let word = word.into_string().map_err(|word| {
            let word = word.to_string_lossy().into_owned();
            Stop::Usage(Error::UnknownPlace { word, nearest: None, places: Vec::new() })
        })?;
        // Read as if it were one of the types, so that the same options stand behind it.
        let alias = word.clone();
        let definition = definition().mut_subcommand("s", |types| types.alias(alias));
        (line, matches) = read(definition, words)?;
        named = Some(word);
    }
    refuse_idle(&matches).map_err(Stop::Usage)?;
    let command = match &line.verb {
        Some(Verb::Same(words) | Verb::Lan(words) | Verb::Internet(words)) => {
            Some(words.command.as_slice())
        }
        Some(_) => None,
        None => Some([].as_slice()),
    };
    line.check(command).map_err(Stop::Usage)?;
    let Line { connection, output, script, verb } = line;
    let talk = |place: &str, command| Action::Talk {
        place: Some(named.unwrap_or_else(|| place.to_owned())),
        command,
    };
    let action = match verb {
        Some(Verb::Same(words)) => talk("s", words.command),
        Some(Verb::Lan(words)) => talk("l", words.command),
        Some(Verb::Internet(words)) => talk("i", words.command),
        Some(Verb::Add(place)) => Action::Add(place),
        Some(Verb::Remove { name }) => Action::Remove(name),
        Some(Verb::Places) => Action::Places,
        Some(Verb::Completion { shell }) => Action::Completion(shell),
        Some(Verb::Man) => Action::Man,
        Some(Verb::Named(_)) | None => Action::Talk { place: None, command: Vec::new() },
    };
    Ok(Args { connection, output, script, action })
}

fn read(definition: Command, words: &[OsString]) -> Result<(Line, ArgMatches), Stop> {
    let mut shown = definition.clone();
    let matches = definition.try_get_matches_from(words).map_err(Stop::Clap)?;
    let line =
        Line::from_arg_matches(&matches).map_err(|error| Stop::Clap(error.format(&mut shown)))?;
    Ok((line, matches))
}

/// Refuses options that the task does not take.
fn refuse_idle(matches: &ArgMatches) -> Result<(), Error> {
    let task = matches.subcommand_name().unwrap_or_default();
    for option in global_options(&line()) {
        let given = matches.value_source(option.get_id().as_str());
        if given == Some(ValueSource::CommandLine) && !takes(task, &option) {
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
