//! Reads all files of a plugin's state without the plugin, and describes them.

use std::{
    collections::BTreeSet,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use journal::{
    ReadError, Torn,
    folder::{self, path_of},
    segment,
};

use super::{
    file::{Form, Unusable},
    store::{States, explain},
    write::file_in,
};
use crate::live::manifest::is_plugin_name;

/// The files of a plugin's state, as far as they can be read.
#[derive(Debug)]
pub struct Inspection {
    /// The snapshot; `None` if there is none, or it cannot be used.
    pub snapshot: Option<SnapshotFacts>,
    /// The segments of the journal, in order. Those behind the first damage are not read.
    pub segments: Vec<SegmentFacts>,
    /// The number of the next record.
    pub next: u64,
    /// The torn record at the end of the journal.
    pub torn: Option<Torn>,
    /// The reason for which a host would refuse the state; `None` if it opens.
    pub problem: Option<StateProblem>,
}

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotFacts {
    /// The file.
    pub file: PathBuf,
    /// The length of the state, in bytes.
    pub bytes: u64,
    /// Its form.
    pub form: Form,
    /// The number of the first record of the journal that it does not contain.
    pub record: u64,
}

/// A segment of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentFacts {
    /// The file.
    pub file: PathBuf,
    /// The number of its first record, as its header says; `None` if the header cannot be read.
    pub first: Option<u64>,
    /// The number of records that were read.
    pub records: u64,
    /// The length of the file, in bytes.
    pub bytes: u64,
    /// The times of the first and the last record, in milliseconds since 1970.
    pub times: Option<(u64, u64)>,
}

/// The reason for which a host would refuse a state.
#[derive(Debug)]
pub enum StateProblem {
    /// The snapshot cannot be used.
    Snapshot(PathBuf, Unusable),
    /// The journal cannot be used.
    Journal(ReadError<String>),
}

impl Inspection {
    /// Reads the snapshot and the journal of a plugin completely. A host may serve them meanwhile.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn of(folder: &Path, plugin: &str) -> io::Result<Self> {
        /// The host removes old segments while they are read: then they are read anew.
        const ATTEMPTS: usize = 5;
        let mut attempt = 1;
        loop {
            let before = folder::list(folder, plugin)?;
            let inspection = Self::read(folder, plugin)?;
            let is_settled = inspection.problem.is_none()
                || before.first() == folder::list(folder, plugin)?.first();
            if is_settled || attempt == ATTEMPTS {
                return Ok(inspection);
            }
            attempt += 1;
        }
    }

    fn read(folder: &Path, plugin: &str) -> io::Result<Self> {
        let mut inspection =
            Self { snapshot: None, segments: Vec::new(), next: 0, torn: None, problem: None };
        match read_snapshot(folder, plugin, "state") {
            Ok(snapshot) => inspection.snapshot = snapshot,
            Err(unusable) => {
                let file = file_in(folder, plugin, "state");
                inspection.problem = Some(StateProblem::Snapshot(file, unusable));
            }
        }
        for (_, file) in folder::list(folder, plugin)? {
            let bytes = fs::metadata(&file).map_or(0, |data| data.len());
            let header = segment::read_header::<()>(&file).ok().flatten();
            let first = header.map(|header| header.first);
            inspection.segments.push(SegmentFacts { file, first, records: 0, bytes, times: None });
        }
        if inspection.problem.is_none() {
            let from = inspection.snapshot.as_ref().map_or(0, |snapshot| snapshot.record);
            match inspection.read_journal(folder, plugin, from) {
                Ok(found) => (inspection.next, inspection.torn) = (found.next, found.torn),
                Err(error) => inspection.problem = Some(StateProblem::Journal(error)),
            }
        }
        Ok(inspection)
    }

    fn read_journal(
        &mut self,
        folder: &Path,
        plugin: &str,
        from: u64,
    ) -> Result<journal::Found, ReadError<String>> {
        let (mut at, segments) = (0, &mut self.segments);
        // The older ones are kept for the snapshot before.
        for one in segments.iter_mut() {
            if one.first.is_some_and(|first| first < from) {
                // An error is found again below.
                let _ = segment::read::<()>(&one.file.clone(), &mut |record| {
                    one.note(record.time);
                    Ok(())
                });
            }
        }
        journal::read(folder, plugin, from, &mut |record| {
            let is_next = |one: &SegmentFacts| one.first.is_some_and(|it| it <= record.number);
            while segments.get(at + 1).is_some_and(is_next) {
                at += 1;
            }
            if let Some(one) = segments.get_mut(at).filter(|one| one.first >= Some(from)) {
                one.note(record.time);
            }
            Ok(())
        })
    }

    /// Returns true if there is no file of a state.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.snapshot.is_none() && self.segments.is_empty() && self.problem.is_none()
    }

    /// Returns the reason for which a host would refuse the state. A [repair](super::repair) is the
    /// remedy for damage.
    #[must_use]
    pub fn explain_problem(&self, folder: &Path, plugin: &str) -> Option<String> {
        match self.problem.as_ref()? {
            StateProblem::Snapshot(file, unusable @ Unusable::Damaged(_)) => {
                Some(format!("its saved state {} {unusable}", file.display()))
            }
            StateProblem::Snapshot(file, unusable) => {
                let before = file_in(folder, plugin, "state.1");
                Some(explain(file, before.exists().then_some(&*before), unusable))
            }
            StateProblem::Journal(error) => Some(error.to_string()),
        }
    }

    /// Returns a number that is above those of all records, also of those that cannot be read.
    #[must_use]
    pub fn beyond(&self) -> u64 {
        let snapshot = self.snapshot.as_ref().map_or(0, |snapshot| snapshot.record);
        // A record is longer than a byte.
        let ends = self.segments.iter().map(|one| one.first.unwrap_or(0).saturating_add(one.bytes));
        ends.chain([snapshot, self.next]).max().unwrap_or(0).saturating_add(1)
    }
}

