//! The settings file, whose keys are the names of flags, and whose tables are about plugins.

use std::{
    fs::Metadata,
    io::{self, Read},
    ops::Range,
    path::{Path, PathBuf},
};

use clap::{ArgAction, Command, error::ErrorKind};
use protocol::nearest::nearest;
use toml::de::{DeTable, DeValue};

use super::{
    tables::{self, Tables},
    value::{describe_kind, scalar},
};

/// The table whose keys are the flags of the fleet.
const FLEET: &str = "fleet";

/// The entries of a settings file, each of which is valid alone.
#[derive(Debug, Default)]
pub(super) struct SettingsFile {
    path: PathBuf,
    entries: Vec<Entry>,
    tables: Tables,
}

/// An entry of the file.
#[derive(Debug)]
pub(super) struct Entry {
    /// The flag's long name.
    pub(super) key: String,
    /// The line's number, from 1.
    pub(super) line: usize,
    /// The flag as words of a command line; empty for a switch that is off.
    pub(super) words: Vec<String>,
}

/// The reason for which a settings file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file cannot be read.
    #[error("cannot read the settings file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Other users can change the file.
    #[error("the settings file {} {problem}", path.display())]
    Insecure {
        /// The file.
        path: PathBuf,
        /// The problem and its remedy.
        problem: String,
    },
    /// A line is wrong.
    #[error("{}:{line}: {source}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line's number, from 1.
        line: usize,
        /// The problem.
        source: LineError,
    },
}

/// The reason for which a line of a settings file is wrong.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// It is not TOML.
    #[error("{}", .0.message().trim_end().replace('\n', "; "))]
    Toml(#[source] toml::de::Error),
    /// There is no such key, or its value is wrong.
    #[error("{0}")]
    Key(String),
    /// The flag does not accept the value.
    #[error("{}", first_words(.0))]
    Value(#[source] clap::Error),
}

impl SettingsFile {
    /// Reads a file whose keys are the flags of this command.
    pub(super) fn read(path: &Path, command: &Command) -> Result<Self, FileError> {
        let failed = |source| FileError::Read { path: path.to_owned(), source };
        let mut file = platform::open_file(path).map_err(failed)?;
        // Anyone who can write to the file can choose the plugins that the host runs.
        check_rights(path, &file.metadata().map_err(failed)?)?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(failed)?;
        Self::parse(path, &text, command)
    }

    /// Returns the file's path; empty if there is no file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the entry of a flag.
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// Returns the values that the file has for a flag that takes some.
    pub(super) fn values(&self, key: &str) -> Vec<String> {
        let flag = format!("--{key}=");
        let words = self.get(key).map_or(&[][..], |entry| &entry.words);
        words.iter().filter_map(|word| word.strip_prefix(&flag)).map(str::to_owned).collect()
    }

    /// Returns the tables.
    pub(super) fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Parses a file's text, whose keys are the flags of this command.
    pub(super) fn parse(path: &Path, text: &str, command: &Command) -> Result<Self, FileError> {
        let line_of = |span: Range<usize>| {
            let before = text.as_bytes().get(..span.start).unwrap_or_default();
            before.iter().filter(|byte| **byte == b'\n').count() + 1
        };
        let wrong = |line, source| FileError::Line { path: path.to_owned(), line, source };
        let table = DeTable::parse(text).map_err(|error| {
            wrong(line_of(error.span().unwrap_or_default()), LineError::Toml(error))
        })?;
        let (mut entries, mut tables) = (Vec::new(), Tables::default());
        for (key, value) in table.into_inner() {
            let (line, key) = (line_of(key.span()), key.into_inner().into_owned());
            if tables::NAMES.contains(&key.as_str()) {
                tables
                    .add(&key, line, value.get_ref(), &line_of)
                    .map_err(|(line, problem)| wrong(line, LineError::Key(problem)))?;
                continue;
            }
            let mut add = |key: String, line, value: &DeValue<'_>| {
                let words = to_words(command, &key, value)
                    .map_err(|problem| wrong(line, LineError::Key(problem)))?;
                check_words(command, &words)
                    .map_err(|error| wrong(line, LineError::Value(error)))?;
                entries.push(Entry { key, line, words });
                Ok(())
            };
            match value.get_ref() {
                DeValue::Table(fleet) if key == FLEET => {
                    for (key, value) in fleet {
                        let line = line_of(key.span());
                        let flag = fleet_flag(command, key.get_ref())
                            .map_err(|problem| wrong(line, LineError::Key(problem)))?;
                        add(flag, line, value.get_ref())?;
                    }
                }
                value => add(key, line, value)?,
            }
        }
        Ok(Self { path: path.to_owned(), entries, tables })
    }
}

