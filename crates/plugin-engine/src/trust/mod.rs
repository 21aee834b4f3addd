//! Checks which users could have changed a file, and which key has signed it.

pub mod permissions;
pub mod signature;

use std::path::PathBuf;

/// The libraries that a host takes.
#[derive(Clone, Debug, Default)]
pub struct PluginTrust {
    /// Takes libraries also where other users can write to them or to the plugins folder, or own
    /// them.
    pub allow_insecure_plugins: bool,
    /// The file with the public key that every library must be signed with; `None`: no signature is
    /// needed.
    pub plugin_key: Option<PathBuf>,
}
