//! The resolution of settings: flag, then environment, then settings file, then default.
//!
//! Keys and variables are derived from the command line's definition, so a new flag has both
//! without more code. Entries of the file become words of the command line, which is then parsed
//! once more: so they have the same meaning and the same errors.

use std::{ffi::OsString, fmt, path::PathBuf};

use clap::{
    ArgMatches, Command, CommandFactory, FromArgMatches, error::ErrorKind, parser::ValueSource,
};

use super::{
    Arguments, Dev,
    advice::with_advice,
    file::{FileError, first_words, keys},
    file_place::FilePlace,
    plugin_tables::PluginTables,
};

/// The parsed command line, with all settings resolved.
#[derive(Debug)]
pub struct Resolved {
    /// The arguments.
    pub arguments: Arguments,
    /// The settings of the subcommand that runs, in the order of the help.
    pub settings: Vec<Setting>,
    /// The tables of the settings file, the keys of a table one after the other.
    pub tables: Vec<TableSetting>,
}

/// A flag's value, and its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The flag's long name.
    pub name: String,
    /// The values; `None` if the flag is not set and has no default.
    pub values: Option<Vec<String>>,
    /// True if the flag may be repeated.
    pub is_list: bool,
    /// The origin of the value.
    pub origin: Origin,
}

/// The value of a key in a table of the settings file, and its origin.
#[derive(Clone, Debug, PartialEq)]
pub struct TableSetting {
    /// The table's name, such as `plugin.store`.
    pub table: String,
    /// The key.
    pub key: String,
    /// The value.
    pub value: toml::Value,
    /// The origin of the value.
    pub origin: Origin,
}

/// The origin of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Flag,
    /// The environment variable of this name.
    Environment(String),
    /// A line of a settings file: its path, and the line's number from 1.
    File(PathBuf, usize),
    /// The flag's default.
    Default,
}

