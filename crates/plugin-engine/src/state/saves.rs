//! Records the progress of saving each plugin's state.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Instant,
};

/// The present step of saving a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The plugin's `save` runs.
    Save,
    /// The number of written bytes, and of all bytes.
    Write(u64, u64),
    /// All bytes are written, and the disk is being flushed.
    Flush,
}

/// The progress of saving each state.
#[derive(Debug, Default)]
pub struct Saves {
    stages: Mutex<BTreeMap<String, (Stage, Instant)>>,
    /// The number of states that could not be saved at the host's end.
    failed_last: OnceLock<usize>,
}

impl Saves {
    /// Begins a step for a plugin's state.
    pub fn note(&self, plugin: &str, stage: Stage) {
        self.stages().insert(plugin.to_owned(), (stage, Instant::now()));
    }

    /// Updates the step of a plugin's state; does nothing once nobody waits for it.
    pub fn advance(&self, plugin: &str, stage: Stage) {
        if let Some((noted, _)) = self.stages().get_mut(plugin) {
            *noted = stage;
        }
    }

    /// Returns the present step for a plugin's state.
    pub fn stage(&self, plugin: &str) -> Option<Stage> {
        self.stages().get(plugin).map(|(stage, _)| *stage)
    }

    /// Notes that no step is running for a plugin's state.
    pub fn done(&self, plugin: &str) {
        self.stages().remove(plugin);
    }

    /// Notes that the last saves have ended, and the number of failures.
    pub fn finish(&self, failed: usize) {
        // It is called once.
        let _ = self.failed_last.set(failed);
    }

    /// Returns the number of states that could not be saved at the host's end; `None` until the
    /// last saves have ended.
    pub fn failed_last(&self) -> Option<usize> {
        self.failed_last.get().copied()
    }

    /// Describes the running steps and their durations; `None` if there are none.
    #[must_use]
    pub fn describe(&self, now: Instant) -> Option<String> {
        let stages = self.stages();
        let each = stages.iter().map(|(plugin, (stage, since))| {
            let seconds = now.saturating_duration_since(*since).as_secs();
            format!("plugin {plugin}: {stage} (for {seconds} s)")
        });
        let text = each.collect::<Vec<_>>().join("; ");
        (!text.is_empty()).then_some(text)
    }

    fn stages(&self) -> MutexGuard<'_, BTreeMap<String, (Stage, Instant)>> {
        self.stages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MIB: u64 = 1 << 20;
        match self {
            Self::Save => out.write_str("in `save`"),
            Self::Write(written, total) => {
                write!(out, "{} of {} MiB written", written / MIB, total.div_ceil(MIB))
            }
            Self::Flush => out.write_str("all written, the disk is being flushed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn stages_are_described_until_they_are_over() {
        let saves = Saves::default();
        let later = Instant::now() + Duration::from_millis(7500);
        assert_eq!(saves.describe(later), None);
        saves.note("store", Stage::Write(0, 3 << 20));
        saves.advance("store", Stage::Write(1 << 20, 3 << 20));
        saves.advance("text", Stage::Flush);
        assert_eq!(saves.stage("store"), Some(Stage::Write(1 << 20, 3 << 20)));
        assert_eq!(saves.stage("text"), None, "nobody waits for it");
        saves.note("keeper", Stage::Save);
        assert_eq!(
            saves.describe(later).unwrap(),
            "plugin keeper: in `save` (for 7 s); plugin store: 1 of 3 MiB written (for 7 s)"
        );
        saves.done("keeper");
        saves.done("store");
        assert_eq!(saves.describe(later), None);
        assert_eq!(saves.failed_last(), None);
        saves.finish(1);
        assert_eq!(saves.failed_last(), Some(1));
    }
}
