//! The flags that name the settings file and the state directory.

use std::path::PathBuf;

/// The flag that names the settings file.
#[derive(Clone, Debug, clap::Args)]
pub struct ConfigPlace {
    /// The settings file (TOML), whose keys are the names of flags. Default: `dropin/host.toml` in
    /// the user's configuration directory, if it exists.
    #[arg(long, env = "DROPIN_HOST_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// The flag that names the state directory.
#[derive(Clone, Debug, clap::Args)]
pub struct StatePlace {
    /// The host's state directory. Default: `dropin` in the user's state directory.
    #[arg(long, env = "DROPIN_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// The settings file.
    #[command(flatten)]
    pub settings: ConfigPlace,
}
