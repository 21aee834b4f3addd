//! Replaced plugins are unloaded: the code from memory, the private copy from disk.
#![cfg(target_os = "linux")]

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use dropin_tests::{
    Frame, Host, LIMIT, Lines, Load, Resp, files,
    reload::{stripped, variant},
    system::thread_ids,
    wait_until,
};

use super::{host_with, replace, setup};

#[test]
fn old_code_is_unmapped_and_copy_removed() {
    let mut host = host_with("chameleon", "1");
    assert_eq!(host.mapped("chameleon").len(), 1);
    let first = host.mapped("chameleon");
    for mark in ["2", "3"] {
        replace(&host, "chameleon", mark);
        host.wait_for_answer("colour", mark);
        host.wait_until_mapped("chameleon", 1);
    }
    let last = host.mapped("chameleon");
    assert_ne!(last, first);
    // It was loaded from a private copy, whose name is already removed.
    assert!(last[0].ends_with(" (deleted)"), "{last:?}");
    wait_until("no copy is left", LIMIT, || host.copies().is_empty());
    host.wait_for_log("plugin chameleon: generation 1 drained, ");
    host.wait_for_log("plugin chameleon: generation 2 unloaded, ");
    files::remove(host.library("chameleon"));
    host.wait_until_mapped("chameleon", 0);
    assert_eq!(host.ks(), Some(0));
    assert!(!host.own_dir().join("copies").exists());
}

/// Returns an event's duration in milliseconds, from its line of the log.
fn took(line: &str) -> f64 {
    let duration = line.rsplit_once(" (").and_then(|(_, duration)| duration.strip_suffix(" ms)"));
    duration.unwrap().parse().unwrap()
}

#[test]
fn idle_plugin_is_unloaded_at_once() {
    // Attempts on a machine that is too slow.
    const TRIES: usize = 20;
    // Half of the time limit of a batch.
    const SOON: f64 = 500.0;
    let host = host_with("chameleon", "1");
    let is_soon = (1..=TRIES).any(|number| {
        replace(&host, "chameleon", &(number + 1).to_string());
        let is_soon = ["drained", "unloaded"].iter().all(|event| {
            let news = format!("plugin chameleon: generation {number} {event}, ");
            took(&host.wait_for_log(&news)) < SOON
        });
        // A long unload is logged.
        is_soon && host.logged(&format!("the end of generation {number} has taken")).is_none()
    });
    assert!(is_soon, "{}", host.log());
}

/// Returns a session whose call of this command, which logs this, ends when the file exists.
fn hold(host: &Host, command: &str, logs: &str, gate: &Path) -> Lines {
    let mut holder = Lines::connect(host);
    holder.say(&format!("{command} '{}'", gate.display()));
    host.wait_for_log(logs);
    holder
}

#[test]
fn stats_counts_what_drains() {
    let host = host_with("chameleon", "1");
    let gate = host.state_dir().join("gate");
    let mut holder = hold(&host, "colour.hold", "colour 1 holds", &gate);
    let mut client = Resp::connect3(&host);
    let mut counted = |expected: [i64; 2]| {
        wait_until(&format!("{expected:?} drain and linger"), LIMIT, || {
            let stats = client.ask(&["stats"]);
            ["generations-draining", "generations-lingering"]
                .map(|name| stats.get(name).unwrap().as_integer())
                == expected
        });
    };
    counted([0, 0]);
    replace(&host, "chameleon", "2");
    counted([1, 0]);
    fs::write(&gate, "").unwrap();
    assert_eq!(holder.line(), "1");
    counted([0, 0]);
}

/// The effort of the manager's thread so far.
#[derive(Debug)]
struct Effort {
    waits: u64,
    /// Processor time, in clock ticks.
    ticks: u64,
}

/// Returns the effort of the manager's thread so far.
fn effort(host: &Host) -> Effort {
    let task = |id| format!("/proc/{}/task/{id}", host.pid());
    let is_manager = |id: &u32| {
        fs::read_to_string(task(*id) + "/comm").is_ok_and(|name| name.trim_end() == "manager")
    };
    let id = thread_ids(host.pid()).into_iter().find(is_manager).unwrap();
    let status = fs::read_to_string(task(id) + "/status").unwrap();
    let waits = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    let stat = fs::read_to_string(task(id) + "/stat").unwrap();
    // Behind the name come the state and ten numbers, then the times in user and system mode.
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks = fields.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    Effort { waits: waits.unwrap().trim().parse().unwrap(), ticks }
}

#[test]
fn long_call_costs_the_manager_little() {
    const SECOND: Duration = Duration::from_secs(1);
    let host = host_with("chameleon", "1");
    replace(&host, "keeper", "1");
    host.wait_for_answer("keeper.version", "1");
    let [drains, waits] = ["drains", "waits"].map(|name| host.state_dir().join(name));
    let _draining = hold(&host, "colour.hold", "colour 1 holds", &drains);
    let _waiting = hold(&host, "keeper.hold", "keeper 1 holds", &waits);
    replace(&host, "chameleon", "2");
    host.wait_for_answer("colour", "2");
    replace(&host, "keeper", "2");
    wait_until("the replacement waits", LIMIT, || {
        matches!(host.info("keeper").get("waiting"), Some(Frame::Text(_)))
    });
    let begun = Instant::now();
    // For one second the manager polls often.
    wait_until("a while has passed", LIMIT, || begun.elapsed() > SECOND * 3 / 2);
    let (begun, before) = (Instant::now(), effort(&host));
    wait_until("a second has passed", LIMIT, || begun.elapsed() > SECOND);
    let (after, seconds) = (effort(&host), begun.elapsed().as_secs_f64());
    // It polls ten times a second, and a second has a hundred ticks.
    assert!((after.waits - before.waits) as f64 <= 50.0 * seconds, "{before:?} {after:?}");
    assert!((after.ticks - before.ticks) as f64 <= 10.0 * seconds, "{before:?} {after:?}");
}

