use super::*;

const STILL: Duration = Duration::from_millis(500);

fn path(name: &str) -> PathBuf {
    PathBuf::from(name)
}

fn ready(name: &str) -> Vec<Change> {
    vec![Change::Ready(path(name))]
}

fn look(version: u64) -> Look {
    Look { file: (1, version, 0), ..Look::default() }
}

#[test]
fn a_file_is_ready_when_its_writer_closes_it_and_not_before() {
    let (mut settler, now) = (Settler::new(STILL), Instant::now());
    for tick in 0..10 {
        settler.note(Sign::Writing(path("a")), now + STILL * tick);
        settler.scan(vec![(path("a"), look(7))], now + STILL * tick);
        assert_eq!(settler.due(now + STILL * tick), []);
    }
    settler.note(Sign::Touched(path("a"), None), now + STILL * 10);
    assert_eq!(settler.due(now + STILL * 10), []);
    settler.note(Sign::Complete(path("a"), None), now + STILL * 10);
    assert_eq!(settler.due(now + STILL * 10), ready("a"));
}

#[test]
fn without_signs_a_file_is_ready_when_it_has_stopped_changing() {
    let (mut settler, now) = (Settler::new(STILL), Instant::now());
    for tick in 0..5 {
        settler.scan(vec![(path("a"), look(u64::from(tick)))], now + STILL * tick);
        assert_eq!(settler.due(now + STILL * tick), []);
    }
    settler.scan(vec![(path("a"), look(4))], now + STILL * 5);
    assert_eq!(settler.due(now + STILL * 5), ready("a"));
    settler.scan(vec![(path("a"), look(4))], now + STILL * 9);
    assert_eq!(settler.due(now + STILL * 9), [], "once is enough");
}

#[test]
fn a_file_that_comes_back_at_once_was_never_gone() {
    let (mut settler, now) = (Settler::new(STILL), Instant::now());
    settler.note(Sign::Vanished(path("a")), now);
    assert_eq!(settler.due(now + GONE / 2), []);
    settler.note(Sign::Writing(path("a")), now + GONE / 2);
    assert_eq!(settler.due(now + GONE * 9), []);
    settler.note(Sign::Complete(path("a"), None), now + GONE * 9);
    assert_eq!(settler.due(now + GONE * 9), ready("a"));
}

#[test]
fn a_file_that_stays_away_is_gone() {
    let (mut settler, now) = (Settler::new(STILL), Instant::now());
    settler.note(Sign::Vanished(path("a")), now);
    assert_eq!(settler.next_due(), Some(now + GONE));
    assert_eq!(settler.due(now + GONE), [Change::Gone(path("a"))]);
    assert_eq!(settler.due(now + GONE * 2), []);
    assert_eq!(settler.next_due(), None);
}

#[test]
fn a_scan_notices_what_no_sign_told() {
    let (mut settler, now) = (Settler::new(STILL), Instant::now());
    let both = vec![(path("a"), look(1)), (path("b"), look(1))];
    settler.scan(both.clone(), now);
    settler.scan(both, now + STILL);
    assert_eq!(settler.due(now + STILL).len(), 2);
    settler.scan(vec![(path("b"), look(1))], now + STILL * 2);
    assert_eq!(settler.due(now + STILL * 2 + GONE), [Change::Gone(path("a"))]);
}

#[test]
fn a_writer_takes_back_that_a_file_was_ready_and_nothing_is_due_meanwhile() {
    let (mut settler, now) = (Settler::new(STILL), Instant::now());
    settler.scan(vec![(path("a"), look(1))], now);
    settler.note(Sign::Complete(path("a"), None), now);
    settler.note(Sign::Writing(path("a")), now);
    settler.scan(vec![(path("a"), look(2))], now + STILL);
    assert_eq!(settler.due(now + STILL), []);
    assert_eq!(settler.next_due(), Some(now + SILENT));
}

#[test]
fn a_file_without_news_of_its_writer_settles() {
    let (mut settler, now) = (Settler::new(STILL), Instant::now());
    settler.note(Sign::Complete(path("a.toml"), Some(look(1))), now);
    assert_eq!(settler.due(now), ready("a.toml"));
    settler.note(Sign::Writing(path("a.toml")), now);
    assert_eq!(settler.next_scan(), Some(now + SILENT), "it is looked at in time");
    settler.scan(vec![(path("a.toml"), look(0))], now + SILENT);
    assert_eq!(settler.due(now + SILENT), []);
    assert_eq!(settler.next_scan(), Some(now + SILENT + STILL));
    settler.scan(vec![(path("a.toml"), look(0))], now + SILENT + STILL);
    assert_eq!(settler.due(now + SILENT + STILL), ready("a.toml"));
    assert_eq!(settler.next_due(), None);
}

