//! Executables that fail at their start: they are refused, and an older version goes on.

use dropin_tests::{Lines, Setup, executable::Script};

use super::*;

/// The faults that the host notices at once.
const AT_ONCE: [&str; 19] = [
    "exits",
    "signal",
    "exits in handshake",
    "raises",
    "other version",
    "version of text",
    "no name",
    "empty name",
    "name of a path",
    "name of a number",
    "no commands",
    "commands of text",
    "command of text",
    "illegal command",
    "empty command",
    "illegal usage",
    "command twice",
    "claims ks",
    "claims echo",
];

/// The faults that it may notice only when the time for the start is over.
const LATE: [&str; 9] =
    ["silent", "half", "closes", "endless", "list", "no JSON", "no UTF-8", "NUL", "deep"];

/// Returns the name of the file with this fault.
fn file(fault: &str) -> String {
    format!("{}.py", fault.replace(' ', "-"))
}

#[track_caller]
fn all_are_refused(setup: Setup, faults: &[&str]) {
    let mut setup = setup;
    for (number, fault) in faults.iter().enumerate() {
        let script = Script::fixture("start").set("FAULT", fault).set("NAME", format!("x{number}"));
        setup = setup.executable(&file(fault), script);
    }
    let host = setup.start();
    for fault in faults {
        let line = host.wait_for_log(&format!(": refused {} (", file(fault)));
        assert!(line.contains(" ERROR ") && line.split(" ms): ").nth(1).is_some(), "{line}");
    }
    host.wait_for_answer("echo served", "served");
    assert!(Lines::connect(&host).ask("x0.version").starts_with("error: unknown command"));
}

#[test]
fn worker_that_fails_in_its_handshake_is_refused() {
    all_are_refused(setup(), &AT_ONCE);
}

#[test]
fn worker_without_a_handshake_is_refused_in_time() {
    all_are_refused(Setup::new().plugins(&["text"]).flags(&["--probe-timeout", "6"]), &LATE);
}

#[test]
fn last_words_of_a_failed_worker_are_logged() {
    let script = Script::fixture("start").set("FAULT", "raises");
    let host = setup().executable("start.py", script).start();
    host.wait_for_log("RuntimeError: no greeting");
    let line = host.wait_for_log(": refused start.py (");
    assert!(line.contains("exit status 1"), "{line}");
}

#[test]
fn file_without_its_interpreter_is_refused() {
    let scripts = [
        ("missing", "#!/no/such/interpreter\n", "/no/such/interpreter"),
        ("empty", "#!\n", "interpreter"),
        ("windows", "#!/bin/sh\r\necho '{}'\r\n", "Windows"),
    ];
    let mut setup = setup();
    for (name, text, _) in scripts {
        setup = setup.executable(name, text);
    }
    let host = setup.start();
    for (name, _, word) in scripts {
        let line = host.wait_for_log(&format!(": refused {name} ("));
        assert!(line.contains(word), "{line}");
    }
    assert_eq!(Lines::connect(&host).ask("echo served"), "served");
}

#[test]
fn failed_start_keeps_the_old_version() {
    let host = setup().executable("start.py", Script::fixture("start")).start();
    host.wait_for_answer("start.version", "1");
    let (mut watcher, others, before) = (watcher(&host), others(&host), pid(&host, "start"));
    for fault in ["exits", "exits in handshake", "no name", "claims echo", "other version"] {
        let script = Script::fixture("start").set("FAULT", fault).set("VERSION", "2");
        host.place_executable("start.py", script);
        wait_for_event(&mut watcher, "start", "refused");
        assert_eq!(Lines::connect(&host).ask("start.version"), "1", "{fault}");
    }
    assert_eq!(pid(&host, "start"), before);
    host.place_executable("start.py", Script::fixture("start").set("VERSION", "3"));
    host.wait_for_answer("start.version", "3");
    finish(others);
}

#[test]
fn name_of_another_plugin_is_refused() {
    let script = |name: &str| Script::fixture("start").set("NAME", name);
    let host = setup().start();
    host.place_executable("a.py", script("text"));
    let line = host.wait_for_log(": refused a.py (");
    assert!(line.contains("text"), "{line}");
    assert_eq!(Lines::connect(&host).ask("echo served"), "served");
}

#[cfg(target_os = "linux")]
#[test]
fn file_that_is_replaced_while_it_starts() {
    use dropin_tests::{system::child_ids, wait_until};
    let host = setup().start();
    let slow = Script::fixture("start").set("FAULT", "silent");
    for version in ["1", "2", "3"] {
        host.place_executable("start.py", slow.clone().set("VERSION", version));
        wait_until("it starts", LIMIT, || !child_ids(host.pid()).is_empty());
    }
    host.place_executable("start.py", Script::fixture("start").set("VERSION", "5"));
    host.wait_for_answer("start.version", "5");
    assert_eq!(Lines::connect(&host).ask("echo served"), "served");
}
