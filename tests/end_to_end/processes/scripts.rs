//! Scripts without a protocol, which are run once for each call.

use dropin_tests::{Frame, Host, LIMIT, Lines, Resp, Setup, files, wait_until};

use super::*;

/// Adds a script with these lines, which has one command of the same name.
fn with(setup: Setup, name: &str, usage: &str, body: &str) -> Setup {
    let text = format!("#!/bin/sh\n# dropin: {name} {usage} -- Runs once.\n{body}\n");
    setup.executable(&format!("{name}.sh"), text)
}

#[track_caller]
fn host(scripts: &[(&str, &str, &str)]) -> Host {
    let add = |setup, (name, usage, body): &(&str, &str, &str)| with(setup, name, usage, body);
    let host = scripts.iter().fold(setup(), add).start();
    for (name, ..) in scripts {
        let known = format!("'{name}' is known");
        wait_until(&known, LIMIT, || {
            host.logged(&format!("plugin {name}: generation 1")).is_some()
        });
    }
    host
}

#[test]
fn output_is_the_reply_and_arguments_are_words() {
    let host = host(&[
        ("each", "[WORD..]", "for word in \"$@\"; do printf '<%s>' \"$word\"; done"),
        ("lines", "", "printf 'one\\ntwo\\n\\n'"),
        ("nothing", "", ":"),
        ("bytes", "", "printf 'a\\377\\001'"),
    ]);
    let mut client = Resp::connect(&host);
    for (words, reply) in [
        (&[&b"each"[..]][..], &b""[..]),
        (&[b"each", b"a b", b"", b"$HOME", b"'", b"x\ny"], b"<a b><><$HOME><'><x\ny>"),
        (&[b"each", b"-n", b"--", b"\xff"], b"<-n><--><\xff>"),
        (&[b"lines"], b"one\ntwo\n"),
        (&[b"nothing"], b""),
        (&[b"bytes"], b"a\xff\x01"),
    ] {
        assert_eq!(client.ask(words), Frame::text(reply), "{words:?}");
    }
    let usage = "ERR wrong number of arguments for 'lines' command, usage: lines";
    assert_eq!(client.ask(&["lines", "x"]), Frame::error(usage));
    // An argument of a process cannot contain it.
    assert!(matches!(client.ask(&["each", "a\0b"]), Frame::Error(_)));
}

#[test]
fn failure_has_the_last_line_of_standard_error() {
    let host = host(&[
        ("says", "STATUS", "echo first >&2; echo 'no such person' >&2; echo >&2; exit $1"),
        ("mute", "STATUS", "echo ignored; exit $1"),
        ("kills", "NUMBER", "kill -$1 $$"),
        ("warns", "", "echo 'be careful' >&2; echo done"),
    ]);
    let mut client = Resp::connect(&host);
    for (words, reply) in [
        (&["says", "1"][..], Frame::error("ERR no such person")),
        (&["says", "0"], "".into()),
        (&["mute", "7"], Frame::error("ERR exit status 7")),
        (&["kills", "11"], Frame::error("ERR signal 11")),
        (&["kills", "9"], Frame::error("ERR signal 9")),
        (&["warns"], "done".into()),
    ] {
        for _ in 0..3 {
            assert_eq!(client.ask(words), reply, "{words:?}");
        }
    }
    // No number of failures makes it unavailable.
    for _ in 0..10 {
        assert_eq!(client.ask(&["mute", "3"]), Frame::error("ERR exit status 3"));
    }
    let line = host.wait_for_log("be careful");
    assert!(line.contains("warns"), "{line}");
}

#[test]
fn script_sees_session_and_environment() {
    let body = "printf '%s|%s|%s|%s|%s|%s|%s' \"$DROPIN_SESSION_ID\" \"$DROPIN_SESSION_PEER\" \
                \"$DROPIN_SESSION_NAME\" \"$DROPIN_PLUGIN\" \"$DROPIN_PLUGINS_DIR\" \
                \"$DROPIN_DATA_DIR\" \"$(pwd)\"";
    let host = host(&[("facts", "", body)]);
    let mut client = Resp::connect(&host);
    client.ask(&["CLIENT", "SETNAME", "sam"]);
    let id = client.ask(&["CLIENT", "ID"]).as_integer();
    let data = host.own_dir().join("data").join("facts");
    let (data, plugins) = (data.display(), host.plugins_folder());
    let expected = format!("{id}|{}|sam|facts|{}|{data}|{data}", client.local(), plugins.display());
    assert_eq!(client.ask(&["facts"]), expected.as_str().into());
}

#[test]
fn info_of_a_script_names_its_place() {
    let host = host(&[("once", "", "echo 1")]);
    let info = host.info("once");
    for (key, value) in [("name", "once"), ("version", "0"), ("place", "script")] {
        assert_eq!(info.get(key), Some(&value.into()), "{key}: {info:?}");
    }
    assert_eq!(info.get("commands"), Some(&Frame::texts(&["once"])));
}

