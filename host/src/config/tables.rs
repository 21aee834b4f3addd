//! The tables of a settings file.

use std::{collections::BTreeMap, ops::Range};

use serde::Deserialize;
use toml::{
    Spanned,
    de::{DeValue, ValueDeserializer},
};

use super::{
    plugin_table::{PluginTable, plugin_name},
    value::describe_kind,
};

/// The names of the tables: one for each plugin is below the first.
pub(super) const NAMES: [&str; 2] = ["plugin", "interpreters"];

/// The tables of a settings file.
#[derive(Debug, Default)]
pub(super) struct Tables {
    plugins: BTreeMap<String, PluginTable>,
    interpreters: BTreeMap<String, Vec<String>>,
    entries: Vec<TableEntry>,
}

/// A key of a table.
#[derive(Clone, Debug)]
pub(super) struct TableEntry {
    /// The table's name, such as `plugin.store`.
    pub(super) table: String,
    /// The key.
    pub(super) key: String,
    /// The value, as in the file.
    pub(super) value: toml::Value,
    /// The line's number, from 1.
    pub(super) line: usize,
}

/// A wrong line of a table: its number, from 1, and the problem.
pub(super) type WrongLine = (usize, String);

impl Tables {
    /// Adds a table at the top of the file, which begins at this line. `line_of` returns the line of
    /// a range of the file.
    pub(super) fn add(
        &mut self,
        name: &str,
        line: usize,
        value: &DeValue<'_>,
        line_of: &dyn Fn(Range<usize>) -> usize,
    ) -> Result<(), WrongLine> {
        let DeValue::Table(table) = value else {
            let example = if name == "plugin" { "[plugin.NAME]" } else { "[interpreters]" };
            let kind = describe_kind(value);
            return Err((line, format!("'{name}' is a table, such as {example}, not {kind}")));
        };
        for (key, value) in table {
            let line = line_of(key.span());
            if name == "plugin" {
                self.add_plugin(key.get_ref(), line, value.get_ref(), line_of)?;
            } else {
                self.add_interpreter(key.get_ref(), line, value)?;
            }
        }
        Ok(())
    }

    /// Returns the table of a plugin, which is empty if the file has none.
    pub(super) fn plugin(&self, name: &str) -> PluginTable {
        self.plugins.get(name).cloned().unwrap_or_default()
    }

    /// Returns the plugins that have tables.
    pub(super) fn plugin_names(&self) -> impl Iterator<Item = &String> {
        self.plugins.keys()
    }

    /// Returns the words of the command that runs scripts with this extension.
    pub(super) fn interpreter(&self, extension: &str) -> Option<&[String]> {
        self.interpreters.get(&extension.to_ascii_lowercase()).map(Vec::as_slice)
    }

    /// Returns the keys of all tables, one table after the other.
    pub(super) fn entries(&self) -> &[TableEntry] {
        &self.entries
    }

    fn add_plugin(
        &mut self,
        name: &str,
        line: usize,
        value: &DeValue<'_>,
        line_of: &dyn Fn(Range<usize>) -> usize,
    ) -> Result<(), WrongLine> {
        if let Err(problem) = plugin_name(name) {
            return Err((line, format!("invalid name '{}': {problem}", name.escape_debug())));
        }
        let DeValue::Table(keys) = value else {
            let kind = describe_kind(value);
            return Err((line, format!("'plugin.{name}' is a plugin's table, not {kind}")));
        };
        let mut table = PluginTable::default();
        for (key, value) in keys {
            let line = line_of(key.span());
            table.set(key.get_ref(), value.get_ref()).map_err(|problem| (line, problem))?;
            self.remember(format!("plugin.{name}"), key.get_ref(), value, line)?;
        }
        self.plugins.insert(name.to_owned(), table);
        Ok(())
    }

