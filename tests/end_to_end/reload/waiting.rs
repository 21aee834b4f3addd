//! Calls and probes that take long: only the change that they block waits for them.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use dropin_tests::{
    Frame, Host, LIMIT, Lines, Setup, built::library_name, files, reload::marked, wait_until,
};

use super::{replace, with_version};

/// The time after which a waiting change is reported. The plugin has the same time to save and to
/// restore its state, and on a loaded machine it needs more than usual.
const TOLD: [&str; 2] = ["--handover-timeout", "3"];

const CALLED_OFF: &str = "plugin 'keeper' keeps serving, its disabling is cancelled";

/// Returns a host with a keeper that keeps "pearls", and a session whose call ends when `gate`
/// exists.
fn held(flags: &[&str]) -> (Host, Lines, PathBuf) {
    let setup = Setup::new().flags(&["--probe-timeout", "60"]).flags(flags);
    let host = with_version(setup, "keeper", "1").start();
    host.wait_for_answer("keep pearls", "OK");
    let gate = host.state_dir().join("gate");
    let mut holder = Lines::connect(&host);
    holder.say(&format!("keeper.hold '{}'", gate.display()));
    host.wait_for_log("keeper: keeper 1 holds");
    (host, holder, gate)
}

fn waiting(host: &Host) -> Option<String> {
    match host.info("keeper").get("waiting") {
        Some(Frame::Text(text)) => Some(String::from_utf8_lossy(text).into_owned()),
        _ => None,
    }
}

#[test]
fn replacement_waits_with_callers_served() {
    let (host, mut holder, gate) = held(&["--handover-timeout", "600"]);
    replace(&host, "keeper", "2");
    wait_until("the replacement waits", LIMIT, || waiting(&host).is_some());
    let what = waiting(&host).unwrap();
    assert!(what.contains(" has waited ") && what.contains(" for 'keeper.hold' of session "));
    let mut client = Lines::connect(&host);
    (0..100).for_each(|_| assert_eq!(client.ask("keeper.version"), "1"));
    // Other plugins are replaced meanwhile.
    host.process_changes("text", 1);
    assert_eq!(client.ask("keep shells"), "OK");
    assert_eq!(host.logged(" ERROR "), None);
    assert_eq!(host.logged(" force` does not wait"), None, "it has not waited for long");
    fs::write(&gate, "").unwrap();
    assert_eq!(holder.line(), "1");
    host.wait_for_answer("keeper.version", "2");
    assert_eq!(client.ask("kept"), "shells");
    assert_eq!(waiting(&host), None);
}

#[test]
fn waiting_reload_names_call_and_happens_later() {
    let (host, mut holder, gate) = held(&TOLD);
    let mut client = Lines::connect(&host);
    let said = client.ask("plugin reload keeper");
    let start = format!("error: plugin 'keeper': version {} of ", env!("CARGO_PKG_VERSION"));
    assert!(said.starts_with(&start), "{said}");
    assert!(said.contains(" for 'keeper.hold' of session "), "{said}");
    let line = host.wait_for_log("`plugin reload keeper force` does not wait");
    assert!(line.contains(" WARN "), "{line}");
    fs::write(&gate, "").unwrap();
    assert_eq!(holder.line(), "1");
    host.wait_for_log("plugin keeper: generation 2 swapped, ");
    assert_eq!(client.ask("kept"), "pearls");
    assert_eq!(host.log().matches(" force` does not wait").count(), 1, "it is logged once");
}

#[test]
fn forced_reload_swaps_beside_running_call() {
    let (host, mut holder, gate) = held(&["--handover-timeout", "600"]);
    replace(&host, "keeper", "2");
    wait_until("the replacement waits", LIMIT, || waiting(&host).is_some());
    let mut client = Lines::connect(&host);
    let probes = host.log().matches(": probe started").count();
    let said = client.ask("plugin reload keeper force");
    assert_eq!(said, "plugin 'keeper' serves generation 2");
    assert_eq!(host.log().matches(": probe started").count(), probes, "it waits, probed");
    assert_eq!(client.ask("keeper.version"), "2");
    assert_eq!(client.ask("kept"), "pearls");
    assert_eq!(host.figure("keeper", "draining"), 1);
    assert_eq!(waiting(&host), None);
    fs::write(&gate, "").unwrap();
    assert_eq!(holder.line(), "1", "the call ends in the code that it began in");
    host.wait_for_log("plugin keeper: generation 1 unloaded, ");
}

#[test]
fn forced_disable_keeps_state_beside_running_call() {
    let (host, _holder, _gate) = held(&TOLD);
    let mut client = Lines::connect(&host);
    let said = client.ask("plugin disable keeper");
    assert!(said.starts_with("error: plugin 'keeper': its disabling has waited "), "{said}");
    assert!(said.contains(" 'plugin disable keeper force' makes it now"), "{said}");
    assert_eq!(client.ask("kept"), "pearls");
    // The opposite request cancels it.
    assert_eq!(client.ask("plugin enable keeper"), CALLED_OFF);
    assert_eq!(waiting(&host), None);
    assert_eq!(client.ask("plugin disable keeper force"), "plugin 'keeper' is disabled");
    assert_eq!(client.ask("plugin enable keeper"), "plugin 'keeper' serves generation 2");
    assert_eq!(client.ask("kept"), "pearls");
}

