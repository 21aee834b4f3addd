//! A library in a worker process is replaced, rolled back, disabled and configured, as one in the
//! host is.

use dropin_tests::{
    Frame, LIMIT, Lines, Load, Resp, files,
    reload::{place as place_file, stripped},
    system::unused_port,
    wait_until,
};

use super::*;

const RELOADS: usize = 10;

/// Checks that each sum is larger than the one before.
fn counts_up() -> impl FnMut(&Frame) -> bool + Send + 'static {
    let mut last = 0;
    move |reply| match reply {
        Frame::Integer(sum) => std::mem::replace(&mut last, *sum) < *sum,
        _ => false,
    }
}

#[test]
fn replacing_under_load_fails_and_loses_nothing() {
    let host = isolated(&["store"]);
    let others = others(&host);
    let load = Load::new()
        .client(&host, &["incr", "sum"], 1, counts_up())
        .client(&host, &["incr", "sum"], 1, counts_up())
        .client(&host, &["incr", "sum"], 16, counts_up())
        .client(&host, &["incr", "sum"], 100, counts_up());
    for number in 1..=RELOADS {
        replace_by_variant(&host, "store", number);
        load.flow();
    }
    let sum: u64 = load.stop().iter().sum();
    finish(others);
    assert_eq!(Lines::connect(&host).ask("get sum"), sum.to_string());
    assert_eq!(host.figure("store", "errors"), 0);
    assert_eq!(host.figure("store", "restarts"), 0);
}

/// The process comes back while the change waits for its turn: it must neither be taken for one
/// that has lost its memory, nor be asked for a state that it streams.
#[cfg(unix)]
#[test]
fn replacement_during_a_restart_keeps_the_state() {
    const KEYS: usize = 1000;
    /// So many that the replacement has to wait while they are replayed.
    const RECORDS: usize = 100;
    let host = isolated(&["store"]);
    let mut client = Resp::connect(&host);
    for number in 1..=3 {
        let pairs = (0..KEYS).flat_map(|key| [format!("key-{key}"), number.to_string()]);
        let words: Vec<_> = std::iter::once("mset".to_owned()).chain(pairs).collect();
        let batch = encode(&words).repeat(RECORDS / 10);
        for _ in 0..10 {
            client.send(&batch);
            (0..RECORDS / 10).for_each(|_| assert_eq!(client.frame(), Frame::ok()));
        }
        dropin_tests::system::kill(pid(&host, "store"));
        host.place("store", &variant("store", number));
        host.wait_for_swaps("store", number);
        let ask = |line: &str| Lines::connect(&host).ask(line);
        wait_until("the store serves", LIMIT, || !ask("dbsize").contains("UNAVAILABLE"));
        assert_eq!((ask("dbsize"), ask("get key-7")), (KEYS.to_string(), number.to_string()));
    }
}

#[test]
fn call_finishes_on_code_it_started_on() {
    let host = isolated_with("chameleon", "1");
    let gate = host.state_dir().join("gate");
    let mut client = Lines::connect(&host);
    client.say(&format!("colour.hold '{}'", gate.display()));
    host.wait_for_log("chameleon: colour 1 holds");
    let before = pid(&host, "chameleon");
    replace(&host, "chameleon", "2");
    host.wait_for_answer("colour", "2");
    assert_eq!(host.figure("chameleon", "draining"), 1);
    assert_ne!(pid(&host, "chameleon"), before);
    std::fs::write(&gate, "").unwrap();
    assert_eq!(client.line(), "1");
    assert_eq!(client.ask("colour"), "2");
    host.wait_for_log("plugin chameleon: generation 1 unloaded, ");
}

#[test]
fn rollback_disable_and_enable_keep_the_state() {
    let host = isolated_with("keeper", "1");
    let mut client = Lines::connect(&host);
    assert_eq!(client.ask("keep pearls"), "OK");
    replace(&host, "keeper", "2");
    host.wait_for_answer("keeper.version", "2");
    for (generation, version) in [(3, "1"), (4, "2")] {
        let said = format!("plugin 'keeper' serves generation {generation}, the code before");
        assert_eq!(client.ask("plugin rollback keeper"), said);
        assert_eq!(client.ask("keeper.version"), version);
        assert_eq!(client.ask("kept"), "pearls");
    }
    assert_eq!(client.ask("plugin disable keeper"), "plugin 'keeper' is disabled");
    assert!(client.ask("kept").starts_with("error: unknown command 'kept'"));
    assert!(client.ask("plugin enable keeper").starts_with("plugin 'keeper' serves generation "));
    assert_eq!(client.ask("kept"), "pearls");
    assert!(client.ask("plugin reload keeper").starts_with("plugin 'keeper' serves generation "));
    assert_eq!(client.ask("kept"), "pearls");
    assert_eq!(place(&host, "keeper"), "process");
}

