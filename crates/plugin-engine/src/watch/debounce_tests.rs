use super::*;

const STILL: Duration = Duration::from_millis(500);

fn path(name: &str) -> PathBuf {
    PathBuf::from(name)
}

fn ready(name: &str) -> Vec<FileChange> {
    vec![FileChange::Ready(path(name))]
}

fn stamp(version: u64) -> FileStamp {
    let file = FileSummary { identity: 1, size: version, changed: 0 };
    FileStamp { file, ..FileStamp::default() }
}

#[test]
fn file_is_ready_when_its_writer_closes_it() {
    let (mut debouncer, now) = (Debouncer::new(STILL), Instant::now());
    for tick in 0..10 {
        debouncer.note(FsEvent::Writing(path("a")), now + STILL * tick);
        debouncer.scan(vec![(path("a"), stamp(7))], now + STILL * tick);
        assert_eq!(debouncer.due(now + STILL * tick), []);
    }
    debouncer.note(FsEvent::Touched(path("a"), None), now + STILL * 10);
    assert_eq!(debouncer.due(now + STILL * 10), []);
    debouncer.note(FsEvent::Complete(path("a"), None), now + STILL * 10);
    assert_eq!(debouncer.due(now + STILL * 10), ready("a"));
}

#[test]
fn without_events_unchanged_file_is_ready() {
    let (mut debouncer, now) = (Debouncer::new(STILL), Instant::now());
    for tick in 0..5 {
        debouncer.scan(vec![(path("a"), stamp(u64::from(tick)))], now + STILL * tick);
        assert_eq!(debouncer.due(now + STILL * tick), []);
    }
    debouncer.scan(vec![(path("a"), stamp(4))], now + STILL * 5);
    assert_eq!(debouncer.due(now + STILL * 5), ready("a"));
    debouncer.scan(vec![(path("a"), stamp(4))], now + STILL * 9);
    assert_eq!(debouncer.due(now + STILL * 9), [], "once is enough");
}

#[test]
fn file_that_returns_at_once_was_never_removed() {
    let (mut debouncer, now) = (Debouncer::new(STILL), Instant::now());
    debouncer.note(FsEvent::Vanished(path("a")), now);
    assert_eq!(debouncer.due(now + GONE / 2), []);
    debouncer.note(FsEvent::Writing(path("a")), now + GONE / 2);
    assert_eq!(debouncer.due(now + GONE * 9), []);
    debouncer.note(FsEvent::Complete(path("a"), None), now + GONE * 9);
    assert_eq!(debouncer.due(now + GONE * 9), ready("a"));
}

#[test]
fn a_file_that_stays_away_is_gone() {
    let (mut debouncer, now) = (Debouncer::new(STILL), Instant::now());
    debouncer.note(FsEvent::Vanished(path("a")), now);
    assert_eq!(debouncer.next_due(), Some(now + GONE));
    assert_eq!(debouncer.due(now + GONE), [FileChange::Gone(path("a"))]);
    assert_eq!(debouncer.due(now + GONE * 2), []);
    assert_eq!(debouncer.next_due(), None);
}

#[test]
fn scan_notices_change_without_event() {
    let (mut debouncer, now) = (Debouncer::new(STILL), Instant::now());
    let both = vec![(path("a"), stamp(1)), (path("b"), stamp(1))];
    debouncer.scan(both.clone(), now);
    debouncer.scan(both, now + STILL);
    assert_eq!(debouncer.due(now + STILL).len(), 2);
    debouncer.scan(vec![(path("b"), stamp(1))], now + STILL * 2);
    assert_eq!(debouncer.due(now + STILL * 2 + GONE), [FileChange::Gone(path("a"))]);
}

#[test]
fn new_write_makes_ready_file_pending_again() {
    let (mut debouncer, now) = (Debouncer::new(STILL), Instant::now());
    debouncer.scan(vec![(path("a"), stamp(1))], now);
    debouncer.note(FsEvent::Complete(path("a"), None), now);
    debouncer.note(FsEvent::Writing(path("a")), now);
    debouncer.scan(vec![(path("a"), stamp(2))], now + STILL);
    assert_eq!(debouncer.due(now + STILL), []);
    assert_eq!(debouncer.next_due(), Some(now + SILENT));
}

#[test]
fn a_file_without_events_of_its_writer_settles() {
    let (mut debouncer, now) = (Debouncer::new(STILL), Instant::now());
    debouncer.note(FsEvent::Complete(path("a.toml"), Some(stamp(1))), now);
    assert_eq!(debouncer.due(now), ready("a.toml"));
    debouncer.note(FsEvent::Writing(path("a.toml")), now);
    assert_eq!(debouncer.next_scan(), Some(now + SILENT), "it is scanned in time");
    debouncer.scan(vec![(path("a.toml"), stamp(0))], now + SILENT);
    assert_eq!(debouncer.due(now + SILENT), []);
    assert_eq!(debouncer.next_scan(), Some(now + SILENT + STILL));
    debouncer.scan(vec![(path("a.toml"), stamp(0))], now + SILENT + STILL);
    assert_eq!(debouncer.due(now + SILENT + STILL), ready("a.toml"));
    assert_eq!(debouncer.next_due(), None);
}