#[test]
fn forced_request_answers_all_waiting_callers() {
    let (host, _holder, _gate) = held(&["--handover-timeout", "600"]);
    let (mut first, mut second) = (Lines::connect(&host), Lines::connect(&host));
    first.say("plugin disable keeper");
    wait_until("the disabling waits", LIMIT, || waiting(&host).is_some());
    assert_eq!(second.ask("plugin disable keeper force"), "plugin 'keeper' is disabled");
    assert_eq!(first.line(), "plugin 'keeper' is disabled");
}

#[test]
fn forced_rollback_answers_all_waiting_callers() {
    let setup = Setup::new().flags(&["--probe-timeout", "60", "--handover-timeout", "600"]);
    let host = with_version(setup, "keeper", "1").start();
    replace(&host, "keeper", "2");
    host.wait_for_answer("keeper.version", "2");
    Lines::connect(&host).say("keeper.hold /never/there");
    host.wait_for_log("keeper: keeper 2 holds");
    let (mut first, mut second) = (Lines::connect(&host), Lines::connect(&host));
    first.say("plugin rollback keeper");
    wait_until("the rollback waits", LIMIT, || waiting(&host).is_some());
    let said = "plugin 'keeper' serves generation 3, the code before";
    assert_eq!(second.ask("plugin rollback keeper force"), said);
    assert_eq!(first.line(), said);
}

#[test]
fn forced_reload_waits_for_calls_within_the_pause() {
    let (host, mut holder, gate) = held(&["--handover-pause", "60"]);
    let (mut operator, asked) = (Lines::connect(&host), Instant::now());
    operator.say("plugin reload keeper force");
    while asked.elapsed() < Duration::from_millis(600) {
        assert_eq!(host.logged("plugin keeper: generation 2 swapped, "), None);
    }
    fs::write(&gate, "").unwrap();
    assert_eq!(holder.line(), "1");
    assert_eq!(operator.line(), "plugin 'keeper' serves generation 2");
}

#[test]
fn enabling_calls_off_no_other_plugins_disabling() {
    let (host, _holder, _gate) = held(&["--handover-timeout", "0.1"]);
    let mut client = Lines::connect(&host);
    assert!(client.ask("plugin disable keeper").contains(": its disabling has waited "));
    assert_eq!(client.ask("plugin enable text"), "plugin 'text' is serving already");
    assert!(waiting(&host).is_some_and(|what| what.starts_with("its disabling ")));
    // It cancels no other change.
    assert_eq!(client.ask("plugin enable keeper"), CALLED_OFF);
    replace(&host, "keeper", "2");
    wait_until("the replacement waits", LIMIT, || waiting(&host).is_some());
    assert_eq!(client.ask("plugin enable keeper"), "plugin 'keeper' is serving already");
    assert!(waiting(&host).is_some_and(|what| what.starts_with("version ")));
}

#[test]
fn removed_file_waits_and_may_return() {
    let (host, mut holder, gate) = held(&TOLD);
    files::remove(host.library("keeper"));
    host.wait_for_log("plugin keeper: its withdrawal has waited ");
    let mut client = Lines::connect(&host);
    assert_eq!(client.ask("kept"), "pearls");
    replace(&host, "keeper", "2");
    wait_until("the replacement waits", LIMIT, || {
        waiting(&host).is_some_and(|what| what.starts_with("version "))
    });
    fs::write(&gate, "").unwrap();
    assert_eq!(holder.line(), "1");
    host.wait_for_answer("keeper.version", "2");
    assert_eq!(client.ask("kept"), "pearls");
    assert_eq!(host.logged("generation 1 withdrawn"), None);
}

/// Ends the held call, and checks that the second version is served with the pearls.
fn is_swapped_when_released(host: &Host, mut holder: Lines, gate: &Path) {
    fs::write(gate, "").unwrap();
    assert_eq!(holder.line(), "1");
    host.wait_for_answer("keeper.version", "2");
    assert_eq!(Lines::connect(host).ask("kept"), "pearls");
    assert_eq!(waiting(host), None);
}

#[cfg(any(target_os = "linux", windows))]
#[test]
fn call_that_begins_while_loading_is_waited_for() {
    let setup = Setup::new().flags(&["--probe-timeout", "60", "--handover-timeout", "600"]);
    let host = with_version(setup, "keeper", "1").start();
    assert_eq!(Lines::connect(&host).ask("keep pearls"), "OK");
    replace(&host, "keeper", "2 create-slow");
    host.wait_until_mapped("keeper", 2);
    let gate = host.state_dir().join("gate");
    let mut holder = Lines::connect(&host);
    holder.say(&format!("keeper.hold '{}'", gate.display()));
    host.wait_for_log("keeper: keeper 1 holds");
    wait_until("the replacement waits", LIMIT, || waiting(&host).is_some());
    is_swapped_when_released(&host, holder, &gate);
}