#[test]
fn removed_plugin_has_its_state_on_return() {
    let host = isolated_with("keeper", "1");
    assert_eq!(Lines::connect(&host).ask("keep pearls"), "OK");
    files::remove(host.library("keeper"));
    host.wait_until_unknown("kept");
    assert_eq!(host.figure("keeper", "state-bytes"), 6);
    replace(&host, "keeper", "2");
    host.wait_for_answer("kept", "pearls");
}

#[test]
fn state_survives_a_restart_of_the_host() {
    let (port, state) = (unused_port(), tempfile::tempdir().unwrap());
    let start = || {
        let setup = isolated_setup(&["store"]).port(port);
        setup.state_dir(&state.path().join("state")).start()
    };
    let mut host = start();
    assert_eq!(Lines::connect(&host).ask("incr n"), "1");
    assert_eq!(host.ks(), Some(0));
    assert_eq!(Lines::connect(&start()).ask("incr n"), "2");
}

#[test]
fn failed_handover_keeps_old_version_and_state() {
    let host = isolated_with("keeper", "1");
    let (mut client, mut watcher) = (Lines::connect(&host), watcher(&host));
    assert_eq!(client.ask("keep pearls"), "OK");
    for mark in ["2 create-fails", "2 create-panics", "2 restore-fails", "2 restore-panics"] {
        replace(&host, "keeper", mark);
        wait_for_event(&mut watcher, "keeper", "refused");
        assert_eq!(client.ask("keeper.version"), "1", "{mark}");
        assert_eq!(client.ask("kept"), "pearls", "{mark}");
    }
    replace(&host, "keeper", "2");
    host.wait_for_answer("keeper.version", "2");
    assert_eq!(client.ask("kept"), "pearls");
}

#[test]
fn hanging_version_is_refused_in_time() {
    let library = marked("keeper", "1");
    let flags = ["--isolate", "keeper", "--probe-timeout", "6", "--handover-timeout", "6"];
    let name = built::library_name("keeper");
    let host = Setup::new().plugins(&["text"]).flags(&flags).file(&name, &library).start();
    host.wait_for_answer("echo beside", "beside");
    host.wait_for_answer("keep pearls", "OK");
    let (mut watcher, others) = (watcher(&host), others(&host));
    for mark in ["2 create-hangs", "2 restore-hangs"] {
        replace(&host, "keeper", mark);
        wait_for_event(&mut watcher, "keeper", "refused");
        assert_eq!(Lines::connect(&host).ask("kept"), "pearls", "{mark}");
    }
    finish(others);
}

#[test]
fn broken_library_changes_nothing() {
    let host = isolated_with("chameleon", "1");
    let mut watcher = watcher(&host);
    for bytes in [b"no library at all".to_vec(), Vec::new(), stripped("create-fails")] {
        host.place("chameleon", &bytes);
        wait_for_event(&mut watcher, "chameleon", "refused");
        assert_eq!(Lines::connect(&host).ask("colour"), "1");
    }
}

#[test]
fn configuration_is_applied_and_bad_one_refused() {
    let (name, library) = (built::library_name("setting"), marked("setting", "1"));
    let setup = setup().flags(&["--isolate", "setting"]).file(&name, &library);
    let host = setup.file("setting.toml", b"word = 'one'").start();
    let mut client = Lines::connect(&host);
    assert_eq!(client.ask("setting"), "one");
    let put = |text: &str| place_file(&host.plugins_folder(), "setting.toml", text.as_bytes());
    put("word = 'two'");
    host.wait_for_answer("setting", "two");
    for (text, why) in [
        ("\nword = 5", "line 2, column 8: invalid type: integer `5`, expected a string, in `word`"),
        ("wort = 'two'", "line 1, column 1: unknown field `wort`"),
        ("wrong = 'fails'", "the word is out of order"),
        ("wrong = 'panics'", "'configure' panicked: a word too many"),
    ] {
        put(text);
        let line = host.wait_for_log(why);
        assert!(line.ends_with("; the old values stay in force"), "{line}");
        assert_eq!(client.ask("setting"), "two");
    }
    put("word = 'three'");
    host.wait_for_answer("setting", "three");
    assert_eq!(client.ask("setting.steps"), "create configure configure configure");
    assert!(client.ask("plugin reload setting").starts_with("plugin 'setting' serves"));
    assert_eq!(client.ask("setting.steps"), "create configure restore");
}

#[test]
fn restarted_process_is_configured_again() {
    let setup = isolated_setup(&["setting"]).file("setting.toml", b"word = 'one'");
    let host = setup.start();
    let said = Lines::connect(&host).ask("plugin restart setting");
    assert!(!said.starts_with("error: "), "{said}");
    wait_until("it is configured", LIMIT, || {
        Resp::connect(&host).ask(&["setting"]) == "one".into()
    });
}
