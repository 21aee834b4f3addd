//! The worker's description of itself.

use super::VERSION;
use crate::live::manifest::{CommandFacts, Manifest};

/// The worker's description of itself. Its names are not checked; [`Manifest::check`] does that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The plugin's name.
    pub name: String,
    /// The plugin's own version.
    pub version: String,
    /// The number of calls that it can be given at once, 1 to 1024.
    pub concurrency: u32,
    /// True if it answers requests to save and restore its state.
    pub has_state: bool,
    /// Its commands.
    pub commands: Vec<CommandFacts>,
}

impl Hello {
    /// Returns the manifest, which is not checked.
    #[must_use]
    pub fn manifest(&self) -> Manifest {
        Manifest {
            name: self.name.clone(),
            version: self.version.clone(),
            api_version: format!("lines {VERSION}"),
            commands: self.commands.clone(),
            untracked_threads: false,
        }
    }
}
