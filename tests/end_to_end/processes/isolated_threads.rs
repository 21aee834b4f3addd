//! Threads of a library in a worker process: tracked ones are joined, and untracked ones end with
//! their process.

use std::fs;

use dropin_tests::{LIMIT, Lines, files, wait_until};

use super::*;

#[test]
fn tracked_thread_is_joined_before_its_process_ends() {
    let mut host = isolated_with("tracked", "1");
    let own = Lines::connect(&host).ask("tracked.directory");
    let ended = |mark: &str| fs::read_to_string(format!("{own}/ended-{mark}")).ok();
    replace(&host, "tracked", "2");
    host.wait_for_log("plugin tracked: generation 1 unloaded, ");
    assert_eq!(ended("1").as_deref(), Some("1"), "the thread has come to its end before that");
    assert_eq!(ended("2"), None);
    files::remove(host.library("tracked"));
    host.wait_for_log("plugin tracked: generation 2 unloaded, ");
    assert_eq!(ended("2").as_deref(), Some("2"));
    replace(&host, "tracked", "3");
    host.wait_for_log("plugin tracked: generation 3 loaded, ");
    assert_eq!(host.ks(), Some(0));
    assert_eq!(ended("3").as_deref(), Some("3"), "the end of the host waits too");
}

#[test]
fn endless_tracked_thread_delays_no_end() {
    let library = marked("tracked", "1");
    let setup = setup().flags(&["--isolate", "tracked", "--grace", "2"]);
    let mut host = setup.file(&built::library_name("tracked"), &library).start();
    assert_eq!(Lines::connect(&host).ask("tracked.deaf /never/there"), "OK");
    replace(&host, "tracked", "2");
    host.wait_for_log("plugin tracked: generation 2 swapped, ");
    // The process can be ended with its thread.
    let status = host.ks();
    assert!(matches!(status, Some(0 | 3)), "{status:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn untracked_threads_are_freed_with_their_process() {
    use dropin_tests::system::is_running;
    let mut host = isolated_with("untracked", "1");
    for number in 2..5_u32 {
        let before = pid(&host, "untracked");
        replace(&host, "untracked", &number.to_string());
        host.wait_for_answer("untracked", &number.to_string());
        host.wait_for_log(&format!("plugin untracked: generation {} unloaded, ", number - 1));
        wait_until("the old process has ended", LIMIT, || !is_running(before));
        assert_eq!(host.figure("untracked", "lingering"), 0);
        assert_eq!(host.figure("untracked", "draining"), 0);
    }
    host.wait_until_mapped("untracked", 0);
    let mut client = Lines::connect(&host);
    let mut ticks = || client.ask("untracked.ticks").parse::<u64>().unwrap();
    let first = ticks();
    wait_until("the last one's thread runs on", LIMIT, || ticks() > first);
    assert!(host.logged("it has threads of its own").is_none());
    assert_eq!(host.ks(), Some(0));
}

#[cfg(target_os = "linux")]
#[test]
fn thread_local_keeps_no_code_in_the_host() {
    let host = isolated_with("local", "1");
    let mut sessions: Vec<_> = (0..3).map(|_| Lines::connect(&host)).collect();
    sessions.iter_mut().for_each(|client| assert!(client.ask("local.touch") != "0"));
    replace(&host, "local", "2");
    host.wait_for_log("plugin local: generation 1 unloaded, ");
    assert_eq!(host.figure("local", "lingering"), 0);
    sessions.iter_mut().for_each(|client| assert!(client.ask("local.touch") != "0"));
    assert!(host.mapped("local").is_empty(), "{:?}", host.mapped("local"));
}