fn check_rights(path: &Path, opened: &Metadata) -> Result<(), FileError> {
    let insecure = |problem| Err(FileError::Insecure { path: path.to_owned(), problem });
    if platform::mode_for_others(opened) & 0o022 != 0 {
        return insecure(format!(
            "can be written to by others; run: chmod go-w {}",
            path.display()
        ));
    }
    if !platform::is_own(opened) {
        return insecure("belongs to another user; make it the host's user's or root's".into());
    }
    Ok(())
}

/// Returns the flags that a settings file may set: all but `help`, `version` and `config`.
pub(super) fn keys(command: &Command) -> impl Iterator<Item = (&str, &clap::Arg)> {
    command
        .get_arguments()
        .filter_map(|argument| argument.get_long().map(|long| (long, argument)))
        .filter(|(long, _)| !["help", "version", "config"].contains(long))
}

/// Converts a key and its value into words of a command line.
fn to_words(command: &Command, key: &str, value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let Some((_, argument)) = keys(command).find(|(long, _)| *long == key) else {
        return Err(describe_unknown(command, key));
    };
    if let (DeValue::Table(_), Some(table)) = (value, nearest(key, tables::NAMES.into_iter())) {
        return Err(format!("'{key}' is no table, did you mean '{table}'?"));
    }
    let one = |value: &DeValue<'_>| scalar(key, value).map(|text| format!("--{key}={text}"));
    match (argument.get_action(), value) {
        (ArgAction::SetTrue, DeValue::Boolean(true)) => Ok(vec![format!("--{key}")]),
        (ArgAction::SetTrue, DeValue::Boolean(false)) => Ok(Vec::new()),
        (ArgAction::SetTrue, _) => {
            Err(format!("'{key}' takes true or false, not {}", describe_kind(value)))
        }
        (ArgAction::Append, DeValue::Array(values)) => {
            values.iter().map(|value| one(value.get_ref())).collect()
        }
        _ => one(value).map(|word| vec![word]),
    }
}

/// Checks that the command line accepts these words, and returns its error if not.
fn check_words(command: &Command, words: &[String]) -> Result<(), clap::Error> {
    let name = command.get_name().to_owned();
    let all = std::iter::once(&name).chain(words);
    match command.clone().try_get_matches_from(all) {
        // Other arguments that it requires may come from elsewhere.
        Err(error) if error.kind() != ErrorKind::MissingRequiredArgument => Err(error),
        _ => Ok(()),
    }
}