#[test]
fn unchanged_write_is_not_reported() {
    let (mut debouncer, now) = (Debouncer::new(STILL), Instant::now());
    debouncer.note(FsEvent::Complete(path("a"), Some(stamp(1))), now);
    assert_eq!(debouncer.due(now), ready("a"));
    debouncer.note(FsEvent::Writing(path("a")), now);
    debouncer.scan(vec![(path("a"), stamp(1))], now + SILENT);
    assert_eq!((debouncer.due(now + SILENT), debouncer.next_due()), (vec![], None));
}

#[test]
fn unreadable_folder_removes_no_file() {
    let (mut debouncer, now) = (Debouncer::new(STILL), Instant::now());
    for file in ["a", "b"] {
        debouncer.note(FsEvent::Complete(path(file), Some(stamp(1))), now);
    }
    assert_eq!(debouncer.due(now).len(), 2);
    debouncer.note(FsEvent::Vanished(path("b")), now);
    debouncer.note(FsEvent::Writing(path("c")), now);
    for tick in 1..10 {
        debouncer.scan_failed(now + STILL * tick);
        assert_eq!(debouncer.due(now + STILL * tick), []);
        let next = debouncer.next_due();
        assert!(next.is_none_or(|next| next > now + STILL * tick), "nothing is overdue");
    }
    let well = now + STILL * 10;
    debouncer.scan(vec![(path("a"), stamp(1))], well);
    debouncer.scan(vec![(path("a"), stamp(1))], well + STILL);
    let changes = debouncer.due(well + STILL);
    assert_eq!(changes, [ready("a"), vec![FileChange::Gone(path("b"))]].concat());
}

#[test]
fn a_file_with_an_error_is_not_gone() {
    let (mut debouncer, now) = (Debouncer::new(STILL), Instant::now());
    debouncer.note(FsEvent::Complete(path("a"), Some(stamp(1))), now);
    assert_eq!(debouncer.due(now), ready("a"));
    for tick in 1..10 {
        let unknown = Listing { files: Vec::new(), unknown: vec![path("a")] };
        debouncer.scan(unknown, now + STILL * tick);
        assert_eq!(debouncer.due(now + STILL * tick), []);
        assert_eq!(debouncer.next_due(), None);
    }
    for tick in 10..12 {
        debouncer.scan(vec![(path("a"), stamp(1))], now + STILL * tick);
    }
    assert_eq!(debouncer.due(now + STILL * 11), ready("a"), "it may have changed meanwhile");
    debouncer.scan(Listing::default(), now + STILL * 12);
    assert_eq!(debouncer.due(now + STILL * 13), [FileChange::Gone(path("a"))]);
}

#[test]
fn name_without_writer_is_ready_once_unchanged() {
    let (mut debouncer, now) = (Debouncer::new(STILL), Instant::now());
    debouncer.note(FsEvent::Created(path("a")), now);
    debouncer.scan(vec![(path("a"), stamp(0))], now);
    debouncer.scan(vec![(path("a"), stamp(0))], now + STILL);
    assert_eq!(debouncer.due(now + STILL), [], "an empty file is not");
    debouncer.scan(vec![(path("a"), stamp(1))], now + STILL * 2);
    debouncer.scan(vec![(path("a"), stamp(1))], now + STILL * 3);
    assert_eq!(debouncer.due(now + STILL * 3), ready("a"));
}

#[test]
fn empty_configuration_is_ready_once_unchanged() {
    let (mut debouncer, now) = (Debouncer::new(STILL), Instant::now());
    debouncer.scan(vec![(path("a.toml"), stamp(0))], now);
    assert_eq!(debouncer.due(now), []);
    debouncer.scan(vec![(path("a.toml"), stamp(0))], now + STILL);
    assert_eq!(debouncer.due(now + STILL), ready("a.toml"));
}

#[test]
fn scan_does_not_repeat_an_event() {
    let (mut debouncer, now) = (Debouncer::new(STILL), Instant::now());
    debouncer.note(FsEvent::Complete(path("a"), Some(stamp(1))), now);
    assert_eq!(debouncer.due(now), ready("a"));
    for (tick, version, is_due) in [(1, 1, false), (2, 1, false), (3, 2, false), (4, 2, true)] {
        debouncer.scan(vec![(path("a"), stamp(version))], now + STILL * tick);
        assert_eq!(debouncer.due(now + STILL * tick) == ready("a"), is_due, "{tick}");
    }
}

#[test]
fn after_lost_events_a_scan_decides() {
    let (mut debouncer, now) = (Debouncer::new(STILL), Instant::now());
    debouncer.note(FsEvent::Writing(path("a")), now);
    debouncer.note(FsEvent::Lost, now);
    debouncer.scan(vec![(path("a"), stamp(1))], now);
    debouncer.scan(vec![(path("a"), stamp(1))], now + STILL);
    assert_eq!(debouncer.due(now + STILL), ready("a"));
}
