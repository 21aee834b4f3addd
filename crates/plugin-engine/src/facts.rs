//! Facts about commands, plugins and sessions, as a worker may know them.

use std::{net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};

/// A plugin's entry in the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginFacts {
    /// Its name.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// The number of its loaded versions, this one included.
    pub generation: u64,
    /// Its file's name in the plugins folder.
    pub file: String,
    /// Its commands' names, sorted.
    pub commands: Vec<String>,
}

/// A command, as a worker may know it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListedCommand {
    /// Its name, in lower case.
    pub name: String,
    /// Its arguments.
    pub usage: String,
    /// One sentence for people.
    pub help: String,
    /// The plugin that answers it; empty for a built-in.
    pub plugin: String,
}

/// A session, as a worker may know it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SessionFacts {
    /// Its number.
    pub id: u64,
    /// Its client's address.
    pub peer: SocketAddr,
    /// The name that its client gave it; empty where it gave none.
    pub name: String,
    /// The time since it began.
    pub age: Duration,
    /// The time since its last command.
    pub idle: Duration,
    /// The number of commands that it has sent.
    pub commands: u64,
}
