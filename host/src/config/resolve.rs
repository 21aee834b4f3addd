//! Where each setting comes from: flag, then environment, then settings file, then default.
//!
//! All of it is made from the command line's own definition, so that a new flag has its key in the
//! file and its variable without another line. What the file says becomes words of the command
//! line, which is then read once more: that way it means the same and is refused in the same words.

use std::{
    ffi::OsString,
    fmt, io,
    path::{Path, PathBuf},
};

use clap::{
    ArgMatches, Command, CommandFactory, FromArgMatches, error::ErrorKind, parser::ValueSource,
};

use super::{
    Arguments, Dev,
    advice::with_advice,
    file::{FileError, SettingsFile, first_words, keys},
};

/// What the program was asked for, with all settings in it.
#[derive(Debug)]
pub struct Resolved {
    /// What was asked for.
    pub arguments: Arguments,
    /// The settings that play a part in it, in the order of the help.
    pub settings: Vec<Setting>,
}

/// A flag's value and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The flag's long name.
    pub name: String,
    /// What it is set to; `None` where it is not set and has no default.
    pub values: Option<Vec<String>>,
    /// Whether it can be given more than once.
    pub is_list: bool,
    /// Where the value comes from.
    pub origin: Origin,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Flag,
    /// The environment variable of this name.
    Environment(String),
    /// This line of this settings file.
    File(PathBuf, usize),
    /// Nobody has said anything.
    Default,
}

/// Why there is nothing to run.
#[derive(Debug)]
pub enum ResolveError {
    /// The command line or a variable is wrong, or help was asked for.
    Usage(clap::Error),
    /// The settings file is wrong.
    File(FileError),
    /// Settings that are right by themselves do not go together with others: the file, the problem.
    Together(PathBuf, String),
}

/// The command line's definition. Every flag of a serving host has an environment variable.
#[must_use]
pub fn command() -> Command {
    let root = program::spelled_in(Arguments::command()).name(program::own());
    let names: Vec<String> = keys(&root).map(|(long, _)| long.to_owned()).collect();
    with_variables(root, &names).mut_subcommand("dev", Dev::keep_apart)
}

/// Reads the command line, the environment and the settings file.
///
/// # Errors
/// What is wrong with them. A call for help is one, too.
pub fn resolve(words: impl IntoIterator<Item = OsString>) -> Result<Resolved, ResolveError> {
    let words: Vec<OsString> = words.into_iter().collect();
    let command = command();
    let first = first_look(&command, &words).map_err(|error| match error {
        ResolveError::Usage(error) => ResolveError::Usage(with_advice(error, &words)),
        other => other,
    })?;
    let (path, leaf) = leaf(&command, &first);
    let said = path.iter().try_fold(&first, |found, name| found.subcommand_matches(name));
    let said = said.unwrap_or(&first);
    let file = if leaf.get_arguments().any(|argument| argument.get_id() == "config") {
        settings_file(said, &command)?
    } else {
        SettingsFile::default()
    };
    let known: Vec<&str> = keys(&command).map(|(long, _)| long).collect();
    let from_file = || {
        keys(leaf)
            .filter(|(long, argument)| {
                known.contains(long) && !is_said(said, argument.get_id().as_str())
            })
            .filter_map(|(long, _)| file.get(long))
    };
    let mut all = words.clone();
    // Subcommands come first, since flags conflict with them.
    let place = (1 + path.len()).min(all.len());
    let more = from_file().flat_map(|entry| entry.words.iter().map(OsString::from));
    all.splice(place..place, more);
    let matches = command.clone().try_get_matches_from(all).map_err(|error| {
        let alone = command.clone().try_get_matches_from(&words);
        if alone.is_ok() {
            ResolveError::Together(file.path().to_owned(), first_words(&error))
        } else {
            ResolveError::Usage(error)
        }
    })?;
    let found = path.iter().try_fold(&matches, |found, name| found.subcommand_matches(name));
    let settings = found.map(|found| {
        let known = keys(leaf).filter(|(long, _)| known.contains(long));
        let entry = |long: &str| from_file().find(|entry| entry.key == long);
        let origin =
            |long: &str| entry(long).map(|entry| Origin::File(file.path().to_owned(), entry.line));
        known.map(|(long, argument)| setting(found, long, argument, origin(long))).collect()
    });
    let arguments = Arguments::from_arg_matches(&matches).map_err(ResolveError::Usage)?;
    Ok(Resolved { arguments, settings: settings.unwrap_or_default() })
}

