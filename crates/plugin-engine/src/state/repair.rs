//! Makes a damaged state usable again: keeps its longest correct part, and a copy of the rest.

use std::{
    fmt,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use journal::{ReadError, segment::HEADER};
use platform::durable::{self, Disk, RealDisk};

use super::{
    aside::Aside,
    file::Unusable,
    inspection::{Inspection, SegmentFacts, StateProblem, read_snapshot},
    write::file_in,
};

/// The changes that make a damaged state usable again.
#[derive(Debug)]
pub struct Repair {
    folder: PathBuf,
    plugin: String,
    change: Change,
}

#[derive(Debug)]
enum Change {
    /// Puts the snapshot before in place of the damaged one, which begins at this record.
    Snapshot(PathBuf, u64),
    /// Cuts a segment at an offset and removes others.
    Journal {
        cut: Option<(PathBuf, u64)>,
        remove: Vec<PathBuf>,
        /// The number of bytes that are dropped.
        bytes: u64,
        /// The records behind the snapshot that are kept: the first, and the one behind the last.
        kept: (u64, u64),
    },
}

/// The reason for which a state cannot be repaired.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// A system call failed.
    #[error("cannot repair the state in {}: {error}", folder.display())]
    Io {
        /// The folder of the states.
        folder: PathBuf,
        /// The cause.
        #[source]
        error: io::Error,
    },
    /// The files cannot be read, or a newer host has written them.
    #[error("{0}; that is no damage that a repair could mend")]
    Unreadable(String),
    /// Neither snapshot can be used.
    #[error("{0}")]
    NoSnapshot(String),
}

impl Repair {
    /// Plans the repair of the first damage of a plugin's state; `None` if there is none. Changes
    /// nothing.
    ///
    /// # Errors
    /// The files cannot be read, or no part of them can be kept.
    pub fn plan(folder: &Path, plugin: &str) -> Result<Option<Self>, RepairError> {
        let failed = |error| RepairError::Io { folder: folder.to_owned(), error };
        let inspection = Inspection::of(folder, plugin).map_err(failed)?;
        let change = match &inspection.problem {
            None => return Ok(None),
            Some(StateProblem::Snapshot(_, Unusable::Damaged(_))) => {
                plan_snapshot(folder, plugin, &inspection)?
            }
            Some(StateProblem::Journal(ReadError::Damaged { file, offset, .. })) => {
                plan_journal(&inspection, file, *offset)
            }
            Some(StateProblem::Journal(ReadError::Gap { file, .. })) => {
                plan_journal(&inspection, file, 0)
            }
            Some(_) => {
                let problem = inspection.explain_problem(folder, plugin).unwrap_or_default();
                return Err(RepairError::Unreadable(problem));
            }
        };
        Ok(Some(Self { folder: folder.to_owned(), plugin: plugin.to_owned(), change }))
    }

    /// Copies the files aside and makes the changes. Returns the folder of the copies.
    ///
    /// # Errors
    /// The disk is full or fails. A repair can then be planned anew.
    pub fn run(&self) -> Result<PathBuf, RepairError> {
        let failed = |error| RepairError::Io { folder: self.folder.clone(), error };
        self.change_files().map_err(failed)
    }

    fn change_files(&self) -> io::Result<PathBuf> {
        let Self { folder, plugin, change } = self;
        let aside = Aside::make(folder, plugin, "damaged")?;
        match change {
            Change::Snapshot(before, _) => {
                let file = file_in(folder, plugin, "state");
                aside.keep(&file)?;
                aside.flush()?;
                let draft = file_in(folder, plugin, durable::DRAFT);
                durable::remove(&draft)?;
                if RealDisk.link(before, &draft).is_err() {
                    // Some file systems have no hard links.
                    fs::copy(before, &draft)?;
                    RealDisk.flush(&File::options().write(true).open(&draft)?)?;
                }
                RealDisk.rename(&draft, &file)?;
            }
            Change::Journal { cut, remove, .. } => {
                remove.iter().try_for_each(|file| aside.keep(file))?;
                cut.iter().try_for_each(|(file, _)| aside.copy(file))?;
                aside.flush()?;
                remove.iter().try_for_each(|file| durable::remove(file))?;
                if let Some((file, offset)) = cut {
                    let opened = File::options().write(true).open(file)?;
                    opened.set_len(*offset)?;
                    RealDisk.flush(&opened)?;
                }
            }
        }
        RealDisk.flush_folder(folder)?;
        Ok(aside.path().to_owned())
    }
}

