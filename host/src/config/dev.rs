//! The flags of a development host.

use std::path::{Path, PathBuf};

use super::Serve;

/// What stands for a folder that nobody has named; no path is like that.
const OF_ITS_OWN: &str = "\u{1}";

/// The flags of a development host.
#[derive(Clone, Debug, clap::Args)]
pub struct Dev {
    /// The folder of the plugin's crate, where its Cargo.toml is.
    #[arg(value_name = "PLUGIN_DIR")]
    pub folder: PathBuf,

    /// Build with optimisation.
    #[arg(long)]
    pub release: bool,

    /// How to serve.
    #[command(flatten)]
    pub serve: Box<Serve>,

    /// Passed on to `cargo build`, after `--`.
    #[arg(last = true)]
    pub cargo: Vec<String>,
}

impl Dev {
    /// Says in its help, and sees to it, that the folders of a host that serves others are not
    /// touched: neither the plugins there nor what they have saved.
    #[must_use]
    pub fn keep_apart(command: clap::Command) -> clap::Command {
        let own = |help: &'static str| {
            move |arg: clap::Arg| {
                let arg = arg.env(clap::builder::Resettable::Reset).help(help).long_help(None);
                arg.default_value(OF_ITS_OWN).hide_default_value(true)
            }
        };
        let plugins = "The folder that the plugin is dropped into. Default: one of its own, which \
                       goes when the host ends";
        let state_dir = "Where the host keeps what outlives it. Default: one of its own, which \
                         goes when the host ends";
        command.mut_arg("plugins", own(plugins)).mut_arg("state_dir", own(state_dir))
    }

    /// The plugins folder, where one has been named.
    #[must_use]
    pub fn plugins(&self) -> Option<&Path> {
        Some(self.serve.plugins.as_path()).filter(|folder| *folder != Path::new(OF_ITS_OWN))
    }

    /// The state directory, where one has been named.
    #[must_use]
    pub fn state_dir(&self) -> Option<&Path> {
        self.serve.state_dir.as_deref().filter(|folder| *folder != Path::new(OF_ITS_OWN))
    }
}
