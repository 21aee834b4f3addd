//! The flags that say where settings and state lie.

use std::path::PathBuf;

/// Which settings file is read.
#[derive(Clone, Debug, clap::Args)]
pub struct ConfigPlace {
    /// The settings file (TOML), with flags' names as its keys. Default: `dropin/host.toml` in the
    /// user's configuration directory, if it is there.
    #[arg(long, env = "DROPIN_HOST_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Which state directory is meant.
#[derive(Clone, Debug, clap::Args)]
pub struct StatePlace {
    /// The host's state directory. Default: `dropin` in the user's state directory.
    #[arg(long, env = "DROPIN_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// Where the settings file is.
    #[command(flatten)]
    pub settings: ConfigPlace,
}
