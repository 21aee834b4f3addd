//! The announcements by which hosts tell of themselves, and their lists of commands.

use std::{collections::BTreeMap, net::SocketAddr};

use plugin_engine::live::manifest::CommandFacts;
use serde::{Deserialize, Serialize};

/// A host's announcement of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Announcement {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The version of the host.
    pub version: String,
    /// The addresses that it serves on.
    pub addresses: Vec<SocketAddr>,
    /// The platform that it runs on.
    pub target: String,
    /// The number of times that it has been connected. Replies may have been lost in between.
    pub connects: usize,
    /// The number of its list of commands, which grows with each change.
    pub revision: u64,
    /// The plugins that it serves, each with its version.
    pub plugins: Vec<(String, String)>,
    /// The number of calls of other hosts that it runs.
    pub running: usize,
    /// The rolled-out versions that have proved themselves there, by the key of their rollout.
    #[serde(default)]
    pub rollouts: BTreeMap<String, String>,
    /// Its state.
    pub state: HostState,
}

/// The state of a host in its fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostState {
    /// It answers calls.
    Serves,
    /// It takes no further calls, and finishes those that it has.
    Leaves,
    /// It has ended.
    Ended,
}

/// A command that a host answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The plugin that answers it.
    pub plugin: String,
    /// The plugin's version.
    pub version: String,
    /// The command.
    #[serde(flatten)]
    pub facts: CommandFacts,
}
