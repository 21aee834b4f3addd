//! Facts about the host's sessions, commands and plugins that a worker can read.

use std::{net::SocketAddr, time::Duration};

use crate::abi::{RawCommand, RawPlugin, RawSession};

/// A live session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// The session's number, never reused while the host runs.
    pub id: u64,
    /// The client's address.
    pub peer: SocketAddr,
    /// The name that the client has set, or an empty string.
    pub name: String,
    /// Time since the client connected.
    pub age: Duration,
    /// Time since the session's last command.
    pub idle: Duration,
    /// Number of commands that the session has sent.
    pub commands: u64,
}

/// A command in the host's registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandInfo {
    /// The command's name, in lower case.
    pub name: String,
    /// The command's usage line.
    pub usage: String,
    /// The command's help: one sentence.
    pub help: String,
    /// The plugin that answers the command; `None` for a command of the host.
    pub plugin: Option<String>,
}

/// A plugin that the host serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginInfo {
    /// The plugin's name.
    pub name: String,
    /// The plugin's own version.
    pub version: String,
    /// Number of loaded versions of the plugin so far, including this one.
    pub generation: u64,
    /// The library's file name in the plugins folder.
    pub file: String,
    /// The names of the plugin's commands.
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