#[test]
fn renamed_file_waits_and_is_not_withdrawn() {
    let (host, holder, gate) = held(&["--handover-timeout", "600"]);
    let renamed = host.library("renamed");
    fs::write(host.plugins_folder().join("beside"), marked("keeper", "2")).unwrap();
    files::rename(host.plugins_folder().join("beside"), &renamed);
    files::remove(host.library("keeper"));
    wait_until("the replacement waits", LIMIT, || waiting(&host).is_some());
    // A removed file counts as gone after 0.2 s.
    let (started, mut client) = (Instant::now(), Lines::connect(&host));
    while started.elapsed() < Duration::from_millis(600) {
        assert_eq!(client.ask("kept"), "pearls");
    }
    assert!(waiting(&host).is_some_and(|what| what.contains(&library_name("renamed"))));
    is_swapped_when_released(&host, holder, &gate);
    assert_eq!(host.logged("withdrawn"), None);
}

/// Under Wine the removed file's version keeps serving while the rejected file is retried.
#[cfg(unix)]
#[test]
fn renamed_file_that_is_refused_leaves_nothing_served() {
    let (host, mut holder, gate) = held(&["--handover-timeout", "600"]);
    host.place("renamed", &marked("keeper", "2 restore-fails"));
    files::remove(host.library("keeper"));
    wait_until("the replacement waits", LIMIT, || waiting(&host).is_some());
    // A removed file counts as gone after 0.2 s.
    let started = Instant::now();
    wait_until("that has passed", LIMIT, || started.elapsed() > Duration::from_millis(600));
    fs::write(&gate, "").unwrap();
    assert_eq!(holder.line(), "1");
    host.wait_for_log("restore has no ink");
    host.wait_for_log("plugin keeper: generation 1 withdrawn, ");
}

#[test]
fn replacement_outlives_disabling_called_off() {
    let (host, holder, gate) = held(&TOLD);
    replace(&host, "keeper", "2");
    wait_until("the replacement waits", LIMIT, || waiting(&host).is_some());
    let mut client = Lines::connect(&host);
    assert!(client.ask("plugin disable keeper").contains(": its disabling has waited "));
    assert_eq!(client.ask("plugin enable keeper"), CALLED_OFF);
    is_swapped_when_released(&host, holder, &gate);
}

#[test]
fn waiting_disable_outlives_new_file() {
    let (host, mut holder, gate) = held(&TOLD);
    let mut client = Lines::connect(&host);
    assert!(client.ask("plugin disable keeper").contains(": its disabling has waited "));
    replace(&host, "keeper", "2");
    host.process_changes("text", 1);
    let said = client.ask("plugin reload keeper");
    assert_eq!(said, "error: plugin 'keeper' is about to be disabled; enable it first");
    fs::write(&gate, "").unwrap();
    assert_eq!(holder.line(), "1");
    wait_until("it is disabled", LIMIT, || {
        host.info("keeper").get("status") == Some(&"disabled".into())
    });
    assert!(client.ask("plugin enable keeper").starts_with("plugin 'keeper' serves generation "));
    assert_eq!(client.ask("keeper.version"), "2");
    assert_eq!(client.ask("kept"), "pearls");
}

#[cfg(unix)]
#[test]
fn waiting_replacement_outlives_bad_rights() {
    use std::os::unix::fs::PermissionsExt;
    let (host, holder, gate) = held(&["--handover-timeout", "600"]);
    replace(&host, "keeper", "2");
    wait_until("the replacement waits", LIMIT, || waiting(&host).is_some());
    let file = host.library("keeper");
    let set = |mode| fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
    set(0o775);
    host.wait_for_log("plugin keeper: refused ");
    set(0o755);
    wait_until("the replacement waits again", LIMIT, || waiting(&host).is_some());
    is_swapped_when_released(&host, holder, &gate);
}

#[test]
fn hanging_probe_delays_no_other_plugin() {
    let setup = Setup::new().flags(&["--probe-timeout", "600"]);
    let mut host = with_version(setup, "chameleon", "1").start();
    for name in ["first", "second", "third"] {
        host.place(name, &marked("keeper", "1 create-hangs"));
    }
    #[cfg(target_os = "linux")]
    wait_until("three probes run at once", LIMIT, || {
        dropin_tests::system::children(host.pid()) == 3
    });
    replace(&host, "chameleon", "2");
    host.wait_for_answer("colour", "2");
    // A change that has been superseded is not waited for.
    host.place("first", &marked("keeper", "1"));
    host.wait_for_answer("keeper.version", "1");
    assert_eq!(host.ks(), Some(0));
}
