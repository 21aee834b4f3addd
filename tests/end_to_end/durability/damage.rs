//! Damaged files: one plugin is refused, nothing is overwritten, and a repair keeps the most.

use std::fs;

use dropin_tests::{Host, LIMIT, Lines, wait_until};

use super::{
    assert_keys, files_in, fill, flip, folder_beside, record_offsets, state_command, store_with,
};
use crate::reload::restart::SuccessiveHosts;

/// Returns hosts whose store has this many keys in its journal alone.
fn killed_with(count: usize) -> SuccessiveHosts {
    let hosts = SuccessiveHosts::new();
    let mut host = store_with(&hosts, &[]).start();
    fill(&host, 0..count);
    host.kill();
    hosts
}

/// Checks that a host refuses the store with this text in the log, and changes no file.
#[track_caller]
fn assert_refused(hosts: &SuccessiveHosts, text: &str) {
    let folder = hosts.file("");
    let before = files_in(&folder);
    let mut host = store_with(hosts, &[]).start();
    let line = host.wait_for_log(text);
    assert!(line.contains(" ERROR ") && line.contains("plugin store: refused"), "{line}");
    let mut client = Lines::connect(&host);
    assert_eq!(client.ask("echo fine"), "fine");
    assert!(client.ask("get key-1").starts_with("error: unknown command"));
    assert_eq!(host.ks(), Some(0));
    assert_eq!(files_in(&folder), before, "nothing is overwritten");
}

#[test]
fn flipped_byte_refuses_one_plugin_until_repair() {
    let hosts = killed_with(60);
    let file = hosts.file("store.journal.00000001");
    let whole = fs::read(&file).unwrap();
    let offsets = record_offsets(&whole);
    assert_eq!((offsets.len(), offsets[60]), (61, whole.len()));
    flip(&file, offsets[40] + 12);
    let text = format!("{} is damaged at offset {}: ", file.display(), offsets[40]);
    assert_refused(&hosts, &text);
    let checked = state_command(&hosts, &["check", "store"]);
    assert_eq!(checked.status, Some(1));
    assert!(checked.stderr.contains(&text), "{checked:?}");
    assert!(checked.stdout.contains("store.journal.00000001: records 0 to 39, "), "{checked:?}");
    let exported = state_command(&hosts, &["export", "store"]);
    assert_eq!((exported.status, exported.stdout.as_str()), (Some(1), ""));
    let declined = state_command(&hosts, &["repair", "store"]);
    assert_eq!(declined.status, Some(1));
    assert!(declined.stderr.contains("add --yes"), "{declined:?}");
    let damaged = fs::read(&file).unwrap();
    let repaired = state_command(&hosts, &["repair", "store", "--yes"]);
    assert_eq!(repaired.status, Some(0), "{repaired:?}");
    let said = format!(
        "40 records of the journal behind the snapshot are kept, from 0 on; {} bytes behind them \
         are dropped",
        whole.len() - offsets[40]
    );
    assert!(repaired.stdout.contains(&said), "{repaired:?}");
    let aside = folder_beside(&hosts.file(""), "store.damaged.");
    assert_eq!(fs::read(aside.join("store.journal.00000001")).unwrap(), damaged);
    let checked = state_command(&hosts, &["check"]);
    assert_eq!((checked.status, checked.stderr.as_str()), (Some(0), ""));
    assert_keys(&store_with(&hosts, &[]).start(), 40);
}

#[test]
fn repair_and_import_refuse_while_host_runs() {
    let hosts = killed_with(10);
    let host = store_with(&hosts, &[]).start();
    fill(&host, 10..20);
    for task in [&["check", "store"][..], &["check"], &["export", "store"]] {
        let ended = state_command(&hosts, task);
        assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""), "{task:?}");
    }
    assert!(state_command(&hosts, &["check"]).stdout.contains("records 10 to 19, "));
    let imported = state_command(&hosts, &["import", "store", "/dev/null", "--replace"]);
    assert_eq!(imported.status, Some(1));
    assert!(imported.stderr.contains("another host is using the state directory"), "{imported:?}");
    flip(&hosts.file("store.journal.00000001"), 60);
    let repaired = state_command(&hosts, &["repair", "store", "--yes"]);
    assert_eq!(repaired.status, Some(1));
    assert!(repaired.stderr.contains("another host is using the state directory"), "{repaired:?}");
    assert_keys(&host, 20);
}