/// What the command line and the environment say by themselves.
fn first_look(command: &Command, words: &[OsString]) -> Result<ArgMatches, ResolveError> {
    match command.clone().try_get_matches_from(words) {
        // What is missing may be in the file.
        Err(error) if error.kind() == ErrorKind::MissingRequiredArgument => {
            let lenient = command.clone().ignore_errors(true);
            lenient.try_get_matches_from(words).map_err(ResolveError::Usage)
        }
        looked => looked.map_err(ResolveError::Usage),
    }
}

/// The subcommand that is to run, by its names from the first, and its definition.
fn leaf<'a>(command: &'a Command, matches: &ArgMatches) -> (Vec<String>, &'a Command) {
    let (mut names, mut leaf, mut matches) = (Vec::new(), command, matches);
    while let Some((name, below)) = matches.subcommand() {
        let Some(next) = leaf.find_subcommand(name) else { break };
        names.push(name.to_owned());
        (leaf, matches) = (next, below);
    }
    (names, leaf)
}

fn settings_file(said: &ArgMatches, command: &Command) -> Result<SettingsFile, ResolveError> {
    let named = said.try_get_one::<PathBuf>("config").ok().flatten();
    let read = |path: &Path| SettingsFile::read(path, command);
    match named {
        Some(path) => read(path),
        None => {
            match platform::config_dir().map(|folder| folder.join("dropin").join("host.toml")) {
                Some(path) => match read(&path) {
                    Err(FileError::Read(_, error)) if error.kind() == io::ErrorKind::NotFound => {
                        Ok(SettingsFile::default())
                    }
                    read => read,
                },
                None => Ok(SettingsFile::default()),
            }
        }
    }
    .map_err(ResolveError::File)
}

/// Whether the command line or the environment sets it.
fn is_said(matches: &ArgMatches, id: &str) -> bool {
    let source = matches.try_contains_id(id).ok().and_then(|_| matches.value_source(id));
    matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable))
}

fn setting(
    matches: &ArgMatches,
    long: &str,
    argument: &clap::Arg,
    from_file: Option<Origin>,
) -> Setting {
    let id = argument.get_id().as_str();
    let raw = matches.try_get_raw(id).ok().flatten();
    let values: Option<Vec<String>> =
        raw.map(|raw| raw.map(|value| value.to_string_lossy().into_owned()).collect());
    let variable = argument.get_env().map(|name| name.to_string_lossy().into_owned());
    let is_list = matches!(argument.get_action(), clap::ArgAction::Append);
    let origin = match (from_file, matches.value_source(id), variable) {
        (Some(origin), ..) => origin,
        (None, Some(ValueSource::CommandLine), _) => Origin::Flag,
        (None, Some(ValueSource::EnvVariable), Some(name)) => Origin::Environment(name),
        _ => Origin::Default,
    };
    Setting {
        name: long.to_owned(),
        values: values.or_else(|| is_list.then(Vec::new)),
        is_list,
        origin,
    }
}

/// Gives a variable to each of these flags that has none, here and in subcommands.
fn with_variables(command: Command, names: &[String]) -> Command {
    command
        .mut_args(|argument| match argument.get_long() {
            Some(long) if argument.get_env().is_none() && names.iter().any(|name| name == long) => {
                let variable = format!("DROPIN_{}", long.replace('-', "_").to_ascii_uppercase());
                argument.env(variable).hide_env(true)
            }
            _ => argument,
        })
        .mut_subcommands(|below| with_variables(below, names))
}

impl ResolveError {
    /// Says why, and ends the program: with 0 where help was asked for, else with 2.
    pub fn exit(&self) -> ! {
        match self {
            Self::Usage(error) => error.exit(),
            Self::File(_) | Self::Together(..) => {
                eprintln!("error: {self}");
                std::process::exit(2);
            }
        }
    }
}

impl fmt::Display for ResolveError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(error) => error.fmt(out),
            Self::File(error) => error.fmt(out),
            Self::Together(path, problem) => write!(out, "{}: {problem}", path.display()),
        }
    }
}

impl std::error::Error for ResolveError {}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => out.write_str("flag"),
            Self::Environment(name) => write!(out, "environment {name}"),
            Self::File(path, line) => write!(out, "file {}:{line}", path.display()),
            Self::Default => out.write_str("default"),
        }
    }
}
