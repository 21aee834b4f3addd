//! The flags that control which libraries are accepted.

use std::path::PathBuf;

/// The rules for which libraries are accepted.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = super::PLUGINS)]
pub struct PluginTrust {
    /// Accept libraries that other users own or can write to, and a plugins folder that they can
    /// write to. Anyone who can write there can run code as the host.
    #[arg(long)]
    pub allow_insecure_plugins: bool,

    /// Accept only libraries that are signed with the key whose public half is in this file, as
    /// `minisign -G` writes it. The signature of `libx.so` is `libx.so.minisig` beside it.
    #[arg(long, value_name = "FILE")]
    pub plugin_key: Option<PathBuf>,
}

impl From<&PluginTrust> for plugin_engine::trust::PluginTrust {
    fn from(flags: &PluginTrust) -> Self {
        let PluginTrust { allow_insecure_plugins, plugin_key } = flags.clone();
        Self { allow_insecure_plugins, plugin_key }
    }
}
