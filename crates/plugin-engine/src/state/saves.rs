//! How far the saving of each plugin's state is, for those who wait for it.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Instant,
};

/// What is being done for a state at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The plugin's `save` runs.
    Save,
    /// So many bytes of so many are written.
    Write(u64, u64),
    /// Everything is written, and the disk is asked to keep it.
    Flush,
}

/// How far the saving of each state is.
#[derive(Debug, Default)]
pub struct Saves {
    stages: Mutex<BTreeMap<String, (Stage, Instant)>>,
    /// How many states could not be saved at the host's end.
    failed_last: OnceLock<usize>,
}

impl Saves {
    /// Notes what is being done for a plugin's state.
    pub fn note(&self, plugin: &str, stage: Stage) {
        self.stages().insert(plugin.to_owned(), (stage, Instant::now()));
    }

    /// Notes how far what is being done is; nothing where nobody waits for it any more.
    pub fn advance(&self, plugin: &str, stage: Stage) {
        if let Some((noted, _)) = self.stages().get_mut(plugin) {
            *noted = stage;
        }
    }

    /// What is being done for a plugin's state.
    #[must_use]
    pub fn stage(&self, plugin: &str) -> Option<Stage> {
        self.stages().get(plugin).map(|(stage, _)| *stage)
    }

    /// Notes that nothing is being done for a plugin's state any more.
    pub fn done(&self, plugin: &str) {
        self.stages().remove(plugin);
    }

    /// Notes that the last saves of all are over, and how many of them failed.
    pub fn finish(&self, failed: usize) {
        // They happen once.
        let _ = self.failed_last.set(failed);
    }

    /// How many states could not be saved at the host's end; `None` before the last saves are over.
    #[must_use]
    pub fn failed_last(&self) -> Option<usize> {
        self.failed_last.get().copied()
    }

    /// Says what is being done and for how long; `None` where nothing is.
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
