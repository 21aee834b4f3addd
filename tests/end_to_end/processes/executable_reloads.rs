//! Executables that are changed while the host serves: the next call runs the new file, with the
//! state of the old one.

use dropin_tests::{
    Frame, Host, LIMIT, Lines, Load, Resp, Setup, executable::Script, files, wait_until,
};

use super::*;

fn version(number: usize) -> Script {
    Script::fixture("sound").set("VERSION", number.to_string())
}

#[track_caller]
fn sound() -> Host {
    setup().executable("sound.py", version(1)).start()
}

/// Checks that each count is larger than the one before.
fn counts_up() -> impl FnMut(&Frame) -> bool + Send + 'static {
    let mut last = 0;
    move |reply| match reply {
        Frame::Integer(sum) => std::mem::replace(&mut last, *sum) < *sum,
        _ => false,
    }
}

#[test]
fn replacing_under_load_fails_and_loses_nothing() {
    let host = sound();
    let others = others(&host);
    let load = Load::new().client(&host, &["sound.count"], 1, counts_up()).client(
        &host,
        &["sound.count"],
        16,
        counts_up(),
    );
    for number in 2..6 {
        host.place_executable("sound.py", version(number));
        host.wait_for_answer("sound.version", &number.to_string());
        load.flow();
    }
    let sum: u64 = load.stop().iter().sum();
    finish(others);
    let next = i64::try_from(sum).unwrap() + 1;
    assert_eq!(Resp::connect(&host).ask(&["sound.count"]), next.into());
    assert_eq!(host.figure("sound", "errors"), 0);
}

#[test]
fn file_that_is_saved_in_place_is_served() {
    let host = sound();
    assert_eq!(Lines::connect(&host).ask("sound.count"), "1");
    files::write(host.executable("sound.py"), version(2));
    host.wait_for_answer("sound.version", "2");
    assert_eq!(Lines::connect(&host).ask("sound.count"), "2");
}

#[test]
fn call_finishes_on_code_it_started_on() {
    // One with state is replaced only when no call runs.
    let stateless = |number| version(number).set("FEATURES", Vec::<&str>::new());
    let host = setup().executable("sound.py", stateless(1)).start();
    let gate = host.state_dir().join("gate");
    let (mut client, before) = (Lines::connect(&host), pid(&host, "sound"));
    client.say(&format!("sound.hold '{}'", gate.display()));
    host.wait_for_log("sound: holding 1");
    host.place_executable("sound.py", stateless(2));
    host.wait_for_answer("sound.version", "2");
    assert_eq!(host.figure("sound", "draining"), 1);
    assert_ne!(pid(&host, "sound"), before);
    std::fs::write(&gate, "").unwrap();
    assert_eq!(client.line(), "1");
    assert_eq!(client.ask("sound.version"), "2");
}

#[test]
fn operator_commands_work_as_for_libraries() {
    let host = sound();
    let mut client = Lines::connect(&host);
    assert_eq!(client.ask("sound.count"), "1");
    host.place_executable("sound.py", version(2));
    host.wait_for_answer("sound.version", "2");
    let rolled_back = client.ask("plugin rollback sound");
    assert_eq!(rolled_back, "plugin 'sound' serves generation 3, the code before");
    assert_eq!(client.ask("sound.version"), "1");
    assert_eq!(client.ask("plugin disable sound"), "plugin 'sound' is disabled");
    assert!(client.ask("sound.version").starts_with("error: unknown command"));
    assert_eq!(client.ask("plugin enable sound"), "plugin 'sound' serves generation 4");
    assert_eq!(client.ask("plugin reload sound"), "plugin 'sound' serves generation 5");
    assert_eq!(client.ask("sound.count"), "2");
    files::remove(host.executable("sound.py"));
    host.wait_until_unknown("sound.version");
    host.place_executable("sound.py", version(3));
    host.wait_for_answer("sound.count", "3");
}

#[test]
fn failed_handover_keeps_the_old_version() {
    let host = setup().executable("faulty.py", Script::fixture("faulty")).start();
    let (mut watcher, mut client) = (watcher(&host), Resp::connect(&host));
    assert_eq!(client.ask(&["faulty.count"]), 1.into());
    for fault in ["exits", "fails"] {
        let script = Script::fixture("faulty").set("RESTORE", fault).set("VERSION", "2");
        host.place_executable("faulty.py", script);
        wait_for_event(&mut watcher, "faulty", "refused");
        assert_eq!(client.ask(&["faulty.version"]), "1".into(), "{fault}");
    }
    assert_eq!(client.ask(&["faulty.count"]), 2.into(), "it has kept its state");
    host.place_executable("faulty.py", Script::fixture("faulty").set("VERSION", "3"));
    wait_until("the next version serves", LIMIT, || client.ask(&["faulty.version"]) == "3".into());
    assert_eq!(client.ask(&["faulty.count"]), 3.into());
}

#[test]
fn worker_that_cannot_save_is_not_replaced() {
    for fault in ["fails", "rubbish", "exits"] {
        let script = Script::fixture("faulty").set("SAVE", fault);
        let host = setup().executable("faulty.py", script).start();
        host.wait_for_answer("faulty.count", "1");
        let others = others(&host);
        let reply = Lines::connect(&host).ask("plugin reload faulty");
        // The state of a process that has ended is lost, and the one on the disk is taken.
        assert!(reply.starts_with("error: ") || fault == "exits", "{fault}: {reply}");
        wait_until_served(&host, &["faulty.version"], &"1".into());
        finish(others);
    }
}

#[test]
fn worker_that_never_saves_can_be_restarted() {
    let flags = ["--probe-timeout", "60", "--handover-timeout", "3"];
    let script = Script::fixture("faulty").set("SAVE", "stops");
    let setup = Setup::new().plugins(&["text"]).flags(&flags);
    let host = setup.executable("faulty.py", script).start();
    host.wait_for_answer("faulty.count", "1");
    let (others, mut client) = (others(&host), Lines::connect(&host));
    let reply = client.ask("plugin reload faulty");
    assert!(reply.starts_with("error: "), "{reply}");
    let reply = client.ask("plugin restart faulty");
    assert!(!reply.starts_with("error: "), "{reply}");
    wait_until_served(&host, &["faulty.version"], &"1".into());
    finish(others);
}

#[test]
fn state_survives_a_restart_of_the_host() {
    let port = dropin_tests::system::unused_port();
    let state = tempfile::tempdir().unwrap();
    let start = || {
        let setup = setup().executable("sound.py", version(1)).port(port);
        setup.state_dir(&state.path().join("state")).start()
    };
    let mut host = start();
    host.wait_for_answer("sound.count", "1");
    assert_eq!(host.ks(), Some(0));
    start().wait_for_answer("sound.count", "2");
}
