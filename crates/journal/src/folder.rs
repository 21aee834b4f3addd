//! All segments of a journal: reading them in order, and removing old ones.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::segment::{self, End, Header, Record, Unreadable};

/// The segments of a journal that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The segments in order: their number, the number of their first record, and the file.
    pub segments: Vec<(u32, u64, PathBuf)>,
    /// The number of the last segment, also of one without a record; 0 if there is none.
    pub last: u32,
    /// The number of the next record.
    pub next: u64,
    /// The torn record at its end.
    pub torn: Option<Torn>,
    /// Files that were begun and have no record.
    pub empty: Vec<PathBuf>,
}

/// A record that was being written when the host, or the system, ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The file.
    pub file: PathBuf,
    /// The offset at which the record begins.
    pub offset: u64,
    /// The number of bytes that are there of it.
    pub bytes: u64,
}

/// The reason for which a journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError<E> {
    /// The system's error.
    #[error("cannot read {}: {error}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// The error.
        #[source]
        error: io::Error,
    },
    /// A file is not as it was written.
    #[error("{} is damaged at offset {offset}: {how}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// The offset of the first byte that cannot be used.
        offset: u64,
        /// The evidence.
        how: String,
    },
    /// A newer host has written a file.
    #[error("{} has format {version}, which this host does not know", file.display())]
    Version {
        /// The file.
        file: PathBuf,
        /// The version of its format.
        version: u32,
    },
    /// Records are missing.
    #[error("records {from} to {to} are missing before {}", file.display())]
    Gap {
        /// The first missing record.
        from: u64,
        /// The last missing record.
        to: u64,
        /// The file behind them.
        file: PathBuf,
    },
    /// The caller's error about a record.
    #[error("record {number} in {} cannot be run: {error}", file.display())]
    Refused {
        /// The record's number.
        number: u64,
        /// The file.
        file: PathBuf,
        /// The caller's error.
        error: E,
    },
}

/// Returns the path of a segment.
#[must_use]
pub fn path_of(folder: &Path, name: &str, number: u32) -> PathBuf {
    folder.join(format!("{name}.journal.{number:08}"))
}

/// Returns the numbers and the paths of a journal's segments, sorted.
///
/// # Errors
/// The folder cannot be read; a missing one has no segments.
pub fn list(folder: &Path, name: &str) -> io::Result<Vec<(u32, PathBuf)>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut all = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let number = path.file_name().and_then(|file| file.to_str()).and_then(|file| {
            let digits = file.strip_prefix(name)?.strip_prefix(".journal.")?;
            (digits.len() >= 8 && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(())?;
            digits.parse().ok()
        });
        if let Some(number) = number {
            all.push((number, path));
        }
    }
    all.sort();
    Ok(all)
}

/// Passes the records from number `from` on to `handle`, in order, and describes the segments.
///
/// # Errors
/// A file cannot be read or is damaged, records are missing, or `handle` returns an error.
pub fn read<E>(
    folder: &Path,
    name: &str,
    from: u64,
    handle: &mut dyn FnMut(Record<'_>) -> Result<(), E>,
) -> Result<Found, ReadError<E>> {
    let at = |error| ReadError::Io { file: folder.to_owned(), error };
    let mut found = Found { next: from, ..Found::default() };
    let mut segments = Vec::new();
    for (number, file) in list(folder, name).map_err(at)? {
        found.last = number;
        segments.push((number, segment::read_header(&file), file));
    }
    // One that was begun before it got a record.
    while let Some((.., file)) = segments.pop_if(|(_, header, _)| matches!(header, Ok(None))) {
        found.empty.push(file);
    }
    // The snapshot has all records of those before this one. They may be damaged: after a failed
    // flush, only the snapshot is sound.
    let begins = |header: &Result<Option<Header>, _>| {
        header.as_ref().is_ok_and(|header| header.is_some_and(|header| header.first <= from))
    };
    let needed = segments.iter().rposition(|(_, header, _)| begins(header)).unwrap_or(0);
    let count = segments.len();
    let mut next = None;
    for (index, (number, header, file)) in segments.into_iter().enumerate() {
        if index < needed {
            let first = header.ok().flatten().map_or(0, |header| header.first);
            found.segments.push((number, first, file));
            continue;
        }
        let damaged = |offset, how: &str| ReadError::Damaged {
            file: file.clone(),
            offset,
            how: how.to_owned(),
        };
        let header = header.map_err(|reason| explain(&file, reason, from))?;
        let header = header.ok_or_else(|| damaged(0, "its header is cut short"))?;
        if header.number != number {
            return Err(damaged(16, "it is the segment of another number"));
        }
        // Records below `from` are not needed.
        let expected = next.unwrap_or(from).max(from);
        if header.first > expected {
            let to = header.first - 1;
            return Err(ReadError::Gap { from: expected, to, file });
        }
        if next.is_some_and(|next| header.first < next) {
            return Err(damaged(20, "it begins before the segment before it ends"));
        }
        let mut last = header.first;
        let mut wanted = |record: Record<'_>| {
            last = record.number;
            if record.number < from { Ok(()) } else { handle(record) }
        };
        let read = segment::read(&file, &mut wanted);
        let (end, state) = read.map_err(|reason| explain(&file, reason, last))?;
        if let End::Torn(offset) = state {
            if index + 1 < count {
                return Err(damaged(offset, "a record is cut, and another segment follows"));
            }
            let length = fs::metadata(&file).map_or(offset, |data| data.len());
            let bytes = length.saturating_sub(offset);
            found.torn = Some(Torn { file: file.clone(), offset, bytes });
        }
        next = Some(end);
        found.segments.push((number, header.first, file));
    }
    // Fewer than the snapshot has seen: it was copied after the journal, or flushed before it.
    found.next = next.unwrap_or(from).max(from);
    Ok(found)
}

fn explain<E>(file: &Path, reason: Unreadable<E>, number: u64) -> ReadError<E> {
    let file = file.to_owned();
    match reason {
        Unreadable::Io(error) => ReadError::Io { file, error },
        Unreadable::Damaged(offset, how) => {
            ReadError::Damaged { file, offset, how: how.to_owned() }
        }
        Unreadable::Version(version) => ReadError::Version { file, version },
        Unreadable::Refused(error) => ReadError::Refused { number, file, error },
    }
}