fn plan_snapshot(
    folder: &Path,
    plugin: &str,
    inspection: &Inspection,
) -> Result<Change, RepairError> {
    let (file, before) = (file_in(folder, plugin, "state"), file_in(folder, plugin, "state.1"));
    let (shown, shown_before) = (file.display(), before.display());
    let anew = format!(
        "to start without state, move {} away",
        folder.join(format!("{plugin}.state* and {plugin}.journal.*")).display()
    );
    let refuse = |problem: String| Err(RepairError::NoSnapshot(problem));
    let snapshot = match read_snapshot(folder, plugin, "state.1") {
        Ok(Some(snapshot)) => snapshot,
        Ok(None) => {
            return refuse(format!(
                "{shown} is damaged, and there is no snapshot before it; restore a backup; {anew}"
            ));
        }
        Err(problem) => {
            return refuse(format!(
                "{shown} is damaged, and {shown_before} {problem}; restore a backup; {anew}"
            ));
        }
    };
    if !inspection.segments.is_empty() {
        let read = journal::read(folder, plugin, snapshot.record, &mut |_| Ok::<_, String>(()));
        if let Err(error) = read {
            return refuse(format!(
                "{shown} is damaged, and the journal behind the snapshot before it cannot be used: \
                 {error}; restore a backup; to go on with a part of the state, move \
                 {shown_before} to {shown} and repair again; {anew}"
            ));
        }
    }
    Ok(Change::Snapshot(before, snapshot.record))
}

/// Plans what to do about the journal, of which `file` cannot be used from `offset` on.
fn plan_journal(inspection: &Inspection, file: &Path, offset: u64) -> Change {
    let segments = &inspection.segments;
    let at = segments.iter().position(|one| one.file == file).unwrap_or(segments.len());
    let (before, behind) = segments.split_at(at);
    let from = inspection.snapshot.as_ref().map_or(0, |snapshot| snapshot.record);
    let total = |all: &[SegmentFacts]| all.iter().map(|one| one.bytes).sum::<u64>();
    let files = |all: &[SegmentFacts]| all.iter().map(|one| one.file.clone()).collect::<Vec<_>>();
    let kept = before.iter().chain(behind.first().filter(|_| offset > HEADER as u64));
    let ends = kept.filter_map(|one| Some(one.first? + one.records));
    let kept = (from, ends.max().unwrap_or(from).max(from));
    let has_cut = offset >= HEADER as u64;
    let (cut, gone) = match behind {
        [damaged, gone @ ..] if has_cut => (Some(damaged), gone),
        gone => (None, gone),
    };
    let mut remove = files(gone);
    // Without the first ones, records would be missing.
    remove.reverse();
    let bytes = total(gone) + cut.map_or(0, |damaged| damaged.bytes.saturating_sub(offset));
    let cut = cut.map(|damaged| (damaged.file.clone(), offset));
    Change::Journal { cut, remove, bytes, kept }
}

impl fmt::Display for Repair {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plugin = &self.plugin;
        match &self.change {
            Change::Snapshot(before, record) => write!(
                out,
                "plugin {plugin}: {} takes the place of the damaged snapshot; the journal goes on \
                 from record {record}",
                before.display()
            ),
            Change::Journal { kept: (first, end), bytes, .. } => write!(
                out,
                "plugin {plugin}: {} records of the journal behind the snapshot are kept, from \
                 {first} on; {bytes} bytes behind them are dropped",
                end - first
            ),
        }
    }
}
