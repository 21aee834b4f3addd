//! Facts about worker processes in `plugin info`, and the traces that their ends leave.

use dropin_tests::{Frame, Host, LIMIT, Lines, Resp, executable::Script, wait_until};

use super::*;

/// Returns a text of `plugin info`.
#[track_caller]
fn fact(host: &Host, plugin: &str, key: &str) -> String {
    host.info(plugin).get(key).unwrap_or_else(|| panic!("no {key}")).as_str().to_owned()
}

#[test]
fn info_tells_of_process_and_its_end() {
    let setup = isolated_setup(&["crashes"]).executable("faulty", Script::fixture("faulty"));
    let host = setup.start();
    assert_eq!(place(&host, "text"), "host");
    for (plugin, words, cause) in [
        ("crashes", &["crash.fault"][..], "signal 11 in 'crash.fault'"),
        ("faulty", &["faulty.exit", "3"], "exit status 3 in 'faulty.exit'"),
    ] {
        assert_eq!(place(&host, plugin), "process");
        let before = pid(&host, plugin);
        assert!((0..60).contains(&host.figure(plugin, "uptime-seconds")));
        assert!(host.figure(plugin, "memory-bytes") > 0);
        assert_eq!(host.figure(plugin, "restarts"), 0);
        assert_eq!(host.info(plugin).get("last-exit"), Some(&Frame::Null));
        assert!(matches!(host.info(plugin).get("limits"), Some(Frame::Text(_) | Frame::Null)));
        assert_error(&Resp::connect(&host).ask(words), "CRASHED ");
        wait_until("it is started again", LIMIT, || host.figure(plugin, "restarts") == 1);
        assert_ne!(pid(&host, plugin), before);
        let last = fact(&host, plugin, "last-exit");
        assert!(last.contains(cause) && last.contains(" s ago"), "{last}");
    }
}

#[test]
fn info_names_the_limits_in_force() {
    let toml = "[plugin.crashes]\nisolate = true\nmemory = \"256M\"\nopen-files = 100\n";
    let host = setup().plugins(&["crashes"]).settings(toml).start();
    let limits = fact(&host, "crashes", "limits");
    for name in ["memory", "100"] {
        assert!(limits.contains(name), "{limits}");
    }
}

#[test]
fn info_counts_calls_over_restarts() {
    let host = isolated(&["crashes"]);
    let mut client = Resp::connect(&host);
    (0..3).for_each(|_| assert_eq!(client.ask(&["crash.echo", "x"]), "x".into()));
    assert_error(&client.ask(&["crash.fault"]), "CRASHED ");
    wait_until_served(&host, &["crash.echo", "x"], &"x".into());
    assert!(host.figure("crashes", "calls") >= 5);
    assert!(host.figure("crashes", "errors") >= 1);
    assert_eq!(host.figure("crashes", "generation"), 1);
}

#[test]
fn events_name_cause_and_command() {
    let host = isolated(&["crashes"]);
    let mut watcher = watcher(&host);
    assert_error(&Resp::connect(&host).ask(&["crash.exit", "9"]), "CRASHED ");
    let (kind, detail) = next_event(&mut watcher, "crashes");
    assert_eq!(kind, "crashed");
    assert!(detail.contains("exit status 9 in 'crash.exit'"), "{detail}");
    assert_eq!(next_event(&mut watcher, "crashes").0, "restarted");
    let line = host.wait_for_log("exit status 9 in 'crash.exit'");
    assert!(line.contains("plugin crashes: "), "{line}");
}

#[cfg(target_os = "linux")]
#[test]
fn crashes_leave_nothing_in_the_host() {
    use dropin_tests::system::{child_ids, open_files, threads};
    let setup = isolated_setup(&["crashes"]).executable("faulty", Script::fixture("faulty"));
    let host = setup.start();
    let mut client = Resp::connect(&host);
    let mut crash = |words: &[&str]| {
        assert_error(&client.ask(words), "CRASHED ");
        wait_until_served(&host, &["crash.echo", "again"], &"again".into());
        wait_until_served(&host, &["faulty.echo", "again"], &"again".into());
    };
    crash(&["crash.fault"]);
    crash(&["faulty.exit", "1"]);
    wait_until("the sessions have ended", LIMIT, || {
        Lines::connect(&host).ask_all("client list").len() == 2
    });
    let count = || (open_files(host.pid()), threads(host.pid()).len(), child_ids(host.pid()).len());
    let before = count();
    for _ in 0..3 {
        crash(&["crash.abort"]);
        crash(&["faulty.signal", "9"]);
    }
    wait_until("nothing is left of the crashes", LIMIT, || {
        let now = count();
        now.0 <= before.0 && now.1 <= before.1 && now.2 <= before.2
    });
}
