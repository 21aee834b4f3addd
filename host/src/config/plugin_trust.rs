//! The flags that say which libraries are taken.

use std::path::PathBuf;

/// Which libraries are taken.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = super::PLUGINS)]
pub struct PluginTrust {
    /// Take libraries also where other users can write to them or to the plugins folder, or own
    /// them: whoever can do that can run code as the host.
    #[arg(long)]
    pub allow_insecure_plugins: bool,

    /// Take only libraries that are signed with the key whose public half is in this file, as
    /// `minisign -G` writes it. The signature of `libx.so` is beside it: `libx.so.minisig`.
    #[arg(long, value_name = "FILE")]
    pub plugin_key: Option<PathBuf>,
}

impl From<&PluginTrust> for plugin_engine::trust::PluginTrust {
    fn from(flags: &PluginTrust) -> Self {
        let PluginTrust { allow_insecure_plugins, plugin_key } = flags.clone();
        Self { allow_insecure_plugins, plugin_key }
    }
}
