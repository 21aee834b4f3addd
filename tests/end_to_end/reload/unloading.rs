//! What is replaced is gone: its code from memory, its private copy from disk.
#![cfg(target_os = "linux")]

use std::fs;

use dropin_tests::{
    Host, LIMIT, Lines, Load, files,
    reload::{slim, variant},
    wait_until,
};

use super::{host_with, replace, setup};

#[test]
fn the_old_code_is_unmapped_and_no_copy_is_left() {
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
    // It has been loaded from a copy of its own, whose name is gone already.
    assert!(last[0].ends_with(" (deleted)"), "{last:?}");
    assert_eq!(host.copies(), [""; 0]);
    host.wait_for_log("plugin chameleon: generation 1 drained, ");
    host.wait_for_log("plugin chameleon: generation 2 unloaded, ");
    files::remove(host.library("chameleon"));
    host.wait_until_mapped("chameleon", 0);
    assert_eq!(host.ks(), Some(0));
    assert!(!host.own_dir().join("copies").exists());
}

#[test]
fn nothing_but_states_is_left_behind_by_a_host() {
    let mut host = setup().plugins(&["store", "text"]).start();
    assert_eq!(Lines::connect(&host).ask("set key value"), "OK");
    for number in 1..4 {
        host.settle("store", number);
        host.settle("text", number);
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
    let states: Vec<_> = fs::read_dir(host.own_dir().join("state")).unwrap().collect();
    assert_eq!(states.len(), 1);
}

/// What a process holds.
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
    host.place("store", &slim("store"));
    host.wait_for_log("plugin store: generation 2 swapped, ");
    let load = Load::new()
        .client(&host, &["echo", "hello"], 1, |reply| *reply == "hello".into())
        .client(&host, &["incr", "sum"], 16, |reply| reply.as_integer() > 0);
    let mut reload = {
        let mut generations = [1, 2];
        move |host: &Host| {
            for (package, generation) in ["text", "store"].iter().zip(&mut generations) {
                *generation += 1;
                host.place(package, &variant(package, *generation));
                host.wait_for_log(&format!("plugin {package}: generation {generation} swapped, "));
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
    assert_eq!(host.copies(), [""; 0]);
    load.stop();
}

#[test]
fn the_code_to_roll_back_to_costs_no_mapping() {
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
    assert_eq!(host.copies(), [""; 0]);
}