#[test]
fn every_header_line_is_a_command() {
    let lines = "#!/bin/sh\n# A comment.\n# dropin: first -- One.\n# dropin: second [X] -- Two.\n\
                 echo \"$DROPIN_COMMAND $*\"\n";
    let host = setup().executable("pair.sh", lines).start();
    host.wait_for_answer("first", "first ");
    host.wait_for_answer("second x", "second x");
    let info = host.info("pair");
    assert_eq!(info.get("commands"), Some(&Frame::texts(&["first", "second"])));
}

#[test]
fn changed_script_runs_at_the_next_call() {
    let host = host(&[("once", "", "echo 1")]);
    assert_eq!(Lines::connect(&host).ask("once"), "1");
    for number in 2..5 {
        let text = format!("#!/bin/sh\n# dropin: once -- Runs once.\necho {number}\n");
        host.place_executable("once.sh", text);
        host.wait_for_answer("once", &number.to_string());
    }
    let mut client = Lines::connect(&host);
    assert!(client.ask("plugin rollback once").ends_with(", the code before"));
    assert_eq!(client.ask("once"), "3");
    files::remove(host.executable("once.sh"));
    host.wait_until_unknown("once");
}

#[test]
fn script_with_a_wrong_header_is_refused() {
    let header = |line: &str| format!("#!/bin/sh\n# dropin: {line}\necho x\n");
    let cases = [
        ("claims-ks", header("ks -- The host has it.")),
        ("claims-echo", header("echo TEXT -- Another plugin has it.")),
        ("usage", header("usage [[X -- Its usage is wrong.")),
        ("nothing", header("")),
        ("twice", header("twice -- One.\n# dropin: twice -- Two.")),
    ];
    let host = setup().start();
    for (name, text) in cases {
        host.place_executable(name, text);
        host.wait_for_log(&format!(": refused {name} ("));
    }
    assert_eq!(Lines::connect(&host).ask("echo served"), "served");
}

#[test]
fn script_with_windows_line_ends_harms_nobody() {
    let text = "#!/bin/sh\r\n# dropin: windows -- It does not run.\r\necho x\r\n";
    let host = setup().executable("windows.sh", text).start();
    wait_until("it is refused, or its call fails", LIMIT, || {
        let said = Lines::connect(&host).ask("windows");
        assert!(said.starts_with("error: "), "{said}");
        !said.starts_with("error: unknown command") || host.logged(": refused windows.sh").is_some()
    });
    assert_eq!(Lines::connect(&host).ask("echo served"), "served");
}

#[test]
fn output_over_the_limit_is_an_error() {
    let setup = setup().flags(&["--max-reply", "1M"]);
    let setup = with(setup, "huge", "", "head -c 100000000 /dev/zero");
    let host =
        with(setup, "endless", "", "while :; do head -c 100000 /dev/zero || exit; done").start();
    let others = others(&host);
    let error = "error: reply larger than 1048576 bytes (--max-reply)";
    host.wait_for_answer("huge", error);
    host.wait_for_answer("endless", error);
    finish(others);
}

#[cfg(target_os = "linux")]
#[test]
fn script_ends_with_its_client() {
    use dropin_tests::system::{descendants, is_running};
    let host = host(&[("waits", "", "echo started >&2; sleep 60; echo end")]);
    let mut client = Resp::connect(&host);
    client.say(&["waits"]);
    let started = dropin_tests::wait_for("it runs", LIMIT, || {
        let started = descendants(host.pid());
        (started.len() >= 2).then_some(started)
    });
    client.into_connection().reset();
    wait_until("it has ended with what it started", LIMIT, || {
        !started.iter().any(|pid| is_running(*pid))
    });
    assert_eq!(Lines::connect(&host).ask("echo fine"), "fine");
}

#[test]
fn call_timeout_ends_a_script() {
    let toml = "[plugin.waits]\ncall-timeout = 0.3\n";
    let host = with(setup().settings(toml), "waits", "", "exec sleep 60").start();
    let mut client = Lines::connect(&host);
    let said = dropin_tests::wait_for("the call ends", LIMIT, || {
        let said = client.ask("waits");
        (!said.starts_with("error: unknown command")).then_some(said)
    });
    assert!(said.starts_with("error: ") && said.contains("call-timeout of 0.3 s"), "{said}");
}

#[test]
fn scripts_run_side_by_side() {
    let host =
        host(&[("holds", "PATH", "echo holding >&2; until [ -e \"$1\" ]; do sleep 0.01; done")]);
    let gate = host.state_dir().join("gate");
    let mut clients: Vec<_> = (0..5).map(|_| Lines::connect(&host)).collect();
    clients.iter_mut().for_each(|client| client.say(&format!("holds '{}'", gate.display())));
    assert_eq!(Lines::connect(&host).ask("echo fine"), "fine");
    std::fs::write(&gate, "").unwrap();
    clients.iter_mut().for_each(|client| assert_eq!(client.line(), ""));
}
