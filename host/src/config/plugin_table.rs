//! The table of one plugin in the settings file.

use std::{str::FromStr, time::Duration};

use plugin_engine::{
    live::manifest::is_plugin_name,
    process::settings::{Isolate, PluginSettings},
    state::durability::{Durability, JournalSync, Mode},
};
use protocol::nearest::nearest;
use sandbox::{Limits, Sandbox};
use toml::de::DeValue;

use super::{
    units::{memory, seconds},
    value::{describe_kind, scalar},
};

/// The keys of a plugin's table.
const KEYS: [&str; 10] = [
    "isolate",
    "processes",
    "memory",
    "call-timeout",
    "cpu",
    "open-files",
    "sandbox",
    "durability",
    "snapshot-interval",
    "journal-sync",
];

/// The most processes of one plugin.
const MOST_PROCESSES: u32 = 64;

/// The lowest limit of open files: a worker process needs some for its standard streams, its
/// connections to the host and its libraries.
const FEWEST_FILES: u64 = 16;

/// The table `[plugin.NAME]`; a key that it does not have is `None`.
#[derive(Clone, Debug, Default)]
pub(super) struct PluginTable {
    isolate: Option<Isolate>,
    processes: Option<u32>,
    call_timeout: Option<Duration>,
    limits: Limits,
    durability: Option<Mode>,
    snapshot_interval: Option<Duration>,
    journal_sync: Option<JournalSync>,
}

impl PluginTable {
    /// Sets a key to its value in the file, or returns the problem.
    pub(super) fn set(&mut self, key: &str, value: &DeValue<'_>) -> Result<(), String> {
        match key {
            "isolate" => self.isolate = Some(isolate(value)?),
            "processes" => self.processes = Some(parse(key, value, processes)?),
            "memory" => self.limits.memory = Some(parse(key, value, memory)?),
            "call-timeout" => self.call_timeout = Some(parse(key, value, seconds)?),
            "cpu" => self.limits.cpu = Some(parse(key, value, cpu)?),
            "open-files" => self.limits.open_files = Some(parse(key, value, open_files)?),
            "sandbox" => self.limits.sandbox = parse(key, value, sandbox)?,
            "durability" => self.durability = Some(parse(key, value, str::parse)?),
            "snapshot-interval" => self.snapshot_interval = Some(parse(key, value, seconds)?),
            "journal-sync" => self.journal_sync = Some(parse(key, value, str::parse)?),
            _ => return Err(describe_unknown(key)),
        }
        Ok(())
    }

    /// Returns the plugin's settings. `is_listed` is true if the setting `isolate` of the host names
    /// the plugin, and `general` is the durability of all plugins; each applies if the table has no
    /// such key.
    pub(super) fn settings(&self, is_listed: bool, general: Durability) -> PluginSettings {
        let listed = if is_listed { Isolate::Always } else { Isolate::Auto };
        PluginSettings {
            isolate: self.isolate.unwrap_or(listed),
            processes: self.processes.unwrap_or(1),
            call_timeout: self.call_timeout.filter(|time| !time.is_zero()),
            limits: self.limits.clone(),
            durability: Durability {
                mode: self.durability.or(general.mode),
                snapshot_interval: self.snapshot_interval.unwrap_or(general.snapshot_interval),
                journal_sync: self.journal_sync.unwrap_or(general.journal_sync),
            },
        }
    }
}

/// Parses a plugin's name.
pub(super) fn plugin_name(text: &str) -> Result<String, String> {
    if is_plugin_name(text) {
        Ok(text.to_owned())
    } else {
        Err("a plugin's name is 1 to 64 of a-z 0-9 - _, a letter or digit first".into())
    }
}

fn isolate(value: &DeValue<'_>) -> Result<Isolate, String> {
    match value {
        DeValue::Boolean(true) => Ok(Isolate::Always),
        DeValue::Boolean(false) => Ok(Isolate::Never),
        DeValue::String(text) if text == "auto" => Ok(Isolate::Auto),
        DeValue::String(text) => {
            Err(format!("'isolate' takes true, false or \"auto\", not \"{}\"", text.escape_debug()))
        }
        other => {
            Err(format!("'isolate' takes true, false or \"auto\", not {}", describe_kind(other)))
        }
    }
}

fn parse<T>(
    key: &str,
    value: &DeValue<'_>,
    parser: impl Fn(&str) -> Result<T, String>,
) -> Result<T, String> {
    let text = scalar(key, value)?;
    parser(&text).map_err(|problem| {
        format!("invalid value '{}' for '{key}': {problem}", text.escape_debug())
    })
}

fn processes(text: &str) -> Result<u32, String> {
    number(text, |count| (1..=MOST_PROCESSES).contains(count))
        .ok_or_else(|| format!("a number of processes is from 1 to {MOST_PROCESSES}"))
}

fn cpu(text: &str) -> Result<f64, String> {
    number(text, |processors: &f64| processors.is_finite() && *processors > 0.0)
        .ok_or_else(|| "a number of processors is above 0, such as 0.5 or 2".into())
}

fn open_files(text: &str) -> Result<u64, String> {
    number(text, |count| *count >= FEWEST_FILES)
        .ok_or_else(|| format!("a number of files is at least {FEWEST_FILES}"))
}

fn number<T: FromStr>(text: &str, is_valid: impl Fn(&T) -> bool) -> Option<T> {
    text.parse().ok().filter(is_valid)
}

fn sandbox(text: &str) -> Result<Sandbox, String> {
    match text {
        "off" => Ok(Sandbox::Off),
        "files" => Ok(Sandbox::Files),
        "strict" => Ok(Sandbox::Strict),
        _ => Err("a sandbox is \"off\", \"files\" or \"strict\"".into()),
    }
}

