//! A plugin changes between the host and a process of its own, by a change of the settings and a
//! reload, under load and with its state.

use dropin_tests::{Frame, Host, Lines, Load, Resp};

use super::*;

fn settings(isolate: &str) -> String {
    format!("[plugin.store]\nisolate = {isolate}\n")
}

/// Checks that each sum is larger than the one before.
fn counts_up() -> impl FnMut(&Frame) -> bool + Send + 'static {
    let mut last = 0;
    move |reply| match reply {
        Frame::Integer(sum) => std::mem::replace(&mut last, *sum) < *sum,
        _ => false,
    }
}

#[track_caller]
fn reload(host: &Host, plugin: &str) {
    let said = Lines::connect(host).ask(&format!("plugin reload {plugin}"));
    assert!(said.starts_with(&format!("plugin '{plugin}' serves generation ")), "{said}");
}

#[test]
fn plugin_changes_its_place_under_load() {
    let host = setup().plugins(&["store"]).settings(&settings("false")).start();
    let others = others(&host);
    let load = Load::new()
        .client(&host, &["incr", "sum"], 1, counts_up())
        .client(&host, &["incr", "sum"], 16, counts_up())
        .client(&host, &["incr", "sum"], 100, counts_up());
    for (isolate, expected) in
        [("true", "process"), ("false", "host"), ("true", "process"), ("\"auto\"", "host")]
    {
        load.flow();
        host.replace_settings(&settings(isolate));
        reload(&host, "store");
        assert_eq!(place(&host, "store"), expected);
    }
    load.flow();
    let sum: u64 = load.stop().iter().sum();
    finish(others);
    assert_eq!(Lines::connect(&host).ask("get sum"), sum.to_string());
    assert_eq!(host.figure("store", "errors"), 0);
}

#[test]
fn settings_file_isolates_by_name_or_all() {
    for (toml, expected) in [
        ("isolate = [\"store\"]\n", ["process", "host"]),
        ("isolate = \"all\"\n", ["process", "process"]),
        ("isolate = \"all\"\n[plugin.text]\nisolate = false\n", ["process", "host"]),
    ] {
        let host = setup().plugins(&["store"]).settings(toml).start();
        assert_eq!([place(&host, "store"), place(&host, "text")], expected, "{toml}");
    }
}

#[test]
fn wrong_settings_change_nothing_at_reload() {
    let host = setup().plugins(&["store"]).settings(&settings("false")).start();
    let mut client = Lines::connect(&host);
    assert_eq!(client.ask("incr n"), "1");
    for toml in ["[plugin.store]\nisolate = 5\n", "[plugin.store\n"] {
        host.replace_settings(toml);
        let said = client.ask("plugin reload store");
        assert!(said.starts_with("error: "), "{said}");
        assert_eq!(place(&host, "store"), "host");
    }
    host.replace_settings(&settings("true"));
    reload(&host, "store");
    assert_eq!(place(&host, "store"), "process");
    assert_eq!(client.ask("incr n"), "2");
}

#[test]
fn wrong_settings_are_refused_at_the_start() {
    for (line, word) in [
        ("isolate = \"sometimes\"", "isolate"),
        ("processes = 0", "processes"),
        ("memory = \"much\"", "memory"),
        ("call-timeout = -1", "call-timeout"),
        ("sandbox = \"soft\"", "sandbox"),
        ("colour = \"red\"", "colour"),
    ] {
        let toml = format!("[plugin.store]\n{line}\n");
        let ended = setup().plugins(&["store"]).settings(&toml).run();
        assert_ne!(ended.status, Some(0), "{line}");
        assert!(ended.stderr.contains(word), "{line}: {}", ended.stderr);
    }
}

#[cfg(unix)]
mod after_a_crash {
    use dropin_tests::system::unused_port;

    use super::*;

    /// Starts a host whose plugin ends it, and then another one with the same state directory.
    #[track_caller]
    fn after_crash(toml: &str) -> (Host, tempfile::TempDir) {
        let (port, state) = (unused_port(), tempfile::tempdir().unwrap());
        let start = || {
            let setup = setup().plugins(&["crashes"]).settings(toml).port(port);
            setup.state_dir(&state.path().join("state")).start()
        };
        let mut host = start();
        assert_eq!(place(&host, "crashes"), "host");
        Lines::connect(&host).say("crash.fault");
        host.exit();
        (start(), state)
    }

    #[test]
    fn plugin_that_ended_the_host_is_isolated() {
        let (host, _state) = after_crash("");
        assert_eq!(place(&host, "crashes"), "process");
        assert_eq!(place(&host, "text"), "host");
        let warned = |line: &str| line.contains(" WARN ") && line.contains("crashes");
        let is_told = |line: &str| line.contains("process") || line.contains("isolate");
        assert!(host.log().lines().any(|line| warned(line) && is_told(line)), "{}", host.log());
        let mut client = Resp::connect(&host);
        assert_eq!(client.ask(&["crash.fault"]), crashed("crashes", "signal 11", "crash.fault"));
        assert_eq!(client.ask(&["echo", "fine"]), "fine".into());
    }

    #[test]
    fn enabled_plugin_returns_into_the_host() {
        let (host, _state) = after_crash("");
        assert_eq!(place(&host, "crashes"), "process");
        let said = Lines::connect(&host).ask("plugin enable crashes");
        assert!(!said.starts_with("error: "), "{said}");
        reload(&host, "crashes");
        assert_eq!(place(&host, "crashes"), "host");
        assert_eq!(Lines::connect(&host).ask("crash.echo fine"), "fine");
    }

    #[test]
    fn isolation_can_be_ruled_out() {
        let (host, _state) = after_crash("[plugin.crashes]\nisolate = false\n");
        assert_eq!(place(&host, "crashes"), "host");
    }
}
