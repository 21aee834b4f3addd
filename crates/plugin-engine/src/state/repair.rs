//! Makes a damaged state usable again: keeps its longest correct part, and a copy of the rest.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use journal::{ReadError, segment::HEADER};
use platform::durable::{self, Disk, RealDisk};

use super::{
    aside::Aside,
    file::{self, Unusable},
    inspection::{Inspection, SegmentFacts, SnapshotFacts, StateProblem, read_snapshot},
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
    /// Puts the snapshot before in place of the last one.
    Snapshot {
        /// The snapshot before.
        before: PathBuf,
        /// True if the last one is damaged, false if it is missing.
        is_damaged: bool,
        /// The first record that the snapshot before does not contain; `None` without a journal.
        from: Option<u64>,
    },
    /// Sets the damaged snapshot aside. The journal has this number of records, from 0 on.
    JournalAlone(u64),
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
    /// No part of the state can be kept.
    #[error("{problem}; 'host state repair {plugin}' changes nothing; {advice}")]
    NothingToKeep {
        /// The plugin.
        plugin: String,
        /// The damage.
        problem: String,
        /// The remedies.
        advice: String,
    },
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
        Self::plan_for(&inspection, folder, plugin)
    }

    /// Works as [`plan`](Self::plan), for a state that was inspected.
    ///
    /// # Errors
    /// As `plan`.
    pub fn plan_for(
        inspection: &Inspection,
        folder: &Path,
        plugin: &str,
    ) -> Result<Option<Self>, RepairError> {
        let Some(text) = inspection.explain_problem(folder, plugin) else { return Ok(None) };
        let change = match &inspection.problem {
            Some(StateProblem::Snapshot(_, Unusable::Damaged(_))) => {
                plan_snapshot(inspection, (folder, plugin), &text)?
            }
            Some(StateProblem::Journal(
                error @ (ReadError::Damaged { file, .. } | ReadError::Gap { file, .. }),
            )) => {
                let offset = match error {
                    ReadError::Damaged { offset, .. } => *offset,
                    _ => 0,
                };
                match plan_journal(inspection, file, offset) {
                    // Nothing would be left.
                    Change::Journal { kept: (_, 0), .. } if inspection.snapshot.is_none() => {
                        let missing = file_in(folder, plugin, "state");
                        let text = format!("{text}, there is no {}", missing.display());
                        plan_snapshot(inspection, (folder, plugin), &text)?
                    }
                    change => change,
                }
            }
            _ => return Err(RepairError::Unreadable(text)),
        };
        Ok(Some(Self { folder: folder.to_owned(), plugin: plugin.to_owned(), change }))
    }

    /// Copies the files that change aside and makes the changes. Returns the folder of the copies;
    /// `None` if no file changes.
    ///
    /// # Errors
    /// The disk is full or fails. A repair can then be planned anew.
    pub fn run(&self) -> Result<Option<PathBuf>, RepairError> {
        let failed = |error| RepairError::Io { folder: self.folder.clone(), error };
        self.change_files().map_err(failed)
    }

    fn change_files(&self) -> io::Result<Option<PathBuf>> {
        let Self { folder, plugin, change } = self;
        let state = file_in(folder, plugin, "state");
        if let Change::Snapshot { before, is_damaged: false, .. } = change {
            self.put_in_place(before, &state)?;
            return Ok(None);
        }
        let aside = Aside::make(folder, plugin, "damaged")?;
        match change {
            Change::Snapshot { before, .. } => {
                aside.keep(&state)?;
                aside.flush()?;
                self.put_in_place(before, &state)?;
            }
            Change::JournalAlone(_) => {
                aside.keep(&state)?;
                aside.flush()?;
                durable::remove(&state)?;
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
        Ok(Some(aside.path().to_owned()))
    }

    /// Gives a snapshot the name of the last one as well.
    fn put_in_place(&self, before: &Path, state: &Path) -> io::Result<()> {
        let draft = file_in(&self.folder, &self.plugin, durable::DRAFT);
        durable::remove(&draft)?;
        if RealDisk.link(before, &draft).is_err() {
            // Some file systems have no hard links.
            fs::copy(before, &draft)?;
            RealDisk.flush(&File::options().write(true).open(&draft)?)?;
        }
        RealDisk.rename(&draft, state)?;
        RealDisk.flush_folder(&self.folder)
    }
}

/// Plans what takes the place of the last snapshot, which is damaged or missing; `problem` says so.
fn plan_snapshot(
    inspection: &Inspection,
    (folder, plugin): (&Path, &str),
    problem: &str,
) -> Result<Change, RepairError> {
    let (file, before) = (file_in(folder, plugin, "state"), file_in(folder, plugin, "state.1"));
    let (shown, shown_before) = (file.display(), before.display());
    let (is_damaged, has_journal) = (file.exists(), !inspection.segments.is_empty());
    let read = |from| journal::read(folder, plugin, from, &mut |_| Ok::<_, String>(()));
    let mut advice = "restore a backup; ".to_owned();
    let mut reasons = match read_snapshot(folder, plugin, "state.1") {
        Ok(Some(SnapshotFacts { record, .. })) => {
            let from = has_journal.then_some(record);
            let Some(Err(error)) = from.map(read) else {
                return Ok(Change::Snapshot { before, is_damaged, from });
            };
            advice += &format!(
                "to go on with a part of the state, move {shown_before} to {shown} and repair \
                 again; "
            );
            format!("and the journal behind the snapshot before it cannot be used: {error}")
        }
        Ok(None) => format!("and there is no {shown_before}"),
        Err(unusable) => format!("and {shown_before} {unusable}"),
    };
    // Without a snapshot, the journal cannot be used either: see the inspection.
    if is_damaged && inspection.segments.first().is_some_and(|one| one.first == Some(0)) {
        let is_older = has_state_before_journal(&file);
        match read(0) {
            Ok(found) if found.next == 0 => {}
            Ok(found) if !is_older => return Ok(Change::JournalAlone(found.next)),
            outcome => {
                if let Err(error) = outcome
                    && !reasons.contains(&error.to_string())
                {
                    reasons += &format!("; the journal alone cannot be used: {error}");
                }
                if is_older {
                    reasons += "; it has a state from before the first record of the journal";
                }
                advice += &format!("to go on with the journal alone, move {shown} away; ");
            }
        }
    }
    let files = folder.join(format!("{plugin}.state* and {plugin}.journal.*"));
    advice += &format!("to start without state, move {} away", files.display());
    let problem = format!("{problem}, {reasons}");
    Err(RepairError::NothingToKeep { plugin: plugin.to_owned(), problem, advice })
}

/// Returns true if the header of a damaged snapshot says that it has a state, and that no record of
/// the journal has made it.
fn has_state_before_journal(file: &Path) -> bool {
    let mut header = Vec::new();
    let opened = File::open(file);
    let read = opened.and_then(|file| file.take(file::HEADER as u64).read_to_end(&mut header));
    let (Ok(_), Some(fields)) = (read, header.get(file::MAGIC.len()..)) else { return false };
    let is_zero = |fields: Option<&[u8]>| fields.is_some_and(|all| all.iter().all(|it| *it == 0));
    // The version, the length of the state, and the number of the record.
    match fields.first() {
        Some(1) => true,
        Some(2) => !is_zero(fields.get(8..16)) && is_zero(fields.get(48..56)),
        _ => false,
    }
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
        match &self.change {
            Change::Snapshot { before, is_damaged, from } => {
                let which = if *is_damaged { "damaged" } else { "missing" };
                write!(out, "{} takes the place of the {which} snapshot; ", before.display())?;
                match from {
                    Some(record) => write!(out, "the journal goes on from record {record}"),
                    None => out.write_str("the changes since then are lost"),
                }
            }
            Change::JournalAlone(count) => {
                let (records, make) = match count {
                    1 => ("record", "makes"),
                    _ => ("records", "make"),
                };
                write!(
                    out,
                    "the damaged snapshot is set aside; the {count} {records} of the journal, from \
                     0 on, {make} the state"
                )
            }
            Change::Journal { kept: (first, end), bytes, .. } => {
                let count = end - first;
                let (records, are) = match count {
                    1 => ("record", "is"),
                    _ => ("records", "are"),
                };
                write!(
                    out,
                    "{count} {records} of the journal behind the snapshot {are} kept, from {first} \
                     on; {bytes} bytes behind them are dropped"
                )
            }
        }
    }
}
