//! Copies of the state folder that are made while clients write and snapshots are taken.

use std::{
    fs,
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use dropin_tests::{Host, LIMIT, Lines, load::Ending, wait_until};

use super::{Counter, assert_counters, state_command, store_with};
use crate::reload::restart::{SuccessiveHosts, make_private};

/// The number of copies.
const COPIES: usize = 20;

/// So many copies may be refused, since two snapshots were taken meanwhile.
const MOST_REFUSED: usize = 100;

/// The least number of snapshots that are taken meanwhile.
const SNAPSHOTS: i64 = 6;

/// Copies a folder as an operator does. Files may vanish meanwhile.
fn copy(from: &Path, to: &Path) {
    // Fails if a file has vanished.
    let _ = Command::new("cp").arg("-r").arg(from).arg(to).output().unwrap();
}

fn snapshots(host: &Host) -> i64 {
    host.figure("store", "snapshots")
}

#[test]
fn every_copy_opens_and_is_consistent() {
    let hosts = SuccessiveHosts::new();
    let host = store_with(&hosts, &[]).start();
    let counter = Counter::start(&host);
    counter.flow(50);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = Lines::connect(&host);
            while !is_over.load(Ordering::Relaxed) {
                let saved = client.ask("plugin save store");
                assert!(saved.starts_with("plugin 'store': snapshot of "), "{saved}");
                // Longer than a copy takes.
                thread::sleep(std::time::Duration::from_millis(300));
            }
        });
        let _ending = Ending(&is_over);
        let (mut copies, mut refused) = (0, 0);
        // A fast machine makes more copies, until there are enough snapshots.
        while copies < COPIES || (snapshots(&host) < SNAPSHOTS && copies < 10 * COPIES) {
            counter.flow(20);
            let (before, others) = (counter.acknowledged(), SuccessiveHosts::new());
            make_private(&others.state_dir());
            fs::create_dir(others.state_dir().join(others.port().to_string())).unwrap();
            copy(&hosts.file(""), &others.file(""));
            let checked = state_command(&others, &["check", "store"]);
            if checked.status == Some(1) {
                assert!(checked.stderr.contains(" are missing before "), "{checked:?}");
                refused += 1;
                assert!(refused <= MOST_REFUSED, "{checked:?}");
                continue;
            }
            assert_eq!(checked.status, Some(0), "{checked:?}");
            assert_counters(&store_with(&others, &[]).start(), before);
            copies += 1;
        }
        eprintln!("{refused} copies were refused");
    });
    assert!(snapshots(&host) >= SNAPSHOTS);
    let acknowledged = counter.end();
    wait_until("the host serves", LIMIT, || Lines::connect(&host).ask("ping") == "PONG");
    assert_counters(&host, acknowledged);
}
