//! A running command that another session cancels.

use dropin_tests::{Frame, Host, LIMIT, Lines, Resp, wait_until};

/// Has `other` cancel what the session with this number runs, as soon as it runs something.
#[track_caller]
fn cancel(other: &mut Resp, id: i64) {
    let id = id.to_string();
    wait_until("the command is cancelled", LIMIT, || {
        other.ask(&["client", "cancel", &id]) == Frame::Integer(1)
    });
}

#[test]
fn a_command_that_is_cancelled_ends_early_and_the_session_goes_on() {
    let host = Host::start(&["clock", "text"]);
    let (mut client, mut other) = (Resp::connect(&host), Resp::connect(&host));
    let id = client.ask(&["CLIENT", "ID"]).as_integer();
    client.say(&["sleep", "600000"]);
    cancel(&mut other, id);
    assert_eq!(client.frame(), Frame::error("CANCELLED the sleep was cut short"));
    assert_eq!(client.ask(&["echo", "still here"]), "still here".into());
    // The cancelled command took its cancelling with it.
    assert_eq!(client.ask(&["sleep", "60"]).as_integer() / 60, 1);
}

#[test]
fn a_session_that_runs_nothing_is_not_cancelled_later() {
    let host = Host::start(&["clock"]);
    let (mut client, mut other) = (Resp::connect(&host), Resp::connect(&host));
    let id = client.ask(&["CLIENT", "ID"]).as_integer().to_string();
    for _ in 0..2 {
        assert_eq!(other.ask(&["client", "cancel", &id]), Frame::Integer(0));
        assert!(matches!(client.ask(&["sleep", "60"]), Frame::Integer(60..)));
    }
}

#[test]
fn only_the_command_that_runs_is_cancelled_and_not_those_behind_it() {
    let host = Host::start(&["busy"]);
    let (mut client, mut other) = (Lines::connect(&host), Resp::connect(&host));
    let id = client.ask("client id").parse().unwrap();
    client.send("linger 600000\nlinger 1\n");
    cancel(&mut other, id);
    assert_eq!(client.line(), "error: CANCELLED lingered no longer");
    assert_eq!(client.line(), "lingered");
}

#[test]
fn what_cannot_be_cancelled_is_told() {
    let host = Host::start(&[]);
    let mut client = Lines::connect(&host);
    assert_eq!(client.ask("client cancel 999"), "error: there is no session 999");
    for bad in ["x", "-1", "''"] {
        let said = client.ask(&format!("client cancel {bad}"));
        assert_eq!(said, "error: a session is named by its number, see CLIENT LIST or HELLO");
    }
    assert_eq!(
        client.ask("client cancel"),
        "error: wrong number of arguments for 'client|cancel' command"
    );
}