    fn add_interpreter(
        &mut self,
        extension: &str,
        line: usize,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<(), WrongLine> {
        let is_legal = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        if extension.is_empty() || !extension.bytes().all(is_legal) {
            let extension = extension.escape_debug();
            let rule = "an extension is of a-z 0-9, without a dot, such as py";
            return Err((line, format!("invalid extension '{extension}': {rule}")));
        }
        let words = words(value.get_ref()).ok_or_else(|| {
            let takes = "takes a command, or a list of it and its arguments, such as [\"python\"]";
            (line, format!("'{extension}' {takes}"))
        })?;
        self.remember("interpreters".into(), extension, value, line)?;
        self.interpreters.insert(extension.to_owned(), words);
        Ok(())
    }

    fn remember(
        &mut self,
        table: String,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        line: usize,
    ) -> Result<(), WrongLine> {
        let value = toml::Value::deserialize(ValueDeserializer::from(value.clone()))
            .map_err(|error| (line, format!("'{key}': {}", error.message())))?;
        self.entries.push(TableEntry { table, key: key.to_owned(), value, line });
        Ok(())
    }
}

/// Returns the words of a command; `None` if the value is none.
fn words(value: &DeValue<'_>) -> Option<Vec<String>> {
    let word = |value: &DeValue<'_>| match value {
        DeValue::String(text) if !text.contains(char::is_control) => {
            Some(text.clone().into_owned())
        }
        _ => None,
    };
    let words: Vec<String> = match value {
        DeValue::Array(values) => {
            values.iter().map(|value| word(value.get_ref())).collect::<Option<_>>()?
        }
        value => vec![word(value)?],
    };
    words.first().is_some_and(|command| !command.is_empty()).then_some(words)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use plugin_engine::state::durability::Durability;

    use super::super::file::SettingsFile;

    fn parse(text: &str) -> Result<SettingsFile, String> {
        SettingsFile::parse(Path::new("host.toml"), text, &super::super::command())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn every_way_to_write_a_table_works() {
        for text in [
            "port = 5001\n[plugin.store]\nprocesses = 2\n[interpreters]\npy = 'python3'\n",
            "plugin.store.processes = 2\ninterpreters.py = ['python3']\n",
            "plugin = { store = { processes = 2 } }\n[interpreters]\npy = 'python3'\n",
        ] {
            let file = parse(text).unwrap();
            let tables = file.tables();
            let settings = |name| tables.plugin(name).settings(false, Durability::default());
            assert_eq!(settings("store").processes, 2, "{text}");
            assert_eq!(settings("other").processes, 1, "{text}");
            assert_eq!(tables.interpreter("py"), Some(&["python3".to_owned()][..]), "{text}");
        }
        assert!(parse("[plugin]\n[plugin.store]\n[interpreters]\n").is_ok());
    }

    #[test]
    fn table_error_names_its_line() {
        for (text, problem) in [
            ("port = 1\n[plugin.store]\n\nmemroy = '1M'", "4: unknown key 'memroy', did you mean"),
            ("[plugin.a]\n[plugin.b]\nprocesses = 0", "3: invalid value '0' for 'processes'"),
            (
                "\n[plugin.Store]\nprocesses = 1",
                "2: invalid name 'Store': a plugin's name is 1 to 64 of a-z 0-9 - _",
            ),
            ("plugin = 1", "1: 'plugin' is a table, such as [plugin.NAME], not a number"),
            ("[[plugin]]\nx = 1", "1: 'plugin' is a table, such as [plugin.NAME], not a list"),
            ("[plugin]\nmemory = '1M'", "2: 'plugin.memory' is a plugin's table, not text"),
            ("[plugins.store]\nx = 1", "1: 'plugins' is no table, did you mean 'plugin'?"),
            ("[interpreter]\npy = 'x'", "1: unknown key 'interpreter', did you mean 'interpr"),
            ("interpreters = 'x'", "1: 'interpreters' is a table, such as [interpreters], not"),
            ("[interpreters]\n'.py' = 'x'", "2: invalid extension '.py': an extension is of"),
            ("[interpreters]\nPY = 'x'", "2: invalid extension 'PY'"),
            ("[interpreters]\n\npy = 3", "3: 'py' takes a command, or a list of it and its arg"),
            ("[interpreters]\npy = []", "2: 'py' takes a command"),
            ("[interpreters]\npy = ['']", "2: 'py' takes a command"),
            ("[interpreters]\npy = ['x', \"a\\nb\"]", "2: 'py' takes a command"),
            ("[interpreters]\npy = ['x', 1]", "2: 'py' takes a command"),
            ("[plugin.x]\ncpu = 1\n\ncpu = 2", "4: duplicate key"),
        ] {
            let said = parse(text).unwrap_err();
            assert!(said.starts_with(&format!("host.toml:{problem}")), "{text}: {said}");
            assert_eq!(said.lines().count(), 1, "{said}");
        }
    }
}
