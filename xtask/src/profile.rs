//! The profile that a task builds with.

use clap::Args;

/// The profile that a task builds with; by default one with some optimisation.
#[derive(Args, Clone, Debug)]
pub struct Profile {
    /// Build without optimisation.
    #[arg(long)]
    debug: bool,
    /// Build with all optimisation, as for a release, which takes longer.
    #[arg(long, conflicts_with = "debug")]
    release: bool,
}

impl Profile {
    /// Returns the folder below `target/` that cargo builds it in.
    pub fn folder(&self) -> &'static str {
        match self {
            Self { debug: true, .. } => "debug",
            Self { release: true, .. } => "release",
            _ => "quick",
        }
    }
}
