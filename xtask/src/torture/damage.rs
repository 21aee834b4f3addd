//! A journal whose last segment is cut, or has a wrong bit.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use journal::{Found, ReadError};

use super::{
    host::{PLUGIN, Place, failed, files},
    model::Violation,
    reply::Reply,
};
use crate::error::TaskError;

/// Number of records at the end whose every byte is cut.
const CUT: usize = 3;

/// Number of commands in the segment that is damaged.
const COMMANDS: usize = 120;

/// The host's reason not to serve a plugin whose journal is damaged.
const REFUSAL: &str = "its journal cannot be used";

/// The number of tests.
#[derive(Default)]
pub struct Tests {
    pub cuts: usize,
    pub flips: usize,
    pub starts: usize,
}

/// A record: its number, its time and its commands.
type Owned = (u64, u64, Vec<u8>);

/// Writes a last segment of known commands, and reads it cut and changed. `known` are all other
/// keys.
pub fn run(place: &Place, known: &[String], tests: &mut Tests) -> Result<Vec<Violation>, Failed> {
    let key = |number: usize| format!("last:{number}");
    let mut host = place.start()?;
    let (mut control, _) = host.wait_until_served().map_err(Failed::Start)?;
    let before = control.values(known).map_err(Failed::Start)?;
    for number in 0..COMMANDS {
        let reply = control.ask(&["set", &key(number), &format!("value {number}")]);
        if !matches!(reply, Ok(Reply::Text(_))) {
            return Err(Failed::Start(format!("set: {reply:?}")));
        }
    }
    host.kill();
    let scrap = place.folder.join("damage");
    let alone = alone(&place.states(), &scrap)?;
    let mut violations = Vec::new();
    let whole = alone.records()?;
    if whole.len() != COMMANDS {
        let found = format!("{} records", whole.len());
        violations.push(violation(&alone.file, format!("{COMMANDS} records"), found));
        return Ok(violations);
    }
    let ends = alone.ends(&whole)?;
    tests.cuts += alone.cut(&whole, &ends, &mut violations)?;
    tests.flips += alone.flip(&whole, &mut violations)?;
    // End to end, for a cut within each of the last records.
    let mut keys = known.to_vec();
    keys.extend((0..COMMANDS).map(key));
    for lost in 1..=CUT {
        let copy = place.copy_to(&place.folder.join(format!("cut-{lost}")))?;
        let file = copy.states().join(alone.file.file_name().unwrap_or_default());
        truncate(&file, ends[COMMANDS - lost + 1] - lost as u64)?;
        let mut host = copy.start()?;
        let (mut control, _) = host.wait_until_served().map_err(Failed::Start)?;
        let mut expected = before.clone();
        for number in 0..COMMANDS - lost {
            expected.insert(key(number), format!("value {number}").into_bytes());
        }
        let found = control.values(&keys).map_err(Failed::Start)?;
        for key in &keys {
            if expected.get(key) != found.get(key) {
                let shown = |value: Option<&Vec<u8>>| {
                    value.map_or("nothing".into(), |it| String::from_utf8_lossy(it).into_owned())
                };
                violations.push(Violation {
                    key: format!("{key} after {lost} records were cut"),
                    expected: shown(expected.get(key)),
                    found: shown(found.get(key)),
                });
                break;
            }
        }
        tests.starts += 1;
    }
    // End to end, for a wrong bit in the middle: the plugin must not be served.
    let copy = place.copy_to(&place.folder.join("flip"))?;
    let file = copy.states().join(alone.file.file_name().unwrap_or_default());
    flip(&open(&file)?, &file, ends[COMMANDS / 2] * 8 - 3)?;
    let mut host = copy.start()?;
    if let Err(answer) = host.wait_until_refused(REFUSAL, &copy) {
        violations.push(violation(&file, format!("'{REFUSAL}' in the log"), answer));
    }
    tests.starts += 1;
    Ok(violations)
}

/// The reason for which damage could not be tested.
pub enum Failed {
    /// A host does not serve.
    Start(String),
    /// A file cannot be used.
    Task(TaskError),
}

impl From<TaskError> for Failed {
    fn from(error: TaskError) -> Self {
        Self::Task(error)
    }
}

/// The last segment of a journal, in a folder of its own.
struct Alone {
    folder: PathBuf,
    file: PathBuf,
    /// The number of its first record.
    first: u64,
}

/// Copies the last segment that has records.
fn alone(states: &Path, scrap: &Path) -> Result<Alone, TaskError> {
    fs::create_dir_all(scrap).map_err(failed("make", scrap))?;
    let found = journal::read::<()>(states, PLUGIN, 0, &mut |_| Ok(()));
    // The first segments are gone.
    let last = match found {
        Ok(found) => found.segments.last().cloned(),
        Err(ReadError::Gap { to, .. }) => {
            let found = journal::read::<()>(states, PLUGIN, to + 1, &mut |_| Ok(()));
            found.ok().and_then(|found| found.segments.last().cloned())
        }
        Err(_) => None,
    };
    let (_, first, source) =
        last.ok_or_else(|| TaskError::Failed(format!("reading {}", states.display())))?;
    let file = scrap.join(source.file_name().unwrap_or_default());
    fs::copy(&source, &file).map_err(failed("copy", &source))?;
    Ok(Alone { folder: scrap.to_owned(), file, first })
}

impl Alone {
    fn read(&self, records: &mut Vec<Owned>) -> Result<Found, ReadError<()>> {
        records.clear();
        journal::read(&self.folder, PLUGIN, self.first, &mut |record| {
            records.push((record.number, record.time, record.commands.to_vec()));
            Ok(())
        })
    }

