//! Workers that speak lines of JSON: their commands are journaled as those of a library.

use dropin_tests::{Host, Lines, Setup, executable::Script, system::kill};

use crate::{processes::pid, reload::restart::SuccessiveHosts};

/// Returns a host with a worker whose commands of these names write.
fn sound(hosts: &SuccessiveHosts, writes: &[&str]) -> Setup {
    let script = Script::fixture("sound").set("WRITES", writes);
    hosts.setup().executable("sound.py", script).log_level("info")
}

/// Adds a command that counts as `sound.count` does, and calls it.
#[track_caller]
fn call_later(host: &Host) {
    let mut client = Lines::connect(host);
    assert_eq!(client.ask("sound.add later"), "added");
    host.wait_for_answer("later", "this is later");
}

#[test]
fn kills_of_worker_and_host_lose_nothing() {
    let hosts = SuccessiveHosts::new();
    let writes = ["add", "count", "later"];
    let mut host = sound(&hosts, &writes).start();
    host.wait_for_answer("sound.count", "1");
    // A command that is not in the hello.
    call_later(&host);
    kill(pid(&host, "sound"));
    host.wait_for_log("plugin sound: it goes on with its whole state: ");
    host.wait_for_answer("sound.count", "3");
    host.kill();
    let host = sound(&hosts, &writes).start();
    host.wait_for_log("plugin sound: 4 records of its journal replayed, from 0 on");
    host.wait_for_answer("sound.count", "4");
    host.wait_for_answer("later", "this is later");
}

#[test]
fn journal_can_be_set_before_commands_write() {
    let hosts = SuccessiveHosts::new();
    let host = sound(&hosts, &["later"]).flags(&["--durability", "journal"]).start();
    call_later(&host);
    assert_eq!(host.figure("sound", "journal-records"), 1);
}

#[test]
fn writes_without_journal_are_warned_of() {
    let hosts = SuccessiveHosts::new();
    let host = sound(&hosts, &["later"]).start();
    call_later(&host);
    host.wait_for_log("plugin sound: a command of its new list has the attribute `writes`, but");
}