#[test]
fn torn_tail_is_cut_and_host_goes_on() {
    let hosts = killed_with(12);
    let file = hosts.file("store.journal.00000001");
    let whole = fs::read(&file).unwrap();
    let offsets = record_offsets(&whole);
    // Within the length, its check, the checksum and the payload, and before the last byte.
    for (record, more) in [(9, 1), (9, 4), (10, 8), (10, 12), (11, offsets[12] - offsets[11] - 1)] {
        fs::remove_dir_all(hosts.file("")).unwrap();
        fs::create_dir(hosts.file("")).unwrap();
        fs::write(&file, &whole[..offsets[record] + more]).unwrap();
        let checked = state_command(&hosts, &["check", "store"]);
        assert_eq!(checked.status, Some(0), "{checked:?}");
        let said = format!("{more} bytes at offset {}: the host was ended", offsets[record]);
        assert!(checked.stdout.contains(&said), "{checked:?}");
        let mut host = store_with(&hosts, &[]).start();
        let text = format!("only {more} bytes are there, at offset {}", offsets[record]);
        let line = host.wait_for_log(&text);
        assert!(line.contains(" WARN ") && line.contains(file.to_str().unwrap()), "{line}");
        assert_keys(&host, record);
        fill(&host, record..record + 3);
        host.kill();
        let host = store_with(&hosts, &[]).start();
        assert_keys(&host, record + 3);
        assert_eq!((host.logged("bytes are there"), host.warning()), (None, None));
    }
}

/// Has a snapshot of the store taken. The host refuses that while it takes one by itself.
#[track_caller]
fn save(host: &Host) {
    let mut client = Lines::connect(host);
    wait_until("a snapshot is taken", LIMIT, || {
        client.ask("plugin save store").starts_with("plugin 'store': snapshot of ")
    });
}

/// Returns hosts whose store has two snapshots, and a journal behind the last.
fn with_two_snapshots() -> SuccessiveHosts {
    let hosts = SuccessiveHosts::new();
    let mut host = store_with(&hosts, &[]).start();
    for start in [0, 10] {
        fill(&host, start..start + 10);
        save(&host);
    }
    fill(&host, 20..30);
    host.kill();
    hosts
}

#[test]
fn damaged_snapshot_is_replaced_by_one_before() {
    let hosts = with_two_snapshots();
    let file = hosts.file("store.state");
    let length = fs::read(&file).unwrap().len();
    flip(&file, length / 2);
    let damaged = fs::read(&file).unwrap();
    assert_refused(&hosts, &format!("its saved state {} is damaged", file.display()));
    let checked = state_command(&hosts, &["check", "store"]);
    assert_eq!(checked.status, Some(1));
    assert!(checked.stderr.contains(file.to_str().unwrap()), "{checked:?}");
    let repaired = state_command(&hosts, &["repair", "store", "--yes"]);
    assert_eq!(repaired.status, Some(0), "{repaired:?}");
    assert!(repaired.stdout.contains("the journal goes on from record 10"), "{repaired:?}");
    let aside = folder_beside(&hosts.file(""), "store.damaged.");
    assert_eq!(fs::read(aside.join("store.state")).unwrap(), damaged);
    assert_keys(&store_with(&hosts, &[]).start(), 30);
}

#[test]
fn repair_without_usable_snapshot_changes_nothing() {
    let hosts = with_two_snapshots();
    for name in ["store.state", "store.state.1"] {
        flip(&hosts.file(name), 90);
    }
    let before = files_in(&hosts.file(""));
    let repaired = state_command(&hosts, &["repair", "store", "--yes"]);
    assert_eq!(repaired.status, Some(1));
    assert!(repaired.stderr.contains("to start without state, move "), "{repaired:?}");
    assert_eq!(files_in(&hosts.file("")), before);
    // The journal from the snapshot before on is damaged.
    flip(&hosts.file("store.state.1"), 90);
    flip(&hosts.file("store.journal.00000003"), 60);
    let repaired = state_command(&hosts, &["repair", "store", "--yes"]);
    assert_eq!(repaired.status, Some(1));
    assert!(repaired.stderr.contains("store.journal.00000003 is damaged"), "{repaired:?}");
    assert_eq!(fs::read(hosts.file("store.state")).unwrap(), before["store.state"]);
}

/// Checks that a check names the repair as a remedy and says what it does, that the repair says the
/// same, and that the host then has this many keys.
#[track_caller]
fn assert_repaired(hosts: &SuccessiveHosts, said: &str, count: usize) {
    let checked = state_command(hosts, &["check", "store"]);
    assert_eq!(checked.status, Some(1));
    assert!(checked.stderr.contains("'host state repair store' mends it: "), "{checked:?}");
    assert!(checked.stderr.contains(said), "{checked:?}");
    let repaired = state_command(hosts, &["repair", "store", "--yes"]);
    assert_eq!((repaired.status, repaired.stderr.as_str()), (Some(0), ""), "{repaired:?}");
    assert!(repaired.stdout.contains(said), "{repaired:?}");
    assert_eq!(state_command(hosts, &["check", "store"]).status, Some(0));
    assert_keys(&store_with(hosts, &[]).start(), count);
}

/// Checks that neither check nor repair offers a remedy, for this reason, and that no file changes.
#[track_caller]
fn assert_not_repaired(hosts: &SuccessiveHosts, reason: &str) {
    let before = files_in(&hosts.file(""));
    for task in [&["check", "store"][..], &["repair", "store", "--yes"]] {
        let ended = state_command(hosts, task);
        assert_eq!(ended.status, Some(1), "{ended:?}");
        for text in [reason, "'host state repair store' changes nothing; restore a backup; "] {
            assert!(ended.stderr.contains(text), "{ended:?}");
        }
    }
    assert_eq!(files_in(&hosts.file("")), before);
}

