//! What a worker can learn of the host's sessions, commands and plugins.

use std::{net::SocketAddr, time::Duration};

use crate::abi::{RawCommand, RawPlugin, RawSession};

/// A live session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// Its number, never used twice while the host runs.
    pub id: u64,
    /// Where its client is.
    pub peer: SocketAddr,
    /// The name that the client gave itself, or nothing.
    pub name: String,
    /// Since the client connected.
    pub age: Duration,
    /// Since its last command.
    pub idle: Duration,
    /// How many commands it has sent.
    pub commands: u64,
}

/// A command in the host's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandInfo {
    /// Its name, in lower case.
    pub name: String,
    /// Its arguments.
    pub usage: String,
    /// One sentence for people.
    pub help: String,
    /// The plugin that answers it; `None` for the host's own.
    pub plugin: Option<String>,
}

/// A plugin that the host serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginInfo {
    /// Its name.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// How many times a version of it has been loaded, this one included.
    pub generation: u64,
    /// The library's file name in the plugins folder.
    pub file: String,
    /// The names of its commands.
    pub commands: Vec<String>,
}

impl From<RawSession> for SessionInfo {
    fn from(raw: RawSession) -> Self {
        Self {
            id: raw.id,
            peer: raw.peer.into(),
            name: raw.name.into(),
            age: Duration::from_millis(raw.age_millis),
            idle: Duration::from_millis(raw.idle_millis),
            commands: raw.commands,
        }
    }
}

impl From<RawCommand> for CommandInfo {
    fn from(raw: RawCommand) -> Self {
        Self {
            name: raw.name.into(),
            usage: raw.usage.into(),
            help: raw.help.into(),
            plugin: Some(String::from(raw.plugin)).filter(|plugin| !plugin.is_empty()),
        }
    }
}

impl From<RawPlugin> for PluginInfo {
    fn from(raw: RawPlugin) -> Self {
        Self {
            name: raw.name.into(),
            version: raw.version.into(),
            generation: raw.generation,
            file: raw.file.into(),
            commands: raw.commands.into_iter().map(Into::into).collect(),
        }
    }
}