/// The reason for which there is nothing to run.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The command line or a variable is wrong, or help was requested.
    #[error(transparent)]
    Usage(#[from] clap::Error),
    /// The settings file is wrong.
    #[error(transparent)]
    File(#[from] FileError),
    /// Settings that are valid alone conflict with others.
    #[error("{}: {}", path.display(), first_words(source))]
    Together {
        /// The settings file.
        path: PathBuf,
        /// The problem.
        source: clap::Error,
    },
}

/// Returns the command line's definition. Every flag of a serving host has a variable.
pub fn command() -> Command {
    let root = program::spelled_in(Arguments::command()).name(program::own());
    let names: Vec<String> = keys(&root).map(|(long, _)| long.to_owned()).collect();
    with_variables(root, &names).mut_subcommand("dev", Dev::with_own_folders)
}

/// Resolves the command line, the environment and the settings file.
pub fn resolve(words: impl IntoIterator<Item = OsString>) -> Result<Resolved, ResolveError> {
    let words: Vec<OsString> = words.into_iter().collect();
    let command = command();
    let first = parse_without_file(&command, &words).map_err(|error| match error {
        ResolveError::Usage(error) => ResolveError::Usage(with_advice(error, &words)),
        other => other,
    })?;
    let (path, leaf) = leaf(&command, &first);
    let said = path.iter().try_fold(&first, |found, name| found.subcommand_matches(name));
    let said = said.unwrap_or(&first);
    let place = if leaf.get_arguments().any(|argument| argument.get_id() == "config") {
        FilePlace::of(said.try_get_one::<PathBuf>("config").ok().flatten())
    } else {
        FilePlace::None
    };
    let file = place.read(&command)?;
    let known: Vec<&str> = keys(&command).map(|(long, _)| long).collect();
    let from_file = || {
        keys(leaf)
            .filter(|(long, argument)| {
                known.contains(long) && !is_set(said, argument.get_id().as_str())
            })
            .filter_map(|(long, _)| file.get(long))
    };
    let mut all = words.clone();
    // The file's words go behind the subcommands' names, since flags before them conflict.
    let start = (1 + path.len()).min(all.len());
    let more = from_file().flat_map(|entry| entry.words.iter().map(OsString::from));
    all.splice(start..start, more);
    let matches = command.clone().try_get_matches_from(all).map_err(|error| {
        let alone = command.clone().try_get_matches_from(&words);
        if alone.is_ok() {
            ResolveError::Together { path: file.path().to_owned(), source: error }
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
    let mut arguments = Arguments::from_arg_matches(&matches)?;
    let durability = arguments.durability();
    if let Some(tables) = arguments.plugin_tables_mut() {
        let names = || said.get_many("isolate").into_iter().flatten().cloned().collect();
        let isolate = is_set(said, "isolate").then(names);
        *tables = PluginTables::new(place, isolate).with_durability(durability);
    }
    let tables = file.tables().entries().iter().map(|entry| TableSetting {
        table: entry.table.clone(),
        key: entry.key.clone(),
        value: entry.value.clone(),
        origin: Origin::File(file.path().to_owned(), entry.line),
    });
    let tables = tables.collect();
    Ok(Resolved { arguments, settings: settings.unwrap_or_default(), tables })
}

/// Parses the command line and the environment without the settings file.
fn parse_without_file(command: &Command, words: &[OsString]) -> Result<ArgMatches, ResolveError> {
    match command.clone().try_get_matches_from(words) {
        // A missing argument may be in the file.
        Err(error) if error.kind() == ErrorKind::MissingRequiredArgument => {
            let lenient = command.clone().ignore_errors(true);
            lenient.try_get_matches_from(words).map_err(ResolveError::Usage)
        }
        looked => looked.map_err(ResolveError::Usage),
    }
}

/// Returns the names that lead to the subcommand that runs, and its definition.
fn leaf<'a>(command: &'a Command, matches: &ArgMatches) -> (Vec<String>, &'a Command) {
    let (mut names, mut leaf, mut matches) = (Vec::new(), command, matches);
    while let Some((name, below)) = matches.subcommand() {
        let Some(next) = leaf.find_subcommand(name) else { break };
        names.push(name.to_owned());
        (leaf, matches) = (next, below);
    }
    (names, leaf)
}

/// Returns whether the command line or the environment sets the argument.
fn is_set(matches: &ArgMatches, id: &str) -> bool {
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

/// Gives a variable to each of these flags that has none, also in subcommands.
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
    /// Prints the error or the help, and ends the program: with 0 after help, else with 2.
    pub fn exit(&self) -> ! {
        match self {
            Self::Usage(error) => error.exit(),
            Self::File(_) | Self::Together { .. } => {
                eprintln!("error: {self}");
                std::process::exit(2);
            }
        }
    }
}

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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use plugin_engine::{
        process::settings::{Isolate, SettingsSource},
        state::durability::{Durability, JournalSync, Mode},
    };

    use super::*;

    fn plugin_tables(words: &[&str]) -> PluginTables {
        let words = ["host"].iter().chain(words).map(OsString::from);
        resolve(words).unwrap().arguments.plugin_tables_mut().unwrap().clone()
    }

    #[test]
    fn serving_host_gets_durability() {
        let durability = |words: &[&str]| plugin_tables(words).plugin("store").unwrap().durability;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host.toml");
        std::fs::write(&path, "durability = 'snapshot'\nsnapshot-interval = 5\n").unwrap();
        let config = ["--config", path.to_str().unwrap()];
        let of_file = Durability {
            mode: Some(Mode::Snapshot),
            snapshot_interval: Duration::from_secs(5),
            journal_sync: JournalSync::Everysec,
        };
        assert_eq!(durability(&config), of_file);
        let flags = ["--durability", "off", "--journal-sync", "always"];
        let words = [&config[..], &flags].concat();
        let of_flags =
            Durability { mode: Some(Mode::Off), journal_sync: JournalSync::Always, ..of_file };
        assert_eq!(durability(&words), of_flags);
        assert_eq!(durability(&[&["config"], &words[..]].concat()), of_flags);
        // `host dev` reads no file.
        let of_dev = Durability { snapshot_interval: Duration::from_secs(60), ..of_flags };
        assert_eq!(durability(&[&["dev", "x"], &flags[..]].concat()), of_dev);
        std::fs::write(&path, "[plugin.store]\njournal-sync = 'never'\n").unwrap();
        let of_table = Durability { journal_sync: JournalSync::Never, ..Durability::default() };
        assert_eq!(durability(&config), of_table);
    }

    #[test]
    fn serving_host_gets_plugin_tables() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host.toml");
        std::fs::write(&path, "isolate = ['a']\n[plugin.c]\nprocesses = 3\n").unwrap();
        let config = ["--config", path.to_str().unwrap()];
        let isolate = |tables: &PluginTables, name: &str| tables.plugin(name).unwrap().isolate;

        let tables = plugin_tables(&config);
        assert_eq!(tables.plugin("c").unwrap().processes, 3);
        assert_eq!(isolate(&tables, "a"), Isolate::Always);
        assert_eq!(isolate(&tables, "b"), Isolate::Auto);
        // Without the flag, the key of the changed file is in force.
        std::fs::write(&path, "isolate = ['b']\n").unwrap();
        assert_eq!(isolate(&tables, "a"), Isolate::Auto);
        assert_eq!(isolate(&tables, "b"), Isolate::Always);
        std::fs::write(&path, "isolate = ['a']\n").unwrap();
        let words = [&config[..], &["--isolate", "b", "--isolate", "c"]].concat();
        let tables = plugin_tables(&words);
        assert_eq!(isolate(&tables, "a"), Isolate::Auto);
        assert_eq!(isolate(&tables, "b"), Isolate::Always);
        assert_eq!(isolate(&tables, "c"), Isolate::Always);
        let tables = plugin_tables(&["dev", "x", "--isolate", "all"]);
        assert_eq!(isolate(&tables, "a"), Isolate::Always);
    }
}
