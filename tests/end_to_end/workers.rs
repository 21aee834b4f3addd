//! Workers that fail: the calling client gets an error, and nothing else happens.

use dropin_tests::{Frame, Host, LIMIT, Lines, Resp, wait_until};

const MALFORMED: &str = "ERR the worker gave a malformed reply";

#[test]
fn panic_fails_only_its_request() {
    let host = Host::start(&["panics", "text"]);
    let mut other = Lines::connect(&host);
    assert_eq!(other.ask("ping"), "PONG");
    let mut client = Lines::connect(&host);
    assert_eq!(client.ask("panic"), "error: 'panic' panicked: at the disco");
    assert_eq!(client.ask("panic 'on purpose'"), "error: 'panic' panicked: on purpose");
    assert_eq!(client.ask("panic.bomb"), "error: 'panic.bomb' panicked: no message");
    assert_eq!(client.ask("echo 'still here'"), "still here");
    let mut client = Resp::connect3(&host);
    assert_eq!(client.ask(&["panic"]), Frame::error("ERR 'panic' panicked: at the disco"));
    assert_eq!(client.ask(&["echo", "still here"]), "still here".into());
    assert_eq!(other.ask("client id"), "1");
    let line = host.wait_for_log("on purpose");
    assert!(line.contains("ERROR panics: panic at ") && line.contains("lib.rs:"), "{line}");
}

#[test]
fn panic_within_reply_discards_written_part() {
    let host = Host::start(&["panics"]);
    for mut client in [Resp::connect(&host), Resp::connect3(&host)] {
        let error = Frame::error("ERR 'panic.late' panicked: in the middle");
        assert_eq!(client.ask(&["panic.late"]), error);
        assert_eq!(client.ask(&["ping", "next"]), "next".into());
    }
    assert_eq!(
        Lines::connect(&host).ask_all("panic.late"),
        ["error: 'panic.late' panicked: in the middle"]
    );
}

#[test]
fn panic_in_background_thread_is_only_logged() {
    let mut host = Host::start(&["panics"]);
    let mut client = Lines::connect(&host);
    assert_eq!(client.ask("panic.thread"), "OK");
    let line = host.wait_for_log("all alone");
    assert!(line.contains("ERROR panics: panic at "), "{line}");
    assert_eq!(client.ask("ping"), "PONG");
    assert_eq!(host.ks(), Some(0));
}

#[test]
fn a_thousand_panics_leave_nothing_behind() {
    let host = Host::start(&["panics"]);
    let mut client = Lines::connect(&host);
    client.send("panic 'again and again'\n".repeat(1_000));
    for _ in 0..1_000 {
        assert_eq!(client.line(), "error: 'panic' panicked: again and again");
    }
    assert_eq!(client.ask("ping"), "PONG");
}

#[test]
fn inconsistent_reply_becomes_an_error() {
    let host = Host::start(&["panics"]);
    for command in ["reply.short", "reply.long", "reply.none"] {
        for mut client in [Resp::connect(&host), Resp::connect3(&host)] {
            assert_eq!(client.ask(&[command]), Frame::error(MALFORMED), "{command}");
            assert_eq!(client.ask(&["ping", "next"]), "next".into());
        }
        let said = Lines::connect(&host).ask_all(command);
        assert_eq!(said, ["error: the worker gave a malformed reply"], "{command}");
    }
}

#[test]
fn a_reply_may_be_deep_but_not_endless() {
    let host = Host::start(&["facts"]);
    let mut client = Resp::connect(&host);
    let mut reply = client.ask(&["deep", "64"]);
    for _ in 0..64 {
        let [inner] = reply.items() else { panic!("{reply:?}") };
        reply = inner.clone();
    }
    assert_eq!(reply, "core".into());
    assert_eq!(client.ask(&["deep", "65"]), Frame::error(MALFORMED));
}

#[test]
fn worker_sees_session_and_arguments() {
    let host = Host::start(&["facts", "text"]);
    let mut client = Resp::connect_to(host.v6());
    client.ask(&["HELLO", "3", "SETNAME", "sam"]);
    let id = client.ask(&["CLIENT", "ID"]);
    let facts = client.ask(&["Facts", "a b", ""]);
    let expected = Frame::Map(vec![
        ("command".into(), "Facts".into()),
        ("arguments".into(), Frame::texts(&["a b", ""])),
        ("peer".into(), client.local().to_string().as_str().into()),
        ("session".into(), id),
        ("name".into(), "sam".into()),
        ("host".into(), env!("CARGO_PKG_VERSION").into()),
        ("sessions".into(), 1.into()),
        ("plugins".into(), 2.into()),
        ("cancelled".into(), Frame::Boolean(false)),
    ]);
    assert_eq!(facts, expected);
}

#[test]
fn plugin_log_lines_carry_its_name() {
    let host = Host::start(&["facts"]);
    let mut client = Lines::connect(&host);
    for (level, shown) in
        [("error", "ERROR"), ("warn", "WARN "), ("info", "INFO "), ("debug", "DEBUG")]
    {
        assert_eq!(client.ask(&format!("say {level} 'the word at {level}'")), "OK");
        let line = host.wait_for_log(&format!("the word at {level}"));
        assert!(line.ends_with(&format!(" {shown} facts: the word at {level}")), "{line}");
    }
    // The host of a test logs from debug upwards.
    assert_eq!(client.ask("say trace 'in a whisper'"), "OK");
    assert_eq!(client.ask("say info 'after it'"), "OK");
    host.wait_for_log("after it");
    assert_eq!(host.logged("in a whisper"), None);
}

#[test]
fn a_plugin_has_a_directory_of_its_own() {
    let host = Host::start(&["facts"]);
    let mut client = Lines::connect(&host);
    let expected = host.own_dir().join("data").join("facts").join("note");
    assert_eq!(client.ask("note 'remember me'"), expected.display().to_string());
    assert_eq!(client.ask("note"), "remember me");
}

#[test]
fn a_reply_that_nobody_reads_harms_nobody() {
    let host = Host::start(&["facts", "text"]);
    let mut other = Lines::connect(&host);
    for _ in 0..20 {
        let mut client = Resp::connect(&host);
        client.say(&["kinds"]);
        client.into_connection().reset();
    }
    wait_until("they are gone", LIMIT, || other.ask_all("client list").len() == 1);
    assert_eq!(other.ask("echo fine"), "fine");
}
