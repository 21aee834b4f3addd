//! Copies a plugin's description of itself out of its library and checks it.

use std::collections::HashSet;

use plugin_api::{Usage, abi, is_command_name};
use serde::{Deserialize, Serialize};

use crate::load_error::Refusal;

/// The longest plugin name, in bytes: it also names directories.
const MAX_NAME: usize = 64;

/// The longest version, in bytes.
const MAX_VERSION: usize = 128;

/// A plugin's description of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Its name.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// The plugin API that it was built for.
    pub api_version: String,
    /// Its commands; a call names a command by its index here.
    pub commands: Vec<CommandFacts>,
    /// True if it starts threads that the host does not know of, so it is never unloaded.
    pub untracked_threads: bool,
}

/// A command's description.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandFacts {
    /// Its name, in lower case.
    pub name: String,
    /// Its arguments, as a usage line.
    pub usage: String,
    /// A sentence for people.
    pub help: String,
    /// True if it changes the plugin's state.
    #[serde(default)]
    pub writes: bool,
    /// True if running it twice is as good as running it once.
    #[serde(default)]
    pub idempotent: bool,
}

impl Manifest {
    /// Returns true if at least one command declares that it writes.
    #[must_use]
    pub fn declares_writes(&self) -> bool {
        self.commands.iter().any(|command| command.writes)
    }

    /// Copies the library's manifest.
    #[must_use]
    pub fn copy(raw: &abi::Manifest, api_version: &str) -> Self {
        let attribute = |name: &str| {
            raw.attributes.iter().find(|pair| pair.0 == name).map(|pair| pair.1.as_str())
        };
        let is_set = |command: &abi::Command, name: &str| {
            command.attributes.iter().any(|pair| pair.0 == name && pair.1 == "true")
        };
        let commands = raw.commands.iter().map(|command| CommandFacts {
            name: command.name.to_string(),
            usage: command.usage.to_string(),
            help: command.help.to_string(),
            writes: is_set(command, "writes"),
            idempotent: is_set(command, "idempotent"),
        });
        Self {
            name: raw.name.to_string(),
            version: raw.version.to_string(),
            api_version: api_version.to_owned(),
            commands: commands.collect(),
            untracked_threads: attribute("threads") == Some("untracked"),
        }
    }

    /// Returns the names of its commands, sorted.
    pub fn command_names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.commands.iter().map(|command| command.name.clone()).collect();
        names.sort();
        names
    }

    /// Checks the rules that every manifest must meet by itself.
    ///
    /// # Errors
    /// The first broken rule.
    pub fn check(&self) -> Result<(), Refusal> {
        let breach = |problem: String| Err(Refusal::Manifest { problem });
        if !is_plugin_name(&self.name) {
            return breach(format!(
                "its name '{}' is illegal: a plugin's name is 1 to {MAX_NAME} of a-z 0-9 - _, a \
                 letter or digit first",
                self.name.escape_debug()
            ));
        }
        for version in [&self.version, &self.api_version] {
            if version.len() > MAX_VERSION || version.contains(char::is_control) {
                return breach(format!(
                    "its version '{}' is illegal: at most {MAX_VERSION} bytes without control \
                     characters",
                    version.escape_debug()
                ));
            }
        }
        let mut seen = HashSet::new();
        for command in &self.commands {
            if !is_command_name(&command.name) {
                return breach(format!(
                    "its command '{}' has an illegal name: 1 to {} of a-z 0-9 . - _, a letter or \
                     digit first",
                    command.name.escape_debug(),
                    plugin_api::MAX_NAME
                ));
            }
            if !seen.insert(&command.name) {
                return breach(format!("it has the command '{}' twice", command.name));
            }
            if let Err(error) = Usage::parse(&command.usage) {
                return breach(format!("its command '{}': {error}", command.name));
            }
            for (what, text) in [("usage line", &command.usage), ("help", &command.help)] {
                if text.contains(char::is_control) {
                    return breach(format!(
                        "its command '{}': its {what} '{}' is not one line without control \
                         characters",
                        command.name,
                        text.escape_debug()
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Returns true if `name` is a legal plugin name.
#[must_use]
pub fn is_plugin_name(name: &str) -> bool {
    let legal = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-_".contains(&c);
    name.len() <= MAX_NAME
        && name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
        && name.bytes().all(legal)
}

#[cfg(test)]
mod tests {
    use abi_stable::std_types::{RStr, Tuple2};
    use plugin_api::export::{command_with, pair, slice, text};

    use super::*;

    fn manifest(name: &str, commands: &[(&str, &str)]) -> Manifest {
        let facts = |(name, usage): &(&str, &str)| CommandFacts {
            name: (*name).into(),
            usage: (*usage).into(),
            ..CommandFacts::default()
        };
        Manifest {
            name: name.into(),
            version: "1.0.0".into(),
            api_version: abi::API_VERSION.into(),
            commands: commands.iter().map(facts).collect(),
            untracked_threads: false,
        }
    }

    #[test]
    fn attributes_of_commands_are_copied() {
        type Attributes = &'static [Tuple2<RStr<'static>, RStr<'static>>];
        const NONE: Attributes = &[];
        const WRITES: Attributes = &[pair("writes", "true")];
        const BOTH: Attributes =
            &[pair("idempotent", "true"), pair("later", "true"), pair("writes", "true")];
        const FALSE: Attributes = &[pair("writes", "false")];
        const COMMANDS: &[abi::Command] = &[
            command_with(("get", "KEY", ""), NONE),
            command_with(("incr", "KEY", ""), WRITES),
            command_with(("set", "KEY VALUE", ""), BOTH),
            command_with(("peek", "KEY", ""), FALSE),
        ];
        let raw = abi::Manifest {
            name: text("store"),
            version: text("1.0.0"),
            commands: slice(COMMANDS),
            attributes: slice(NONE),
        };
        let copied = Manifest::copy(&raw, "1.4.0");
        let flags: Vec<_> = copied
            .commands
            .iter()
            .map(|command| (command.name.as_str(), command.writes, command.idempotent))
            .collect();
        assert_eq!(
            flags,
            [
                ("get", false, false),
                ("incr", true, false),
                ("set", true, true),
                ("peek", false, false)
            ]
        );
    }

    #[test]
    fn facts_without_attributes_have_none() {
        let facts: CommandFacts =
            serde_json::from_str(r#"{"name":"get","usage":"KEY","help":""}"#).unwrap();
        assert!(!facts.writes && !facts.idempotent);
    }

    #[test]
    fn a_manifest_that_breaks_a_rule_is_refused() {
        assert_eq!(manifest("text", &[("echo", "TEXT.."), ("up", "")]).check(), Ok(()));
        let breaches = [
            (manifest("", &[]), "name ''"),
            (manifest("../x", &[]), "'../x'"),
            (manifest("text", &[("Echo", "")]), "'Echo'"),
            (manifest("text", &[("a b", "")]), "'a b'"),
            (manifest("text", &[("echo", ""), ("echo", "")]), "'echo' twice"),
            (manifest("text", &[("echo", "[A] B")]), "'echo'"),
        ];
        for (manifest, said) in breaches {
            let refusal = manifest.check().unwrap_err().to_string();
            assert!(refusal.contains(said), "{refusal}");
        }
    }
}