/// Returns hosts whose store has one snapshot, and a journal that is whole.
fn with_one_snapshot() -> SuccessiveHosts {
    let hosts = SuccessiveHosts::new();
    let mut host = store_with(&hosts, &[]).start();
    fill(&host, 0..1);
    Lines::connect(&host).ask("plugin save store");
    fill(&host, 1..2);
    host.kill();
    assert!(!hosts.file("store.state.1").exists());
    hosts
}

#[test]
fn whole_journal_replaces_only_snapshot() {
    let hosts = with_one_snapshot();
    let file = hosts.file("store.state");
    flip(&file, 90);
    let damaged = fs::read(&file).unwrap();
    let said = "the damaged snapshot is set aside; the 2 records of the journal, from 0 on, make \
                the state";
    assert_repaired(&hosts, said, 2);
    let aside = folder_beside(&hosts.file(""), "store.damaged.");
    assert_eq!(fs::read(aside.join("store.state")).unwrap(), damaged);
}

#[test]
fn damaged_header_leaves_whole_journal() {
    let hosts = with_one_snapshot();
    let file = hosts.file("store.state");
    // Its header is cut short, so that its record is not known.
    fs::write(&file, &fs::read(&file).unwrap()[..20]).unwrap();
    assert_repaired(&hosts, "the 2 records of the journal, from 0 on, make the state", 2);
}

#[test]
fn only_snapshot_and_journal_damaged_changes_nothing() {
    let hosts = with_one_snapshot();
    flip(&hosts.file("store.state"), 90);
    flip(&hosts.file("store.journal.00000002"), 60);
    assert_not_repaired(&hosts, "store.journal.00000002 is damaged at offset 40: ");
    // The advice for a part of the state.
    fs::remove_file(hosts.file("store.state")).unwrap();
    assert_repaired(&hosts, "1 record of the journal behind the snapshot is kept, from 0 on", 1);
}

#[test]
fn state_before_journal_is_not_dropped() {
    let hosts = SuccessiveHosts::new();
    let mut host = store_with(&hosts, &["--durability", "snapshot"]).start();
    fill(&host, 0..3);
    assert_eq!(host.ks(), Some(0));
    let mut host = store_with(&hosts, &[]).start();
    fill(&host, 3..5);
    host.kill();
    flip(&hosts.file("store.state"), 90);
    assert_not_repaired(&hosts, "it has a state from before the first record of the journal");
    flip(&hosts.file("store.state"), 90);
    assert_keys(&store_with(&hosts, &[]).start(), 5);
}

#[test]
fn snapshot_before_without_journal_lacks_changes() {
    let hosts = SuccessiveHosts::new();
    let mut host = store_with(&hosts, &["--durability", "snapshot"]).start();
    for number in 0..2 {
        fill(&host, number..number + 1);
        save(&host);
    }
    host.kill();
    flip(&hosts.file("store.state"), 90);
    assert_repaired(&hosts, "of the damaged snapshot; the changes since then are lost", 1);
}

#[test]
fn missing_snapshot_is_replaced_by_one_before() {
    let hosts = with_two_snapshots();
    let before = fs::read(hosts.file("store.state.1")).unwrap();
    fs::remove_file(hosts.file("store.state")).unwrap();
    let said = "store.state.1 takes the place of the missing snapshot; the journal goes on from \
                record 10";
    assert_repaired(&hosts, said, 30);
    assert_eq!(fs::read(hosts.file("store.state.1")).unwrap(), before);
}

#[test]
fn repair_never_leaves_nothing() {
    let hosts = with_two_snapshots();
    fs::remove_file(hosts.file("store.state")).unwrap();
    flip(&hosts.file("store.state.1"), 90);
    assert_not_repaired(&hosts, "store.state.1 is damaged: ");
    fs::remove_file(hosts.file("store.state.1")).unwrap();
    assert_not_repaired(&hosts, "records 0 to 9 are missing before ");
    // Its header.
    flip(&hosts.file("store.journal.00000002"), 30);
    assert_not_repaired(&hosts, "store.journal.00000002 is damaged at offset 0: ");
}

#[test]
fn damage_before_snapshot_costs_no_record() {
    let hosts = with_two_snapshots();
    flip(&hosts.file("store.journal.00000002"), 60);
    // The snapshot has all its records, so it is not read.
    assert_keys(&store_with(&hosts, &[]).start(), 30);
}

#[test]
fn gap_drops_what_follows() {
    let hosts = killed_with(10);
    for start in [10, 20] {
        let mut host = store_with(&hosts, &[]).start();
        fill(&host, start..start + 10);
        host.kill();
    }
    fs::remove_file(hosts.file("store.journal.00000002")).unwrap();
    assert_refused(&hosts, "records 10 to 19 are missing before ");
    let repaired = state_command(&hosts, &["repair", "store", "--yes"]);
    assert_eq!(repaired.status, Some(0), "{repaired:?}");
    assert!(repaired.stdout.contains("10 records of the journal"), "{repaired:?}");
    assert_keys(&store_with(&hosts, &[]).start(), 10);
}
