//! Plugins with threads of their own, and with thread-locals: code in use is never unmapped, and
//! code that stays is counted.

use std::fs;

use dropin_tests::{Host, LIMIT, Lines, Setup, files, system::threads, wait_until};

use super::{host_with, replace};

/// Gives each session a thread, which ends with it.
const PER_CLIENT: [&str; 2] = ["--threads", "per-client"];

/// Waits until this many of the host's threads have this name, if the system lists them.
#[track_caller]
fn assert_count(host: &Host, name: &str, expected: usize) {
    if cfg!(target_os = "linux") {
        wait_until(&format!("{expected} threads are named '{name}'"), LIMIT, || {
            threads(host.pid()).iter().filter(|thread| *thread == name).count() == expected
        });
    }
}

#[test]
fn tracked_thread_is_joined_before_unloading() {
    let mut host = host_with("tracked", "1");
    let own = Lines::connect(&host).ask("tracked.directory");
    let ended = |mark: &str| fs::read_to_string(format!("{own}/ended-{mark}")).ok();
    replace(&host, "tracked", "2");
    host.wait_for_log("plugin tracked: generation 1 unloaded, ");
    assert_eq!(ended("1").as_deref(), Some("1"), "the thread has come to its end before that");
    assert_eq!(ended("2"), None);
    assert_count(&host, "background", 1);
    files::remove(host.library("tracked"));
    host.wait_for_log("plugin tracked: generation 2 unloaded, ");
    assert_eq!(ended("2").as_deref(), Some("2"));
    assert_count(&host, "background", 0);
    host.wait_until_mapped("tracked", 0);
    replace(&host, "tracked", "3");
    host.wait_for_log("plugin tracked: generation 3 loaded, ");
    assert_eq!(host.ks(), Some(0));
    assert_eq!(ended("3").as_deref(), Some("3"), "the end of the host waits too");
}

#[test]
fn endless_tracked_thread_keeps_only_its_code() {
    let host = super::with_version(Setup::new().flags(&PER_CLIENT), "tracked", "1").start();
    let stop = host.state_dir().join("stop");
    // A session that starts threads in a plugin keeps its code mapped too; this one ends at once.
    let started = Lines::connect(&host).ask(&format!("tracked.deaf '{}'", stop.display()));
    assert_eq!(started, "OK");
    for number in 2..5 {
        replace(&host, "tracked", &number.to_string());
        host.wait_for_log(&format!("plugin tracked: generation {number} swapped, "));
    }
    for number in 2..4 {
        host.wait_for_log(&format!("plugin tracked: generation {number} unloaded, "));
    }
    assert_eq!(host.logged("plugin tracked: generation 1 unloaded, "), None);
    assert_eq!(host.figure("tracked", "draining"), 1);
    host.process_changes("text", 1);
    assert_eq!(Lines::connect(&host).ask("echo fine"), "fine");
    fs::write(&stop, "").unwrap();
    host.wait_for_log("plugin tracked: generation 1 unloaded, ");
    host.wait_until_mapped("tracked", 1);
}

#[test]
fn endless_tracked_thread_does_not_delay_exit() {
    let mut host =
        super::with_version(Setup::new().flags(&["--grace", "2"]), "tracked", "1").start();
    assert_eq!(Lines::connect(&host).ask("tracked.deaf /never/there"), "OK");
    replace(&host, "tracked", "2");
    host.wait_for_log("plugin tracked: generation 2 swapped, ");
    assert_eq!(host.ks(), Some(3), "a thread is left");
}

#[test]
fn plugin_with_untracked_threads_is_never_unloaded() {
    let mut host = host_with("untracked", "1");
    for number in 2..5_u32 {
        replace(&host, "untracked", &number.to_string());
        host.wait_for_answer("untracked", &number.to_string());
        let expected = format!("plugin untracked: generation {} lingering, ", number - 1);
        let line = host.wait_for_log(&expected);
        assert!(line.contains(" WARN ") && line.contains("it has threads of its own"), "{line}");
        assert_eq!(host.figure("untracked", "lingering"), i64::from(number) - 1);
        assert_count(&host, "clockwork", number as usize);
    }
    host.wait_until_mapped("untracked", 4);
    let mut client = Lines::connect(&host);
    let mut ticks = || client.ask("untracked.ticks").parse::<u64>().unwrap();
    let first = ticks();
    wait_until("the last one's thread runs on", LIMIT, || ticks() > first);
    files::remove(host.library("untracked"));
    host.wait_until_unknown("untracked");
    host.wait_for_log("plugin untracked: generation 4 lingering, ");
    host.process_changes("text", 1);
    assert_eq!(host.mapped("untracked").len(), 4);
    assert_count(&host, "clockwork", 4);
    assert_eq!(Lines::connect(&host).ask("echo fine"), "fine");
    assert_eq!(host.ks(), Some(0));
}

/// Waits until only one generation of the plugin `local` is mapped.
#[cfg(unix)]
#[track_caller]
fn wait_for_one_mapping(host: &Host) {
    // The mappings disappear when any library is closed after their last thread.
    let mut number = 1;
    wait_until("the code is gone", LIMIT, || {
        number += 1;
        host.process_changes("text", number);
        host.mapped("local").len() == 1
    });
}

// Windows unloads it anyway; the thread-locals are then never dropped.
#[cfg(unix)]
#[test]
fn thread_local_keeps_code_until_thread_ends() {
    let host = super::with_version(Setup::new().flags(&PER_CLIENT), "local", "1").start();
    let mut sessions: Vec<_> = (0..3).map(|_| Lines::connect(&host)).collect();
    for _ in 0..3 {
        sessions.iter_mut().for_each(|client| assert!(client.ask("local.touch") != "0"));
    }
    replace(&host, "local", "2");
    let line = host.wait_for_log("plugin local: generation 1 lingering, ");
    assert!(line.contains(" WARN ") && line.contains("until that thread ends"), "{line}");
    assert_eq!(host.figure("local", "lingering"), 1);
    assert_eq!(host.mapped("local").len(), 2);
    sessions.iter_mut().for_each(|client| assert_eq!(client.ask("local.touch"), "1"));
    replace(&host, "local", "3");
    host.wait_for_log("plugin local: generation 2 lingering, ");
    assert_eq!(host.figure("local", "lingering"), 2);
    // One of the threads is enough to keep both.
    drop(sessions.drain(1..));
    host.process_changes("text", 1);
    assert_eq!(sessions[0].ask("local.touch"), "1");
    assert_eq!(host.mapped("local").len(), 3);
    assert_eq!(host.logged("plugin local: generation 1 unloaded, "), None);
    drop(sessions);
    wait_for_one_mapping(&host);
    host.wait_for_log("plugin local: generation 1 unloaded, ");
    host.wait_for_log("plugin local: generation 2 unloaded, ");
    wait_until("nothing is counted", LIMIT, || host.figure("local", "lingering") == 0);
}

/// A thread that serves many sessions ends in time, though none of its sessions leaves.
#[cfg(unix)]
#[test]
fn shared_thread_keeps_code_for_a_while() {
    let setup = Setup::new().flags(&["--threads", "shared"]);
    let host = super::with_version(setup, "local", "1").start();
    let mut session = Lines::connect(&host);
    assert_eq!(session.ask("local.touch"), "1");
    replace(&host, "local", "2");
    host.wait_for_log("plugin local: generation 1 lingering, ");
    assert_eq!(host.mapped("local").len(), 2);
    wait_for_one_mapping(&host);
    host.wait_for_log("plugin local: generation 1 unloaded, ");
    assert_eq!(session.ask("local.touch"), "1");
}