    fn records(&self) -> Result<Vec<Owned>, TaskError> {
        let mut records = Vec::new();
        self.read(&mut records)
            .map_err(|error| TaskError::Failed(format!("{error:?}: reading")))?;
        Ok(records)
    }

    /// Returns the offset behind each record, and that of the first one before them.
    fn ends(&self, whole: &[Owned]) -> Result<Vec<u64>, TaskError> {
        let bytes = fs::read(&self.file).map_err(failed("read", &self.file))?;
        let header = journal::segment::read_header::<()>(&self.file).ok().flatten();
        let header = header.ok_or_else(|| {
            TaskError::Failed(format!("reading the header of {}", self.file.display()))
        })?;
        let mut place = header.place();
        let mut ends = vec![place.offset];
        for _ in whole {
            let rest = &bytes[place.offset as usize..];
            let journal::frame::Parsed::Record(payload) = journal::frame::parse(rest, place) else {
                return Err(TaskError::Failed(format!("parsing {}", self.file.display())));
            };
            place = place.behind(payload.end);
            ends.push(place.offset);
        }
        Ok(ends)
    }

    /// Cuts the file at every byte of the last records. Each cut must be read as the records before
    /// it, also by a journal that goes on with it. Returns the number of cuts.
    fn cut(
        &self,
        whole: &[Owned],
        ends: &[u64],
        violations: &mut Vec<Violation>,
    ) -> Result<usize, TaskError> {
        let bytes = fs::read(&self.file).map_err(failed("read", &self.file))?;
        let from = ends[whole.len() - CUT];
        let mut records = Vec::new();
        for length in from..bytes.len() as u64 {
            let kept = ends.iter().filter(|end| **end <= length).count() - 1;
            let expected = format!("the first {kept} records, cut at {length}");
            fs::write(&self.file, &bytes[..length as usize])
                .map_err(failed("write", &self.file))?;
            let found = self.read(&mut records);
            let torn = length - ends[kept];
            let is_right = |found: &Found| {
                found.next == self.first + kept as u64
                    && found.torn.as_ref().map_or(0, |torn| torn.bytes) == torn
            };
            if !found.as_ref().is_ok_and(is_right) || records != whole[..kept] {
                let found = format!("{} records: {found:?}", records.len());
                violations.push(violation(&self.file, expected, found));
                continue;
            }
            let Ok(found) = found else { continue };
            if let Err(problem) = self.go_on(&found) {
                violations.push(violation(&self.file, expected, problem));
                continue;
            }
            let found = self.read(&mut records);
            let is_longer = records.pop().is_some_and(|last| last.2 == LATER);
            if found.is_err() || !is_longer || records != whole[..kept] {
                let found = format!("{} records, and then: {found:?}", records.len());
                violations.push(violation(&self.file, format!("{expected}, and one more"), found));
            }
            for other in files(&self.folder)?.iter().filter(|file| **file != self.file) {
                fs::remove_file(other).map_err(failed("remove", other))?;
            }
        }
        fs::write(&self.file, &bytes).map_err(failed("write", &self.file))?;
        Ok(bytes.len() - from as usize)
    }

    /// Opens the journal as it was found, and appends a record.
    fn go_on(&self, found: &Found) -> Result<(), String> {
        let options = journal::Options {
            folder: self.folder.clone(),
            name: PLUGIN.into(),
            sync: journal::SyncPolicy::Never,
            disk: std::sync::Arc::new(platform::durable::RealDisk),
        };
        let journal = journal::Journal::open(options, found, 0).map_err(|e| e.to_string())?;
        let number = journal.append(0, 1, LATER).ok_or("another owner")?;
        journal.wait(number).map_err(|problem| problem.to_string())
    }

    /// Changes each bit of the file. None may be read without an error. Returns the number of bits.
    fn flip(&self, whole: &[Owned], violations: &mut Vec<Violation>) -> Result<usize, TaskError> {
        let length = fs::metadata(&self.file).map_err(failed("read", &self.file))?.len();
        let (file, mut records) = (open(&self.file)?, Vec::new());
        for bit in 0..length * 8 {
            flip(&file, &self.file, bit)?;
            let found = self.read(&mut records);
            if found.is_ok() || records != whole[..records.len().min(whole.len())] {
                let expected = format!("an error, bit {bit} being wrong");
                let found = format!("{} records: {found:?}", records.len());
                violations.push(violation(&self.file, expected, found));
            }
            flip(&file, &self.file, bit)?;
        }
        Ok((length * 8) as usize)
    }
}

/// The commands of a record that is appended behind a cut.
const LATER: &[u8] = b"later";

fn open(path: &Path) -> Result<File, TaskError> {
    File::options().read(true).write(true).open(path).map_err(failed("open", path))
}

fn truncate(path: &Path, length: u64) -> Result<(), TaskError> {
    open(path)?.set_len(length).map_err(failed("cut", path))
}

fn flip(file: &File, path: &Path, bit: u64) -> Result<(), TaskError> {
    let mut byte = [0];
    file.read_exact_at(&mut byte, bit / 8).map_err(failed("read", path))?;
    byte[0] ^= 1 << (bit % 8);
    file.write_all_at(&byte, bit / 8).map_err(failed("write", path))
}

fn violation(file: &Path, expected: String, found: String) -> Violation {
    Violation { key: file.display().to_string(), expected, found }
}