#[test]
fn host_leaves_only_state_files() {
    let mut host = setup().plugins(&["store", "text"]).start();
    assert_eq!(Lines::connect(&host).ask("set key value"), "OK");
    for number in 1..4 {
        host.process_changes("store", number);
        host.process_changes("text", number);
    }
    host.place("bad", b"no library at all");
    host.wait_for_log("refused");
    assert_eq!(host.ks(), Some(0));
    let mut left: Vec<_> = fs::read_dir(host.own_dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    left.sort();
    assert_eq!(left, ["lock", "state"]);
    let states = fs::read_dir(host.own_dir().join("state")).unwrap();
    let is_state = |name: &str| {
        ["store.state", "store.state.1"].contains(&name) || name.starts_with("store.journal.")
    };
    for file in states {
        let name = file.unwrap().file_name().to_string_lossy().into_owned();
        assert!(is_state(&name), "{name}");
    }
}

/// The resources of a process.
#[derive(Clone, Copy, Debug)]
struct Held {
    mappings: usize,
    files: usize,
    threads: usize,
}

fn held(host: &Host) -> Held {
    let entries = |what: &str| {
        fs::read_dir(format!("/proc/{}/{what}", host.pid())).map(Iterator::count).unwrap_or(0)
    };
    let maps = fs::read_to_string(format!("/proc/{}/maps", host.pid())).unwrap_or_default();
    Held { mappings: maps.lines().count(), files: entries("fd"), threads: entries("task") }
}

#[test]
fn two_hundred_reloads_leave_nothing_behind() {
    let host = setup().plugins(&["store", "text"]).start();
    host.place("store", &stripped("store"));
    host.wait_for_log("plugin store: generation 2 swapped, ");
    let load = Load::new()
        .client(&host, &["echo", "hello"], 1, |reply| *reply == "hello".into())
        .client(&host, &["incr", "sum"], 16, |reply| reply.as_integer() > 0);
    let mut reload = {
        let mut swaps = [0, 1];
        move |host: &Host| {
            for (package, swaps) in ["text", "store"].iter().zip(&mut swaps) {
                *swaps += 1;
                host.place(package, &variant(package, *swaps));
                host.wait_for_swaps(package, *swaps);
            }
        }
    };
    let settled = |host: &Host| {
        host.wait_until_mapped("text", 1);
        host.wait_until_mapped("store", 1);
        wait_until("nothing drains", LIMIT, || {
            host.figure("text", "draining") + host.figure("store", "draining") == 0
        });
        held(host)
    };
    (0..10).for_each(|_| reload(&host));
    let before = settled(&host);
    (0..90).for_each(|_| reload(&host));
    load.flow();
    wait_until("no more is held than after the first reloads", LIMIT, || {
        let now = settled(&host);
        now.files <= before.files + 2
            && now.threads <= before.threads + 2
            && now.mappings <= before.mappings + 40
    });
    wait_until("no copy is left", LIMIT, || host.copies().is_empty());
    load.stop();
}

#[test]
fn rollback_code_costs_no_mapping() {
    let host = host_with("chameleon", "1");
    replace(&host, "chameleon", "2");
    host.wait_for_answer("colour", "2");
    host.wait_until_mapped("chameleon", 1);
    let mut client = Lines::connect(&host);
    for mark in ["1", "2", "1"] {
        assert!(client.ask("plugin rollback chameleon").ends_with(", the code before"));
        assert_eq!(client.ask("colour"), mark);
        host.wait_until_mapped("chameleon", 1);
    }
    wait_until("no copy is left", LIMIT, || host.copies().is_empty());
}

/// Returns the resident memory of a host, in KiB.
fn resident(host: &Host) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", host.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim_end_matches("kB").trim().parse().unwrap()
}

#[test]
fn memory_of_an_old_state_is_returned() {
    const KEYS: usize = 200_000;
    let host = setup().plugins(&["store"]).start();
    let mut client = Resp::connect(&host);
    for first in (0..KEYS).step_by(1000) {
        let words = (first..first + 1000).flat_map(|key| [format!("key-{key}"), "x".repeat(100)]);
        let words: Vec<_> = std::iter::once("mset".to_owned()).chain(words).collect();
        assert_eq!(client.ask(&words), Frame::ok());
    }
    let before = resident(&host);
    for number in 1..=2 {
        host.place("store", &variant("store", number));
        host.wait_for_log(&format!("plugin store: generation {} swapped, ", number + 1));
        host.wait_for_log(&format!("plugin store: generation {number} unloaded, "));
    }
    assert_eq!(client.ask(&["dbsize"]).as_integer(), KEYS as i64);
    wait_until("the memory is returned", LIMIT, || resident(&host) < before + before / 4);
}
