use std::{
    fs::{self, File},
    path::Path,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use platform::durable::RealDisk;

use super::*;
use crate::{ReadError, folder::path_of, read};

/// A disk that is full, or whose flushes fail, while told to; writes may be cut.
#[derive(Default)]
struct Faulty {
    is_full: AtomicBool,
    cannot_flush: AtomicBool,
    flushes: AtomicUsize,
}

impl Disk for Faulty {
    fn write(&self, file: &File, bytes: &[u8]) -> io::Result<()> {
        if self.is_full.load(Ordering::SeqCst) {
            // A full disk takes a part.
            RealDisk.write(file, &bytes[..bytes.len() / 2])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        RealDisk.write(file, bytes)
    }

    fn flush_data(&self, file: &File) -> io::Result<()> {
        self.flushes.fetch_add(1, Ordering::SeqCst);
        if self.cannot_flush.load(Ordering::SeqCst) {
            return Err(io::Error::other("input/output error"));
        }
        RealDisk.flush_data(file)
    }
}

const NAME: &str = "store";

type Records = Vec<(u64, Vec<u8>)>;

fn list(folder: &Path, from: u64) -> Result<(Records, Found), ReadError<()>> {
    let mut all = Vec::new();
    let found = read(folder, NAME, from, &mut |record| {
        all.push((record.number, record.commands.to_vec()));
        Ok(())
    })?;
    Ok((all, found))
}

fn open_on(disk: &Arc<Faulty>, folder: &Path, sync: SyncPolicy) -> Journal {
    let (_, found) = list(folder, 0).unwrap();
    let (folder, name, disk) = (folder.to_owned(), NAME.to_owned(), Arc::clone(disk) as _);
    Journal::open(Options { folder, name, sync, disk }, &found, 1_000).unwrap()
}

fn open(folder: &Path, sync: SyncPolicy) -> Journal {
    open_on(&Arc::default(), folder, sync)
}

fn append(journal: &Journal, text: &str) -> Result<(), Problem> {
    journal.wait(journal.append(0, 1_000, text.as_bytes()).unwrap())
}

fn texts(folder: &Path) -> Vec<String> {
    let (all, _) = list(folder, 0).unwrap();
    all.into_iter().map(|(_, text)| String::from_utf8(text).unwrap()).collect()
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let limit = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < limit, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn records_come_back_after_an_end_without_notice() {
    for sync in [SyncPolicy::Always, SyncPolicy::Everysec, SyncPolicy::Never] {
        let temp = tempfile::tempdir().unwrap();
        for text in ["one", "two", "three"] {
            let journal = open(temp.path(), sync);
            append(&journal, text).unwrap();
            // Not dropped: a host that is killed runs no drop.
            std::mem::forget(journal);
        }
        assert_eq!(texts(temp.path()), ["one", "two", "three"]);
        let (last, found) = list(temp.path(), 2).unwrap();
        assert_eq!((last.len(), last[0].0, found.next), (1, 2, 3));
    }
}

#[test]
fn order_of_appends_is_order_of_records() {
    let temp = tempfile::tempdir().unwrap();
    let journal = open(temp.path(), SyncPolicy::Everysec);
    let order = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for thread in 0..8 {
            let (journal, order) = (&journal, &order);
            scope.spawn(move || {
                for turn in 0..500 {
                    let text = format!("{thread} {turn}");
                    let number = {
                        let mut order = order.lock();
                        order.push(text.clone());
                        journal.append(0, 1_000, text.as_bytes()).unwrap()
                    };
                    journal.wait(number).unwrap();
                }
            });
        }
    });
    assert_eq!(texts(temp.path()), order.into_inner());
}

#[test]
fn one_flush_serves_all_that_wait() {
    let temp = tempfile::tempdir().unwrap();
    let disk = Arc::new(Faulty::default());
    let journal = open_on(&disk, temp.path(), SyncPolicy::Always);
    let numbers: Vec<_> = (0..100).map(|_| journal.append(0, 1_000, b"x").unwrap()).collect();
    for number in numbers {
        journal.wait(number).unwrap();
    }
    assert_eq!(disk.flushes.load(Ordering::SeqCst), 1);
}

#[test]
fn full_disk_refuses_and_recovers_without_loss() {
    let temp = tempfile::tempdir().unwrap();
    let disk = Arc::new(Faulty::default());
    let journal = open_on(&disk, temp.path(), SyncPolicy::Everysec);
    append(&journal, "before").unwrap();
    disk.is_full.store(true, Ordering::SeqCst);
    let problem = append(&journal, "while it is full").unwrap_err();
    assert!(problem.text.contains("store.journal.00000001"), "{problem}");
    assert!(journal.is_failing() && !problem.needs_snapshot);
    // A host that is killed now leaves a part of the record behind.
    let (_, found) = list(temp.path(), 0).unwrap();
    assert!(found.torn.is_some());
    disk.is_full.store(false, Ordering::SeqCst);
    wait_until("it is tried again", || !journal.is_failing());
    append(&journal, "after").unwrap();
    assert_eq!(texts(temp.path()), ["before", "while it is full", "after"]);
}

#[test]
fn failed_flush_is_not_trusted_until_a_snapshot() {
    let temp = tempfile::tempdir().unwrap();
    let disk = Arc::new(Faulty::default());
    let journal = open_on(&disk, temp.path(), SyncPolicy::Always);
    append(&journal, "one").unwrap();
    disk.cannot_flush.store(true, Ordering::SeqCst);
    assert!(append(&journal, "two").unwrap_err().needs_snapshot);
    disk.cannot_flush.store(false, Ordering::SeqCst);
    // A second flush would succeed, which proves nothing.
    assert!(append(&journal, "three").unwrap_err().needs_snapshot);
    journal.prepare_cut().unwrap();
    let number = journal.cut(2_000, &|| false).unwrap();
    assert!(journal.is_failing());
    journal.note_snapshot(number);
    assert!(!journal.is_failing());
    append(&journal, "four").unwrap();
    let (all, _) = list(temp.path(), number).unwrap();
    assert_eq!(all, [(3, b"four".to_vec())]);
}

#[test]
fn snapshot_begun_before_a_failed_flush_proves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let disk = Arc::new(Faulty::default());
    let journal = open_on(&disk, temp.path(), SyncPolicy::Always);
    append(&journal, "one").unwrap();
    let number = journal.cut(2_000, &|| false).unwrap();
    disk.cannot_flush.store(true, Ordering::SeqCst);
    assert!(append(&journal, "two").is_err());
    disk.cannot_flush.store(false, Ordering::SeqCst);
    journal.note_snapshot(number);
    assert!(journal.is_failing(), "it does not contain `two`");
    let number = journal.cut(3_000, &|| false).unwrap();
    journal.note_snapshot(number);
    assert!(!journal.is_failing());
}

