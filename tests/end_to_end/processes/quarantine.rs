//! A plugin whose process ends again and again: its restarts are delayed, then it is quarantined, and
//! it heals.

use dropin_tests::{
    Frame, Host, LIMIT, Lines, Resp, executable::Script, reload::variant, wait_until,
};

use super::*;

/// The number of ends within a minute after which a plugin is quarantined.
const ENDS: usize = 5;

/// Crashes a plugin by this command until it is quarantined, and returns the error of its commands.
#[track_caller]
fn quarantine(host: &Host, words: &[&str]) -> String {
    let mut client = Resp::connect3(host);
    let (mut ends, mut last) = (0, String::new());
    wait_until("the plugin is quarantined", LIMIT, || {
        last = client.ask(words).as_str().to_owned();
        if last.starts_with("CRASHED ") {
            ends += 1;
        } else {
            assert!(last.starts_with("UNAVAILABLE plugin '"), "{last}");
        }
        last.contains("' is quarantined: ")
    });
    assert_eq!(ends, ENDS);
    last
}

/// Checks the error of a quarantined plugin's commands.
#[track_caller]
fn assert_quarantined(error: &str, plugin: &str, cause: &str) {
    let start = format!(
        "UNAVAILABLE plugin '{plugin}' is quarantined: it ended 5 times in 60 s, the last time by \
         {cause}; the next trial is in "
    );
    let rest = error.strip_prefix(&start).unwrap_or_else(|| panic!("{error}"));
    let end = format!(" s, 'plugin restart {plugin}' starts one now");
    let seconds = rest.strip_suffix(&end).unwrap_or_else(|| panic!("{error}"));
    let seconds: f64 = seconds.parse().unwrap();
    assert!((0.0..=30.0).contains(&seconds), "{error}");
}

#[test]
fn fifth_crash_quarantines_and_restart_heals() {
    let host = isolated(&["crashes"]);
    let (mut watcher, others) = (watcher(&host), others(&host));
    let error = quarantine(&host, &["crash.fault"]);
    assert_quarantined(&error, "crashes", "signal 11 in 'crash.fault'");
    // The other commands of the plugin have the same error.
    let error = Lines::connect(&host).ask("crash.echo x");
    assert_quarantined(
        error.strip_prefix("error: ").unwrap(),
        "crashes",
        "signal 11 in 'crash.fault'",
    );
    let restarted = Resp::connect(&host).ask(&["plugin", "restart", "crashes"]);
    assert!(!matches!(restarted, Frame::Error(_)), "{restarted:?}");
    wait_until_served(&host, &["crash.echo", "again"], &"again".into());
    let mut kinds = Vec::new();
    while kinds.last().is_none_or(|kind| kind != "healed") {
        kinds.push(next_event(&mut watcher, "crashes").0);
    }
    let at = |name: &str| kinds.iter().position(|kind| kind == name);
    let count = |name: &str| kinds.iter().filter(|kind| *kind == name).count();
    assert_eq!((count("crashed"), count("quarantined")), (ENDS, 1), "{kinds:?}");
    assert!(count("restarted") >= ENDS - 1, "{kinds:?}");
    assert!(at("crashed") < at("restarted") && at("restarted") < at("quarantined"), "{kinds:?}");
    for kind in ["crashed", "restarted", "quarantined", "healed"] {
        host.wait_for_log(&format!("plugin crashes: generation 1 {kind}"));
    }
    finish(others);
}

#[test]
fn new_file_ends_a_quarantine() {
    let host = isolated(&["crashes"]);
    quarantine(&host, &["crash.abort"]);
    host.place("crashes", &variant("crashes", 1));
    let mut client = Lines::connect(&host);
    wait_until("the new file serves", LIMIT, || client.ask("crash.echo again") == "again");
}

#[test]
fn executable_is_quarantined_and_heals_alike() {
    let host = setup().executable("faulty", Script::fixture("faulty")).start();
    let (mut watcher, others) = (watcher(&host), others(&host));
    let error = quarantine(&host, &["faulty.exit", "3"]);
    assert_quarantined(&error, "faulty", "exit status 3 in 'faulty.exit'");
    wait_for_event(&mut watcher, "faulty", "quarantined");
    host.place_executable("faulty", Script::fixture("faulty").set("VERSION", "2"));
    let mut client = Lines::connect(&host);
    wait_until("the new file serves", LIMIT, || client.ask("faulty.version") == "2");
    finish(others);
}

#[test]
fn worker_that_never_stays_is_quarantined() {
    let script = Script::fixture("start").set("FAULT", "exits after handshake");
    let host = setup().executable("start", script).start();
    let others = others(&host);
    let mut client = Lines::connect(&host);
    let mut last = String::new();
    // The host may also refuse it at once.
    wait_until("it is quarantined or refused", LIMIT, || {
        last = client.ask("start.version");
        last.contains("' is quarantined: ") || host.logged(": refused start (").is_some()
    });
    finish(others);
    let starts = host.log().matches("restarted").count();
    assert!(starts <= ENDS, "{starts} starts");
}

#[test]
fn delayed_restart_tells_its_time() {
    let host = isolated(&["crashes"]);
    let mut client = Resp::connect(&host);
    let mut told = Vec::new();
    // The first restart comes at once, and the second one after a delay.
    for _ in 0..ENDS - 1 {
        let crashed = client.ask(&["crash.fault"]);
        assert_error(&crashed, "CRASHED plugin 'crashes': signal 11 ");
        if let Frame::Error(text) = client.ask(&["crash.echo", "x"]) {
            told.push(text);
        }
        wait_until_served(&host, &["crash.echo", "again"], &"again".into());
    }
    let start = "UNAVAILABLE plugin 'crashes' starts again in ";
    let delayed = told.iter().filter(|text| text.starts_with(start)).collect::<Vec<_>>();
    assert!(!delayed.is_empty(), "{told:?}");
    for text in delayed {
        let rest = text[start.len()..].strip_suffix(" s: signal 11 in 'crash.fault'");
        let seconds: f64 = rest.unwrap_or_else(|| panic!("{text}")).parse().unwrap();
        assert!((0.0..=1.0).contains(&seconds), "{text}");
    }
}

#[test]
fn restart_is_for_plugins_in_processes() {
    let host = isolated(&["crashes"]);
    let mut client = Lines::connect(&host);
    let said = client.ask("plugin restart nobody");
    assert_eq!(said, "error: there is no plugin 'nobody'");
    let said = client.ask("plugin restart text");
    assert!(said.starts_with("error: "), "{said}");
    // It also restarts a process that works.
    let before = pid(&host, "crashes");
    let said = client.ask("plugin restart crashes");
    assert!(!said.starts_with("error: "), "{said}");
    wait_until_served(&host, &["crash.echo", "again"], &"again".into());
    assert_ne!(pid(&host, "crashes"), before);
}
