//! Probes run concurrently, up to a limit; the others wait in order.
#![cfg(target_os = "linux")]

use std::{
    fs,
    time::{Duration, Instant},
};

use dropin_tests::{
    LIMIT, Lines, Setup, built::library_name, files, reload::marked, system::children, wait_until,
};

use super::with_version;

/// The maximum number of concurrent probes.
const PLACES: usize = 8;

#[test]
fn probe_beyond_the_places_waits_for_one() {
    let host = Setup::new().flags(&["--probe-timeout", "600"]).start();
    for number in 0..PLACES {
        let bytes = marked("keeper", &format!("{number} create-hangs"));
        host.place(&format!("hangs-{number}"), &bytes);
    }
    wait_until("every place is taken", LIMIT, || children(host.pid()) == PLACES);
    let mut client = Lines::connect(&host);
    for (name, bytes) in [
        ("waits-1", marked("keeper", "8 create-hangs")),
        ("waits-2", marked("chameleon", "2")),
        ("waits-3", marked("setting", "3")),
    ] {
        host.place(name, &bytes);
        host.wait_for_log(&format!("plugin file {}: probe started", library_name(name)));
    }
    let waiting = Instant::now();
    while waiting.elapsed() < Duration::from_millis(500) {
        assert_eq!(children(host.pid()), PLACES);
        assert!(client.ask("colour").starts_with("error: unknown command"));
    }
    // One that waits is removed, and the others keep their order.
    let cancel = |name: &str| {
        files::remove(host.library(name));
        let news = format!("plugin file {}: probe ended, the file has changed", library_name(name));
        host.wait_for_log(&news);
    };
    cancel("waits-1");
    cancel("hangs-0");
    host.wait_for_answer("colour", "2");
    host.wait_for_answer("setting.version", "3");
}

#[test]
fn file_removed_beside_hanging_probe_is_unloaded() {
    let setup = Setup::new().flags(&["--probe-timeout", "600"]);
    let host = with_version(setup, "chameleon", "1").start();
    host.wait_for_answer("colour", "1");
    host.place("hangs", &marked("keeper", "1 create-hangs"));
    wait_until("the probe runs", LIMIT, || children(host.pid()) == 1);
    // For 2 s the file might be the same plugin under another name.
    files::remove(host.library("chameleon"));
    host.wait_until_unknown("colour");
}

#[test]
fn probe_that_could_not_begin_is_tried_again() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("temporary");
    let host = Setup::new().variable("TMPDIR", folder.to_str().unwrap()).start();
    host.place("chameleon", &marked("chameleon", "1"));
    let line = host.wait_for_log(&format!("refused {}", library_name("chameleon")));
    assert!(line.contains("make a directory"), "{line}");
    fs::create_dir(&folder).unwrap();
    host.wait_for_answer("colour", "1");
}