#[test]
fn segment_with_a_zeroed_start_is_damaged() {
    let temp = tempfile::tempdir().unwrap();
    drop(append_all(temp.path()));
    let file = path_of(temp.path(), NAME, 1);
    let whole = fs::read(&file).unwrap();
    let zeroed = |count: usize| {
        let mut bytes = whole.clone();
        bytes[..count].fill(0);
        fs::write(&file, bytes).unwrap();
        list(temp.path(), 0)
    };
    for count in [segment::HEADER, segment::HEADER + 9, whole.len() - 1] {
        assert!(matches!(zeroed(count), Err(ReadError::Damaged { offset: 0, .. })), "{count}");
    }
    // The content of a file that was begun before a power cut may be missing.
    let (all, found) = zeroed(whole.len()).unwrap();
    assert_eq!((all.len(), found.empty), (0, vec![file.clone()]));
}

/// Returns a journal with some records in its only segment.
fn append_all(folder: &Path) -> Journal {
    let journal = open(folder, SyncPolicy::Never);
    for text in ["one", "two", "three"] {
        append(&journal, text).unwrap();
    }
    journal
}

#[test]
fn failed_background_flush_refuses_writes() {
    let temp = tempfile::tempdir().unwrap();
    let disk = Arc::new(Faulty::default());
    let journal = open_on(&disk, temp.path(), SyncPolicy::Everysec);
    disk.cannot_flush.store(true, Ordering::SeqCst);
    append(&journal, "one").unwrap();
    wait_until("it fails", || journal.is_failing());
    assert!(journal.problem().unwrap().needs_snapshot);
}

#[test]
fn cut_begins_a_segment_and_old_ones_go() {
    let temp = tempfile::tempdir().unwrap();
    let journal = open(temp.path(), SyncPolicy::Everysec);
    append(&journal, "one").unwrap();
    journal.prepare_cut().unwrap();
    assert_eq!(journal.cut(2_000, &|| false).unwrap(), 1);
    append(&journal, "two").unwrap();
    assert_eq!(texts(temp.path()), ["one", "two"]);
    let bytes = journal.bytes();
    journal.remove_before(0);
    assert_eq!(texts(temp.path()), ["one", "two"]);
    journal.remove_before(1);
    assert!(journal.bytes() < bytes);
    assert!(!path_of(temp.path(), NAME, 1).exists());
    assert_eq!(list(temp.path(), 1).unwrap().0, [(1, b"two".to_vec())]);
    assert!(matches!(list(temp.path(), 0), Err(ReadError::Gap { from: 0, to: 0, .. })));
}

