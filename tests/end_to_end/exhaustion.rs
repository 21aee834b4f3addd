//! Exhausted system resources: the host keeps running, and recovers.
#![cfg(target_os = "linux")]

use std::fs;

use dropin_tests::{Host, LIMIT, Lines, Setup, setup::are_threads_shared, wait_for, wait_until};

/// Starts a host that may open this many files more than it has open when it serves.
fn with_files(more: usize) -> Host {
    let files = |host: &Host| fs::read_dir(format!("/proc/{}/fd", host.pid())).unwrap().count();
    let open = files(&Setup::new().plugins(&["text"]).start());
    let limit = format!("--nofile={}", open + more);
    // A hard limit: the host could raise a soft one.
    Setup::new().plugins(&["text"]).started_by(&["prlimit", &limit]).start()
}

/// Returns clients that use up all files.
fn exhaust(host: &Host) -> Vec<Lines> {
    let mut clients = Vec::new();
    wait_until("the host is out of files", LIMIT, || {
        clients.push(Lines::connect(host));
        host.logged("cannot accept a client").is_some()
    });
    clients
}

/// Returns whether a newcomer that sends nothing is served, and not rejected.
#[track_caller]
fn is_served(newcomer: &Lines, observer: &mut Lines) -> bool {
    let entry = format!(" addr={} ", newcomer.local());
    newcomer.stream().set_nonblocking(true).unwrap();
    let is_served = wait_for("the newcomer is served or rejected", LIMIT, || {
        let list = observer.ask_all("client list");
        let is_rejected = newcomer.stream().peek(&mut [0]).is_ok();
        let is_listed = list.iter().any(|line| line.contains(&entry));
        (is_listed || is_rejected).then_some(is_listed)
    });
    newcomer.stream().set_nonblocking(false).unwrap();
    is_served
}

#[test]
#[cfg_attr(not(tool = "prlimit"), ignore = "needs prlimit")]
fn out_of_files_only_newcomers_are_rejected() {
    let host = with_files(12);
    let mut clients = exhaust(&host);
    let mut rejected = 0;
    while rejected < 3 {
        let mut newcomer = Lines::connect(&host);
        if is_served(&newcomer, &mut clients[0]) {
            // The watch of the folder had its descriptor for a moment.
            clients.push(newcomer);
            continue;
        }
        assert_eq!(newcomer.end(), ["-ERR the server is out of file descriptors, try later"]);
        rejected += 1;
    }
    assert_eq!(clients[0].ask("echo 'still served'"), "still served");
}

#[test]
#[cfg_attr(not(tool = "prlimit"), ignore = "needs prlimit")]
fn out_of_files_host_recovers_when_clients_leave() {
    let host = with_files(12);
    let mut clients = exhaust(&host);
    let mut first = clients.remove(0);
    drop(clients);
    wait_until("they are gone", LIMIT, || first.ask_all("client list").len() == 1);
    // Over either family, whichever comes first.
    for address in [host.v4(), host.v6(), host.v4()] {
        assert_eq!(Lines::connect_to(address).ask("echo 'served again'"), "served again");
    }
    assert_eq!(first.ask("echo 'all the time'"), "all the time");
}

#[test]
#[cfg_attr(not(tool = "prlimit"), ignore = "needs prlimit")]
fn out_of_files_host_still_ends_orderly() {
    let mut host = with_files(12);
    let mut clients = exhaust(&host);
    assert_eq!(clients[0].ask("ks"), "OK");
    assert_eq!(host.exit(), Some(0));
}

#[test]
#[cfg_attr(not(tool = "prlimit"), ignore = "needs prlimit")]
fn too_low_file_limit_is_warned_of() {
    let start = |sessions: &str| {
        let setup = Setup::new().flags(&["--max-sessions", sessions]);
        setup.started_by(&["prlimit", "--nofile=400"]).start()
    };
    // A runner for each processor.
    let processors = std::thread::available_parallelism().unwrap().get();
    let runners = if are_threads_shared() { processors } else { 0 };
    let warning = format!(
        "this process may open 400 files, and --max-sessions 350 needs {}: raise the limit (ulimit \
         -n, LimitNOFILE= in a systemd unit) or lower --max-sessions",
        350 + 64 + 3 * runners
    );
    start("350").wait_for_log(&warning);
    let host = start("100");
    assert!(host.logged("this process may open").is_none(), "{}", host.log());
}
