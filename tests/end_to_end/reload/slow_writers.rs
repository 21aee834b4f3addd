//! A library that is still being written is never loaded.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use dropin_tests::{
    Host, LIMIT, Lines,
    built::library_name,
    reload::{SlowWriter, marked, variant},
    wait_until,
};

use super::{host_with, replace_folder, setup, setup_with};

/// Longer than the time after which an unchanged file without a known writer counts as complete,
/// and shorter than the time for which a writer may pause.
const LONG: Duration = Duration::from_secs(2);

/// After a pause this long, a file counts as complete although its writer has not closed it.
const SILENT: Duration = Duration::from_secs(3);

/// If the folder is polled, a file that is unchanged for this long counts as complete.
const STILL: Duration = Duration::from_millis(500);

/// The report of a file that another program has open for 10 s.
const HELD: &str = "another program has it open; it is loaded as soon as that one closes it";

/// The answer to `colour` while no version is loaded.
const UNKNOWN: &str = "error: unknown command 'colour'";

/// Writes version 2 in pieces and pauses before the end; until then `colour` must have this answer.
/// Returns false if the machine stood still for so long that the host may load the file early.
#[track_caller]
fn write_slowly(host: &Host, path: &Path, before: &str) -> bool {
    let (bytes, mut client) = (marked("chameleon", "2"), Lines::connect(host));
    let (started, mut longest) = (Instant::now(), Duration::ZERO);
    let mut writer = SlowWriter::open(path, &bytes, 8);
    let (mut written, mut has_more, mut settled) = (started, true, 0);
    // At the end the last piece is written, but the file is not closed yet.
    while longest < SILENT && (has_more || started.elapsed() < LONG) {
        if has_more {
            longest = longest.max(written.elapsed());
            written = Instant::now();
            has_more = writer.write();
        }
        settled += 1;
        host.process_changes("text", settled);
        let answer = client.ask("colour");
        longest = longest.max(written.elapsed());
        assert!(answer == before || longest >= SILENT, "{answer}");
    }
    let log = host.log();
    let is_in_time = longest.max(written.elapsed()) < SILENT;
    // That a program has it open for long is reported; eight slow changes take so long under Wine.
    let refused = |line: &str| line.contains("refused") && !line.contains(HELD);
    assert!(!is_in_time || !log.lines().any(refused), "{log}");
    while writer.write() {}
    drop(writer);
    host.wait_for_answer("colour", "2");
    is_in_time
}

#[cfg(any(target_os = "linux", windows))]
#[test]
fn overwritten_library_is_loaded_on_close() {
    let host = host_with("chameleon", "1");
    if write_slowly(&host, &host.library("chameleon"), "1") {
        assert_eq!(host.figure("chameleon", "generation"), 2);
    }
}

#[cfg(any(target_os = "linux", windows))]
#[test]
fn new_library_is_loaded_on_close() {
    let host = setup().plugins(&["text"]).start();
    if write_slowly(&host, &host.library("chameleon"), UNKNOWN) {
        assert_eq!(host.figure("chameleon", "generation"), 1);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn recreated_folder_loads_library_on_close() {
    let host = host_with("chameleon", "1");
    let folder = host.plugins_folder();
    let identity = || std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(&folder).unwrap());
    let first = identity();
    // Repeated until the new folder has the inode number of the old one, as on many file systems.
    host.while_stopped(|| {
        for _ in 0..50 {
            std::fs::remove_dir_all(&folder).unwrap();
            std::fs::create_dir(&folder).unwrap();
            if identity() == first {
                break;
            }
        }
    });
    host.wait_until_unknown("colour");
    host.process_changes("text", 100);
    write_slowly(&host, &host.library("chameleon"), UNKNOWN);
}

#[cfg(target_os = "linux")]
#[test]
fn replaced_folder_loads_library_on_close() {
    let host = host_with("chameleon", "1");
    replace_folder(&host, "text", &variant("text", 100));
    host.wait_until_unknown("colour");
    write_slowly(&host, &host.library("chameleon"), UNKNOWN);
}

#[test]
fn incomplete_library_at_start_loads_once_complete() {
    let setup = setup().plugins(&["text"]);
    let path = setup.plugins_folder().join(library_name("chameleon"));
    let bytes = marked("chameleon", "2");
    let mut writer = SlowWriter::open(&path, &bytes, 2);
    writer.write();
    let host = setup.start();
    let mut client = Lines::connect(&host);
    assert_eq!(client.ask("colour"), UNKNOWN);
    assert_eq!(client.ask("echo fine"), "fine");
    writer.write();
    drop(writer);
    host.wait_for_answer("colour", "2");
}

#[test]
fn polled_folder_loads_library_once_complete() {
    let host = setup_with("chameleon", "1").flags(&["--watch", "poll"]).start();
    let bytes = marked("chameleon", "2");
    let mut writer = SlowWriter::open(&host.library("chameleon"), &bytes, 20_000);
    let mut client = Lines::connect(&host);
    let (mut written, mut longest) = (Instant::now(), Duration::ZERO);
    // A file that was written later is loaded: the folder was polled meanwhile, more than once.
    host.place("text", &variant("text", 1));
    wait_until("another file is taken", LIMIT, || {
        assert!(writer.write(), "there is more to write");
        longest = longest.max(written.elapsed());
        written = Instant::now();
        assert_eq!(client.ask("colour"), "1");
        host.logged("plugin text: generation 2 swapped").is_some()
    });
    // If the machine stands still, so does the writer.
    if longest < STILL / 2 {
        assert!(!host.log().contains("plugin chameleon: refused"), "{}", host.log());
    }
    while writer.write() {}
    drop(writer);
    host.wait_for_answer("colour", "2");
}