#[test]
fn begun_segment_without_header_is_no_damage() {
    let temp = tempfile::tempdir().unwrap();
    let journal = open(temp.path(), SyncPolicy::Everysec);
    append(&journal, "one").unwrap();
    append(&journal, "two").unwrap();
    std::mem::forget(journal);
    // The host was ended before the header was written.
    fs::write(path_of(temp.path(), NAME, 2), [0; 7]).unwrap();
    let (_, found) = list(temp.path(), 0).unwrap();
    assert_eq!((found.next, found.empty.len()), (2, 1));
    append(&open(temp.path(), SyncPolicy::Everysec), "three").unwrap();
    assert_eq!(texts(temp.path()), ["one", "two", "three"]);
}

/// Writes three segments with three records each.
fn three_segments(folder: &Path) {
    let journal = open(folder, SyncPolicy::Everysec);
    for segment in 0..3 {
        for record in 0..3 {
            append(&journal, &format!("record {segment} {record}")).unwrap();
        }
        if segment < 2 {
            journal.cut(2_000, &|| false).unwrap();
        }
    }
}

#[test]
fn every_cut_of_last_segment_opens() {
    let temp = tempfile::tempdir().unwrap();
    three_segments(temp.path());
    let all = texts(temp.path());
    let last = path_of(temp.path(), NAME, 3);
    let whole = fs::read(&last).unwrap();
    for length in 0..whole.len() {
        fs::write(&last, &whole[..length]).unwrap();
        let (found, state) = list(temp.path(), 0).unwrap();
        assert_eq!(found.len() as u64, state.next, "{length}");
        assert!((6..9).contains(&found.len()), "{length}");
        if length > crate::segment::HEADER {
            let ends = state.torn.is_none();
            let journal = open(temp.path(), SyncPolicy::Never);
            append(&journal, "new").unwrap();
            drop(journal);
            let mut expected = all[..found.len()].to_vec();
            expected.push("new".to_owned());
            assert_eq!(texts(temp.path()), expected, "{length} {ends}");
            fs::remove_file(path_of(temp.path(), NAME, 4)).unwrap();
        }
        fs::write(&last, &whole).unwrap();
    }
}

#[test]
fn every_flipped_bit_of_a_segment_is_reported() {
    let temp = tempfile::tempdir().unwrap();
    three_segments(temp.path());
    for number in [1, 2, 3] {
        let file = path_of(temp.path(), NAME, number);
        let whole = fs::read(&file).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(&file, &flipped).unwrap();
            match list(temp.path(), 0) {
                Err(ReadError::Damaged { file: named, .. }) => assert_eq!(named, file),
                other => panic!("segment {number}, bit {bit}: {other:?}"),
            }
        }
        fs::write(&file, &whole).unwrap();
    }
    // A cut in the middle is no torn tail.
    let file = path_of(temp.path(), NAME, 2);
    let whole = fs::read(&file).unwrap();
    for length in 0..whole.len() {
        fs::write(&file, &whole[..length]).unwrap();
        assert!(list(temp.path(), 0).is_err(), "{length}");
    }
    fs::remove_file(&file).unwrap();
    assert!(matches!(list(temp.path(), 0), Err(ReadError::Gap { from: 3, to: 5, .. })));
}

#[test]
fn snapshot_ahead_of_the_journal_opens() {
    let temp = tempfile::tempdir().unwrap();
    append(&open(temp.path(), SyncPolicy::Everysec), "one").unwrap();
    let (none, found) = list(temp.path(), 5).unwrap();
    assert_eq!((none.len(), found.next), (0, 5));
    let (folder, name) = (temp.path().to_owned(), NAME.to_owned());
    let options =
        Options { folder, name, sync: SyncPolicy::Everysec, disk: Arc::new(Faulty::default()) };
    append(&Journal::open(options, &found, 1_000).unwrap(), "six").unwrap();
    assert_eq!(list(temp.path(), 5).unwrap().0, [(5, b"six".to_vec())]);
}

#[test]
fn record_that_is_refused_is_named() {
    let temp = tempfile::tempdir().unwrap();
    three_segments(temp.path());
    let read = read(temp.path(), NAME, 0, &mut |record| {
        if record.number == 4 { Err("no such command") } else { Ok(()) }
    });
    let said = read.unwrap_err().to_string();
    assert!(said.starts_with("record 4 in ") && said.ends_with("no such command"), "{said}");
}

#[test]
fn record_of_incr_is_shorter_than_in_redis() {
    let temp = tempfile::tempdir().unwrap();
    let journal = open(temp.path(), SyncPolicy::Everysec);
    let mut commands = plugin_api::Commands::default();
    commands.push([&b"incr"[..], b"key"]);
    let before = journal.bytes();
    journal.wait(journal.append(0, 1_002, &commands.into_bytes()).unwrap()).unwrap();
    let redis = b"*2\r\n$4\r\nincr\r\n$3\r\nkey\r\n".len() as u64;
    assert!(journal.bytes() - before < redis, "{}", journal.bytes() - before);
}
