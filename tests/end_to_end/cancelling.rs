//! Cancelling a running command from another session.

use dropin_tests::{Frame, Host, LIMIT, Lines, Resp, wait_until};

/// Cancels, by `other`, the command of the session with this number as soon as it runs one.
#[track_caller]
fn cancel(other: &mut Resp, id: i64) {
    let id = id.to_string();
    wait_until("the command is cancelled", LIMIT, || {
        other.ask(&["client", "cancel", &id]) == Frame::Integer(1)
    });
}

#[test]
fn cancelled_command_ends_early_and_session_continues() {
    let host = Host::start(&["clock", "text"]);
    let (mut client, mut other) = (Resp::connect(&host), Resp::connect(&host));
    let id = client.ask(&["CLIENT", "ID"]).as_integer();
    client.say(&["sleep", "600000"]);
    cancel(&mut other, id);
    assert_eq!(client.frame(), Frame::error("CANCELLED the sleep was cut short"));
    assert_eq!(client.ask(&["echo", "still here"]), "still here".into());
    // The cancellation ended together with the cancelled command.
    assert!(matches!(client.ask(&["sleep", "60"]), Frame::Integer(60..)));
}

#[test]
fn idle_session_is_not_cancelled_later() {
    let host = Host::start(&["clock"]);
    let (mut client, mut other) = (Resp::connect(&host), Resp::connect(&host));
    let id = client.ask(&["CLIENT", "ID"]).as_integer().to_string();
    for _ in 0..2 {
        assert_eq!(other.ask(&["client", "cancel", &id]), Frame::Integer(0));
        assert!(matches!(client.ask(&["sleep", "60"]), Frame::Integer(60..)));
    }
}

#[test]
fn cancel_spares_commands_behind_running_one() {
    let host = Host::start(&["busy"]);
    let (mut client, mut other) = (Lines::connect(&host), Resp::connect(&host));
    let id = client.ask("client id").parse().unwrap();
    client.send("linger 600000\nlinger 1\n");
    cancel(&mut other, id);
    assert_eq!(client.line(), "error: CANCELLED lingered no longer");
    assert_eq!(client.line(), "lingered");
}

#[test]
fn cancel_that_cannot_work_is_an_error() {
    let host = Host::start(&[]);
    let mut client = Lines::connect(&host);
    assert_eq!(client.ask("client cancel 999"), "error: there is no session 999");
    for bad in ["x", "-1", "''"] {
        let said = client.ask(&format!("client cancel {bad}"));
        assert_eq!(said, "error: a session is named by its number, see CLIENT LIST or HELLO");
    }
    assert_eq!(
        client.ask("client cancel"),
        "error: wrong number of arguments for 'client|cancel' command, usage: client cancel ID"
    );
}

#[test]
fn killed_session_ends_beside_running_worker() {
    let host = Host::start(&["busy", "text"]);
    let (mut stuck, mut admin) = (Lines::connect(&host), Resp::connect(&host));
    let id = stuck.ask("client id");
    stuck.say("block 600000");
    host.wait_for_log("blocking for ");
    assert_eq!(admin.ask(&["client", "kill", &id]), Frame::ok());
    stuck.wait_for_end();
    host.wait_for_log(&format!("session {id} from {}: ended by session ", stuck.local()));
    let said = format!("ERR session {id} is ended already, its worker has not returned");
    assert_eq!(admin.ask(&["client", "kill", &id]), Frame::error(&said));
    // An idle session gets the reason.
    let mut idle = Lines::connect(&host);
    let id = idle.ask("client id");
    assert_eq!(admin.ask(&["CLIENT", "KILL", "ID", &id]), Frame::Integer(1));
    assert_eq!(idle.end(), ["error: this session was ended by an admin"]);
    wait_until("it is gone", LIMIT, || {
        admin.ask(&["CLIENT", "KILL", "ID", &id]) == Frame::Integer(0)
    });
    let mut idle = Lines::connect(&host);
    assert_eq!(idle.ask("echo here"), "here");
    assert_eq!(admin.ask(&["client", "kill", &idle.local().to_string()]), Frame::ok());
    assert_eq!(idle.end(), ["error: this session was ended by an admin"]);
}

#[test]
fn killing_names_what_it_cannot_do() {
    let host = Host::start(&[]);
    let mut admin = Resp::connect(&host);
    let own = admin.ask(&["client", "id"]).as_integer().to_string();
    assert_eq!(admin.ask(&["client", "kill", "id", &own]), Frame::Integer(0));
    assert_eq!(admin.ask(&["client", "kill", "999"]), Frame::error("ERR there is no session 999"));
    for words in [&["client", "kill", "x"][..], &["client", "kill", "id", "127.0.0.1:1"]] {
        let said = "ERR a session is named by its number, see CLIENT LIST or HELLO";
        assert_eq!(admin.ask(words), Frame::error(said));
    }
    assert!(matches!(admin.ask(&["client", "kill", "user", "x"]), Frame::Error(_)));
}