/// Returns an error's problem, without the usage and tips that follow it.
pub(super) fn first_words(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let problem = text.split("\n\n").next().unwrap_or(text);
    problem.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

/// Returns the flag of a key of the table of the fleet.
fn fleet_flag(command: &Command, key: &str) -> Result<String, String> {
    let names =
        || keys(command).filter_map(|(long, _)| long.strip_prefix(FLEET)?.strip_prefix('-'));
    match key {
        "servers" => Ok(FLEET.to_owned()),
        key if names().any(|name| name == key) => Ok(format!("{FLEET}-{key}")),
        key => {
            let written = key.to_ascii_lowercase().replace('_', "-");
            Err(match nearest(&written, names().chain(["servers"])) {
                Some(nearest) => {
                    format!("unknown key '{key}' of [{FLEET}], did you mean '{nearest}'?")
                }
                None => {
                    let mut all: Vec<_> = names().chain(["servers"]).collect();
                    all.sort_unstable();
                    format!("unknown key '{key}' of [{FLEET}]; it has: {}", all.join(", "))
                }
            })
        }
    }
}

fn describe_unknown(command: &Command, key: &str) -> String {
    let written = key.to_ascii_lowercase().replace('_', "-");
    match nearest(&written, keys(command).map(|(long, _)| long).chain(tables::NAMES)) {
        Some(nearest) => format!("unknown key '{key}', did you mean '{nearest}'?"),
        None => format!(
            "unknown key '{key}'; the keys are the flags that `{} --help` lists, the tables are \
             [plugin.NAME], [interpreters] and [{FLEET}]",
            program::own()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<(String, usize, Vec<String>)>, String> {
        let file = SettingsFile::parse(Path::new("host.toml"), text, &super::super::command());
        let entries = file.map_err(|error| error.to_string())?.entries;
        Ok(entries.into_iter().map(|entry| (entry.key, entry.line, entry.words)).collect())
    }

    #[test]
    fn keys_become_words_of_a_command_line() {
        let text = "# a comment\nport = 5_001\n\nbind = ['127.0.0.1', '::1']\ngrace = 0.5\n\
                    allow-insecure-plugins = true\nmax-request = '1M'\nmax-sessions = 0xff\n";
        let mut entries = parse(text).unwrap();
        entries.sort_by_key(|(_, line, _)| *line);
        let entry = |key: &str, line, words: &[&str]| {
            (key.to_owned(), line, words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(
            entries,
            [
                entry("port", 2, &["--port=5001"]),
                entry("bind", 4, &["--bind=127.0.0.1", "--bind=::1"]),
                entry("grace", 5, &["--grace=0.5"]),
                entry("allow-insecure-plugins", 6, &["--allow-insecure-plugins"]),
                entry("max-request", 7, &["--max-request=1M"]),
                entry("max-sessions", 8, &["--max-sessions=255"]),
            ]
        );
        assert_eq!(parse("allow-insecure-plugins = false").unwrap()[0].2, Vec::<String>::new());
        assert_eq!(parse("bind = '::1'").unwrap()[0].2, ["--bind=::1"]);
        assert!(parse("").unwrap().is_empty());
    }

    #[test]
    fn config_error_names_its_line() {
        for (text, problem) in [
            ("\nprot = 1", "host.toml:2: unknown key 'prot', did you mean 'port'?"),
            (
                "log_level = 'info'",
                "host.toml:1: unknown key 'log_level', did you mean 'log-level'?",
            ),
            (
                "zzzzzzzz = 1",
                "host.toml:1: unknown key 'zzzzzzzz'; the keys are the flags that `host --help` lists",
            ),
            ("config = 'x'", "host.toml:1: unknown key 'config'"),
            (
                "[fleet]\nservrs = ['nats://a']",
                "host.toml:2: unknown key 'servrs' of [fleet], did you mean 'servers'?",
            ),
            (
                "[fleet]\nzzzzzzzz = 1",
                "host.toml:2: unknown key 'zzzzzzzz' of [fleet]; it has: call-timeout, canary, ",
            ),
            ("help = true", "host.toml:1: unknown key 'help'"),
            (
                "grace = 1\nport = 80",
                "host.toml:2: invalid value '80' for '--port <PORT>': port 80 is one of the \
                 system's own (1 to 1023); choose one from 1024 to 65535",
            ),
            (
                "trust = 'some'",
                "host.toml:1: invalid value 'some' for '--trust <WHOM>' [possible values: none, \
                 loopback, lan, all]",
            ),
            ("port = [1]", "host.toml:1: 'port' takes text or a number, not a list"),
            ("port = true", "host.toml:1: 'port' takes text or a number, not true or false"),
            ("bind = [[1]]", "host.toml:1: 'bind' takes text or a number, not a list"),
            (
                "allow-insecure-plugins = 1",
                "host.toml:1: 'allow-insecure-plugins' takes true or false, not a number",
            ),
            ("[port]\nx = 1", "host.toml:1: 'port' takes text or a number, not a table"),
            ("port = 5000\n\nport = 5001", "host.toml:3: duplicate key"),
            ("\n\nport 5000", "host.toml:3: "),
        ] {
            let said = parse(text).unwrap_err();
            assert!(said.starts_with(problem), "{text}: {said}");
            assert_eq!(said.lines().count(), 1, "{said}");
        }
    }

    #[test]
    fn companion_of_flag_may_come_from_elsewhere() {
        assert_eq!(parse("tls-cert = 'c.pem'").unwrap()[0].2, ["--tls-cert=c.pem"]);
    }
}