impl SegmentFacts {
    fn note(&mut self, time: u64) {
        let first = self.times.map_or(time, |(first, _)| first);
        self.times = Some((first, time));
        self.records += 1;
    }
}

impl fmt::Display for Form {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::Bytes => "bytes",
            Self::Commands => "commands",
        })
    }
}

/// Reads a snapshot completely; `None` if there is none. `ending` is `state` or `state.1`.
///
/// # Errors
/// It cannot be read, or is damaged.
pub(super) fn read_snapshot(
    folder: &Path,
    plugin: &str,
    ending: &str,
) -> Result<Option<SnapshotFacts>, Unusable> {
    let file = file_in(folder, plugin, ending);
    let before = file_in(folder, plugin, "state.1");
    let saved = States::read(&file, before != file && before.exists(), &mut |_, _| Ok(()))?;
    Ok(saved.map(|saved| {
        let form = if saved.bytes.is_some() { Form::Bytes } else { Form::Commands };
        SnapshotFacts { file, bytes: saved.length, form, record: saved.record }
    }))
}

/// Returns the names of the plugins that have files in a folder of states, sorted.
///
/// # Errors
/// The folder cannot be read; a missing one has no states.
pub fn plugins_in(folder: &Path) -> io::Result<BTreeSet<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        entries => entries?,
    };
    let mut names = BTreeSet::new();
    for entry in entries {
        let name = entry?.file_name();
        if let Some((plugin, ending)) = name.to_str().and_then(|name| name.split_once('.'))
            && is_plugin_name(plugin)
            && (["state", "state.1"].contains(&ending) || ending.starts_with("journal."))
        {
            names.insert(plugin.to_owned());
        }
    }
    Ok(names)
}

/// Returns the files of a plugin's state that there are, the segments last.
///
/// # Errors
/// The folder cannot be read.
pub(super) fn files_of(folder: &Path, plugin: &str) -> io::Result<Vec<PathBuf>> {
    let states = ["state", "state.1", "state.new"].map(|ending| file_in(folder, plugin, ending));
    let segments = folder::list(folder, plugin)?;
    let segments = segments.into_iter().map(|(number, _)| path_of(folder, plugin, number));
    Ok(states.into_iter().filter(|file| file.exists()).chain(segments).collect())
}
