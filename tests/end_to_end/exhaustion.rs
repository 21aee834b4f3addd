//! When the system has nothing more to give: the host goes on, and recovers.
#![cfg(target_os = "linux")]

use std::fs;

use dropin_tests::{Host, LIMIT, Lines, Setup, require, wait_until};

/// A host that may open this many files more than it has open when it serves.
fn with_files(more: usize) -> Host {
    let files = |host: &Host| fs::read_dir(format!("/proc/{}/fd", host.pid())).unwrap().count();
    let open = files(&Setup::new().plugins(&["text"]).start());
    let limit = format!("--nofile={}", open + more);
    // Not a soft limit alone: the host could raise that.
    Setup::new().plugins(&["text"]).started_by(&["prlimit", &limit]).start()
}

#[test]
fn out_of_files_the_host_serves_who_is_there_and_recovers() {
    if !require("prlimit") {
        return;
    }
    let host = with_files(12);
    let mut clients = Vec::new();
    wait_until("the host is out of files", LIMIT, || {
        clients.push(Lines::connect(&host));
        host.logged("cannot accept a client").is_some()
    });
    let mut first = clients.remove(0);
    assert_eq!(first.ask("echo 'still served'"), "still served");
    drop(clients);
    assert_eq!(Lines::connect(&host).ask("echo 'served again'"), "served again");
    assert_eq!(first.ask("echo 'all the time'"), "all the time");
}

#[test]
fn out_of_files_the_host_still_ends_in_order() {
    if !require("prlimit") {
        return;
    }
    let mut host = with_files(12);
    let mut clients = Vec::new();
    wait_until("the host is out of files", LIMIT, || {
        clients.push(Lines::connect(&host));
        host.logged("cannot accept a client").is_some()
    });
    assert_eq!(clients[0].ask("ks"), "OK");
    assert_eq!(host.exit(), Some(0));
}
