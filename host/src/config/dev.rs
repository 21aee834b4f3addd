//! The flags of a development host.

use std::path::{Path, PathBuf};

use super::Serve;

/// The default value of a folder that is not named. No path is equal to it.
const OF_ITS_OWN: &str = "\u{1}";

/// The flags of a development host.
#[derive(Clone, Debug, clap::Args)]
pub struct Dev {
    /// The folder of the plugin's crate, with its Cargo.toml, or an executable file.
    #[arg(value_name = "PLUGIN")]
    pub plugin: PathBuf,

    /// Build with optimisation.
    #[arg(long)]
    pub release: bool,

    /// The flags of a serving host.
    #[command(flatten)]
    pub serve: Box<Serve>,

    /// Arguments for `cargo build`, after `--`.
    #[arg(last = true)]
    pub cargo: Vec<String>,
}

impl Dev {
    /// Gives the plugins folder and the state directory other defaults, so that `host dev` touches
    /// neither the plugins nor the states of a serving host.
    pub fn with_own_folders(command: clap::Command) -> clap::Command {
        let own = |help: &'static str| {
            move |arg: clap::Arg| {
                let arg = arg.env(clap::builder::Resettable::Reset).help(help).long_help(None);
                arg.default_value(OF_ITS_OWN).hide_default_value(true)
            }
        };
        let plugins = "The plugins folder. Default: a temporary folder, which is removed when the \
                       host ends";
        let state_dir = "The directory for keys, certificate and plugins' states. Default: a \
                         temporary folder, which is removed when the host ends";
        command.mut_arg("plugins", own(plugins)).mut_arg("state_dir", own(state_dir))
    }

    /// Returns the plugins folder, if one is named.
    pub fn plugins(&self) -> Option<&Path> {
        Some(self.serve.plugins.as_path()).filter(|folder| *folder != Path::new(OF_ITS_OWN))
    }

    /// Returns the state directory, if one is named.
    pub fn state_dir(&self) -> Option<&Path> {
        self.serve.state_dir.as_deref().filter(|folder| *folder != Path::new(OF_ITS_OWN))
    }
}