fn describe_unknown(key: &str) -> String {
    let written = key.to_ascii_lowercase().replace('_', "-");
    match nearest(&written, KEYS.into_iter()) {
        Some(nearest) => format!("unknown key '{key}', did you mean '{nearest}'?"),
        None => {
            format!("unknown key '{key}'; a plugin's table may have the keys {}", KEYS.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use toml::de::DeTable;

    use super::*;

    fn table(text: &str) -> Result<PluginTable, String> {
        let mut table = PluginTable::default();
        for (key, value) in DeTable::parse(text).unwrap().get_ref() {
            table.set(key.get_ref(), value.get_ref())?;
        }
        Ok(table)
    }

    #[test]
    fn every_key_reaches_the_settings() {
        let text = "isolate = true\nprocesses = 4\nmemory = '256M'\ncall-timeout = 0.5\n\
                    cpu = 0.25\nopen-files = 100\nsandbox = 'strict'\n\
                    durability = 'snapshot'\nsnapshot-interval = 2.5\njournal-sync = 'never'";
        let limits = Limits {
            memory: Some(256 << 20),
            cpu: Some(0.25),
            open_files: Some(100),
            sandbox: Sandbox::Strict,
        };
        let expected = PluginSettings {
            isolate: Isolate::Always,
            processes: 4,
            call_timeout: Some(Duration::from_millis(500)),
            limits,
            durability: Durability {
                mode: Some(Mode::Snapshot),
                snapshot_interval: Duration::from_millis(2500),
                journal_sync: JournalSync::Never,
            },
        };
        assert_eq!(table(text).unwrap().settings(false, Durability::default()), expected);
        assert_eq!(
            table("").unwrap().settings(false, Durability::default()),
            PluginSettings::default()
        );
        let no_limit = table("call-timeout = 0").unwrap().settings(false, Durability::default());
        assert_eq!(no_limit.call_timeout, None);
        let files = table("sandbox = 'files'").unwrap().settings(false, Durability::default());
        assert_eq!(files.limits.sandbox, Sandbox::Files);
    }

    #[test]
    fn durability_of_table_overrides_flags() {
        let general = Durability {
            mode: Some(Mode::Journal),
            snapshot_interval: Duration::from_secs(7),
            journal_sync: JournalSync::Always,
        };
        for (text, expected) in [
            ("", general),
            ("durability = 'off'", Durability { mode: Some(Mode::Off), ..general }),
            ("snapshot-interval = 0", Durability { snapshot_interval: Duration::ZERO, ..general }),
            (
                "journal-sync = 'everysec'",
                Durability { journal_sync: JournalSync::Everysec, ..general },
            ),
        ] {
            assert_eq!(
                table(text).unwrap().settings(false, general).durability,
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn isolate_of_table_overrides_list() {
        for (text, listed, unlisted) in [
            ("", Isolate::Always, Isolate::Auto),
            ("isolate = true", Isolate::Always, Isolate::Always),
            ("isolate = false", Isolate::Never, Isolate::Never),
            ("isolate = 'auto'", Isolate::Auto, Isolate::Auto),
        ] {
            let table = table(text).unwrap();
            assert_eq!(table.settings(true, Durability::default()).isolate, listed, "{text}");
            assert_eq!(table.settings(false, Durability::default()).isolate, unlisted, "{text}");
        }
    }

    #[test]
    fn wrong_value_is_refused_with_what_is_valid() {
        for (text, problem) in [
            ("isolate = 'yes'", "'isolate' takes true, false or \"auto\", not \"yes\""),
            ("isolate = 1", "'isolate' takes true, false or \"auto\", not a number"),
            ("processes = 0", "invalid value '0' for 'processes': a number of processes is from"),
            ("processes = 65", "invalid value '65' for 'processes'"),
            ("processes = [1]", "'processes' takes text or a number, not a list"),
            ("memory = '1023K'", "invalid value '1023K' for 'memory': a worker process's memory"),
            ("memory = '25%'", "invalid value '25%' for 'memory'"),
            ("call-timeout = -1", "invalid value '-1' for 'call-timeout': a time is a number of"),
            ("cpu = 0", "invalid value '0' for 'cpu': a number of processors is above 0"),
            ("cpu = -0.5", "invalid value '-0.5' for 'cpu'"),
            ("cpu = inf", "invalid value 'inf' for 'cpu'"),
            ("cpu = nan", "invalid value 'nan' for 'cpu'"),
            ("open-files = 15", "invalid value '15' for 'open-files': a number of files is at"),
            ("sandbox = 'on'", "invalid value 'on' for 'sandbox': a sandbox is \"off\", \"files\""),
            ("sandbox = true", "'sandbox' takes text or a number, not true or false"),
            ("durability = 'on'", "invalid value 'on' for 'durability': a durability is \"off\","),
            ("durability = false", "'durability' takes text or a number, not true or false"),
            ("snapshot-interval = '60s'", "invalid value '60s' for 'snapshot-interval': a time is"),
            ("snapshot-interval = -1", "invalid value '-1' for 'snapshot-interval'"),
            ("journal-sync = 'no'", "invalid value 'no' for 'journal-sync': a journal is synced"),
            ("memroy = 1", "unknown key 'memroy', did you mean 'memory'?"),
            ("open_files = 1", "unknown key 'open_files', did you mean 'open-files'?"),
            (
                "zzzzzzz = 1",
                "unknown key 'zzzzzzz'; a plugin's table may have the keys isolate, processes",
            ),
        ] {
            let said = table(text).unwrap_err();
            assert!(said.starts_with(problem), "{text}: {said}");
        }
        for text in ["processes = 1", "processes = 64", "memory = '1M'", "open-files = 16"] {
            assert!(table(text).is_ok(), "{text}");
        }
    }
}
