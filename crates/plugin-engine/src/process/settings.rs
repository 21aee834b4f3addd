//! The operator's settings for one plugin.

use std::time::Duration;

use sandbox::Limits;

use crate::state::durability::Durability;

/// The operator's settings for one plugin.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginSettings {
    /// The place of a library; an executable always runs in a process of its own.
    pub isolate: Isolate,
    /// The number of processes that share its calls, at least 1.
    pub processes: u32,
    /// The longest time that a call may take in a worker process; `None`: as long as it takes.
    pub call_timeout: Option<Duration>,
    /// The limits of each of its processes.
    pub limits: Limits,
    /// The promise of its state over an end of the host.
    pub durability: Durability,
}

/// The place where a library's workers run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolate {
    /// In the host, whatever happens.
    Never,
    /// In the host, until the plugin has crashed it.
    #[default]
    Auto,
    /// In a process of its own.
    Always,
}

/// The source of the operator's settings, which may change while the host serves.
pub trait SettingsSource: Send + Sync {
    /// Returns the present settings of a plugin.
    ///
    /// # Errors
    /// The settings file cannot be read or is wrong, or this system cannot enforce a limit; the
    /// text is for people and has the remedy.
    fn plugin(&self, name: &str) -> Result<PluginSettings, String>;

    /// Returns the names of all plugins that have settings of their own, with their place.
    fn names(&self) -> Vec<(String, String)>;

    /// Returns the words of the command that runs scripts with this extension, such as `python`
    /// for `py`; `None` if none is configured.
    fn interpreter(&self, extension: &str) -> Option<Vec<String>>;
}

impl Default for PluginSettings {
    fn default() -> Self {
        Self {
            isolate: Isolate::Auto,
            processes: 1,
            call_timeout: None,
            limits: Limits::default(),
            durability: Durability::default(),
        }
    }
}
