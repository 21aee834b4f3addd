//! The flags that control the durability of plugins' states.

use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use plugin_engine::state::durability::{Durability, JournalSync, Mode};

use super::units::seconds;

/// The durability of plugins whose tables in the settings file do not set it.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = super::PLUGINS)]
pub struct DurabilityArgs {
    /// The changes of plugins' states that outlast a crash of the host. With `off`, a state is
    /// saved when the host ends in order; with `snapshot`, also at every --snapshot-interval in
    /// which the plugin was called; with `journal`, each command that writes is recorded before
    /// its client gets the reply. Default: `journal` for a plugin that keeps state and declares
    /// commands that write, `off` for others. The key `durability` of a table [plugin.NAME] in
    /// the settings file overrides it.
    #[arg(long, value_name = "MODE",
          value_parser = PossibleValuesParser::new(Mode::NAMES)
              .try_map(|text| text.parse::<Mode>()))]
    pub durability: Option<Mode>,

    /// The time between two snapshots of a plugin's state, in seconds; 0 for none by time. The key
    /// `snapshot-interval` of a table [plugin.NAME] overrides it.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub snapshot_interval: Duration,

    /// The time at which a journal is flushed to the disk: with `always`, before each reply; with
    /// `everysec`, once a second, so that a power cut costs a second at most and a crash of the
    /// host nothing; with `never`, when the system decides to. The key `journal-sync` of a table
    /// [plugin.NAME] overrides it.
    #[arg(long, value_name = "WHEN", default_value_t = JournalSync::Everysec,
          value_parser = PossibleValuesParser::new(JournalSync::NAMES)
              .try_map(|text| text.parse::<JournalSync>()))]
    pub journal_sync: JournalSync,
}

impl DurabilityArgs {
    /// Returns the durability that the flags describe.
    pub fn durability(&self) -> Durability {
        Durability {
            mode: self.durability,
            snapshot_interval: self.snapshot_interval,
            journal_sync: self.journal_sync,
        }
    }
}