#[test]
fn a_write_that_changes_nothing_is_not_told() {
    let (mut settler, now) = (Settler::new(STILL), Instant::now());
    settler.note(Sign::Complete(path("a"), Some(look(1))), now);
    assert_eq!(settler.due(now), ready("a"));
    settler.note(Sign::Writing(path("a")), now);
    settler.scan(vec![(path("a"), look(1))], now + SILENT);
    assert_eq!((settler.due(now + SILENT), settler.next_due()), (vec![], None));
}

#[test]
fn a_folder_that_cannot_be_read_loses_no_file() {
    let (mut settler, now) = (Settler::new(STILL), Instant::now());
    for file in ["a", "b"] {
        settler.note(Sign::Complete(path(file), Some(look(1))), now);
    }
    assert_eq!(settler.due(now).len(), 2);
    settler.note(Sign::Vanished(path("b")), now);
    settler.note(Sign::Writing(path("c")), now);
    for tick in 1..10 {
        settler.scan_failed(now + STILL * tick);
        assert_eq!(settler.due(now + STILL * tick), []);
        let next = settler.next_due();
        assert!(next.is_none_or(|next| next > now + STILL * tick), "nothing is overdue");
    }
    let well = now + STILL * 10;
    settler.scan(vec![(path("a"), look(1))], well);
    settler.scan(vec![(path("a"), look(1))], well + STILL);
    let told = settler.due(well + STILL);
    assert_eq!(told, [ready("a"), vec![Change::Gone(path("b"))]].concat());
}

#[test]
fn a_file_with_an_error_is_not_gone() {
    let (mut settler, now) = (Settler::new(STILL), Instant::now());
    settler.note(Sign::Complete(path("a"), Some(look(1))), now);
    assert_eq!(settler.due(now), ready("a"));
    for tick in 1..10 {
        let unknown = Listing { files: Vec::new(), unknown: vec![path("a")] };
        settler.scan(unknown, now + STILL * tick);
        assert_eq!(settler.due(now + STILL * tick), []);
        assert_eq!(settler.next_due(), None);
    }
    for tick in 10..12 {
        settler.scan(vec![(path("a"), look(1))], now + STILL * tick);
    }
    assert_eq!(settler.due(now + STILL * 11), ready("a"), "it may have changed meanwhile");
    settler.scan(Listing::default(), now + STILL * 12);
    assert_eq!(settler.due(now + STILL * 13), [Change::Gone(path("a"))]);
}

#[test]
fn a_name_without_a_writer_is_ready_when_it_is_still() {
    let (mut settler, now) = (Settler::new(STILL), Instant::now());
    settler.note(Sign::Created(path("a")), now);
    settler.scan(vec![(path("a"), look(0))], now);
    settler.scan(vec![(path("a"), look(0))], now + STILL);
    assert_eq!(settler.due(now + STILL), [], "an empty file is not");
    settler.scan(vec![(path("a"), look(1))], now + STILL * 2);
    settler.scan(vec![(path("a"), look(1))], now + STILL * 3);
    assert_eq!(settler.due(now + STILL * 3), ready("a"));
}

#[test]
fn an_empty_configuration_is_one_when_it_is_still() {
    let (mut settler, now) = (Settler::new(STILL), Instant::now());
    settler.scan(vec![(path("a.toml"), look(0))], now);
    assert_eq!(settler.due(now), []);
    settler.scan(vec![(path("a.toml"), look(0))], now + STILL);
    assert_eq!(settler.due(now + STILL), ready("a.toml"));
}

#[test]
fn what_a_sign_told_a_scan_does_not_tell_again() {
    let (mut settler, now) = (Settler::new(STILL), Instant::now());
    settler.note(Sign::Complete(path("a"), Some(look(1))), now);
    assert_eq!(settler.due(now), ready("a"));
    for (tick, version, told) in [(1, 1, false), (2, 1, false), (3, 2, false), (4, 2, true)] {
        settler.scan(vec![(path("a"), look(version))], now + STILL * tick);
        assert_eq!(settler.due(now + STILL * tick) == ready("a"), told, "{tick}");
    }
}

#[test]
fn after_lost_signs_a_scan_decides() {
    let (mut settler, now) = (Settler::new(STILL), Instant::now());
    settler.note(Sign::Writing(path("a")), now);
    settler.note(Sign::Lost, now);
    settler.scan(vec![(path("a"), look(1))], now);
    settler.scan(vec![(path("a"), look(1))], now + STILL);
    assert_eq!(settler.due(now + STILL), ready("a"));
}
