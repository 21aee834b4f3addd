//! Executables that end, or stop answering, in a call.

use dropin_tests::{Frame, Host, Lines, Resp, Setup, executable::Script};

use super::*;

#[track_caller]
fn faulty() -> Host {
    setup().executable("faulty.py", Script::fixture("faulty")).start()
}

/// Checks that each of these calls ends the process for this cause, and that the plugin is served
/// again. A host allows four ends within a minute.
#[track_caller]
fn ends(calls: [(&[&str], &str); 4]) {
    let host = faulty();
    let others = others(&host);
    let mut client = Resp::connect3(&host);
    for (words, cause) in calls {
        let reply = client.ask(words);
        let start = format!("CRASHED plugin 'faulty': {cause}");
        assert_error(&reply, &start);
        assert!(reply.as_str().ends_with(&format!(" in '{}'", words[0])), "{reply:?}");
        assert_eq!(client.ask(&["echo", "here"]), "here".into());
        wait_until_served(&host, &["faulty.echo", "again"], &"again".into());
    }
    finish(others);
}

#[test]
fn end_fails_only_the_call_in_flight() {
    ends([
        (&["faulty.exit", "0"], "exit status 0"),
        (&["faulty.exit", "7"], "exit status 7"),
        (&["faulty.signal", "11"], "signal 11"),
        (&["faulty.signal", "6"], "signal 6"),
    ]);
}

#[test]
fn closed_output_and_half_a_line_are_ends() {
    ends([
        (&["faulty.close"], "protocol error: "),
        (&["faulty.half", "3"], "exit status 3"),
        (&["faulty.half", "0"], "exit status 0"),
        (&["faulty.signal", "9"], "signal 9"),
    ]);
}

#[test]
fn end_fails_every_call_in_flight() {
    let host = faulty();
    let mut sleepers = [Resp::connect(&host), Resp::connect(&host)];
    for (number, sleeper) in (1..).zip(&mut sleepers) {
        sleeper.say(&["faulty.sleep", "60000"]);
        dropin_tests::wait_until("it sleeps", LIMIT, || {
            host.log().matches("faulty: sleeping").count() == number
        });
    }
    let own = Resp::connect(&host).ask(&["faulty.exit", "3"]);
    for reply in [own, sleepers[0].frame(), sleepers[1].frame()] {
        assert_error(&reply, "CRASHED plugin 'faulty': exit status 3 while '");
        let text = reply.as_str();
        let names = ["'faulty.exit'", "'faulty.sleep'"];
        assert!(names.iter().all(|name| text.matches(name).count() == 1), "{text}");
        assert!(text.ends_with("' ran"), "{text}");
    }
    wait_until_served(&host, &["faulty.echo", "again"], &"again".into());
}

#[test]
fn end_is_noticed_although_children_live() {
    let host = faulty();
    let mut client = Resp::connect(&host);
    // They have its standard output and its standard error open.
    assert_eq!(client.ask(&["faulty.forks", "3"]), 0.into());
    let reply = client.ask(&["faulty.exit", "7"]);
    assert_eq!(reply, crashed("faulty", "exit status 7", "faulty.exit"));
    wait_until_served(&host, &["faulty.echo", "again"], &"again".into());
}

/// Returns a host that waits only briefly for a worker's state.
#[track_caller]
fn impatient() -> Host {
    let flags = ["--probe-timeout", "60", "--handover-timeout", "3"];
    let setup = Setup::new().plugins(&["text"]).flags(&flags);
    setup.executable("faulty.py", Script::fixture("faulty")).start()
}

#[test]
fn worker_that_stops_answering_can_be_restarted() {
    let host = impatient();
    let others = others(&host);
    let (mut stuck, mut admin) = (Lines::connect(&host), Lines::connect(&host));
    let id = stuck.ask("client id");
    // It has begun a line, and never ends it.
    stuck.say("faulty.half");
    let mut waiting = Resp::connect(&host);
    waiting.say(&["faulty.echo", "x"]);
    assert_eq!(admin.ask("echo here"), "here");
    wait_until_killed(&mut admin, &id);
    stuck.wait_for_end();
    let said = admin.ask("plugin restart faulty");
    assert!(!said.starts_with("error: "), "{said}");
    assert!(matches!(waiting.frame(), Frame::Error(_) | Frame::Text(_)));
    wait_until_served(&host, &["faulty.echo", "again"], &"again".into());
    finish(others);
}

#[track_caller]
fn wait_until_killed(admin: &mut Lines, id: &str) {
    dropin_tests::wait_until("the session is killed", LIMIT, || {
        admin.ask(&format!("client kill {id}")) == "OK"
    });
}

#[test]
fn loop_that_ignores_everything_holds_nobody() {
    let host = impatient();
    let others = others(&host);
    let (mut stuck, mut admin) = (Lines::connect(&host), Lines::connect(&host));
    let id = stuck.ask("client id");
    stuck.say("faulty.spin");
    host.wait_for_log("faulty: spinning");
    wait_until_killed(&mut admin, &id);
    stuck.wait_for_end();
    // Its own process has further threads.
    assert_eq!(admin.ask("faulty.echo here"), "here");
    let said = admin.ask("plugin restart faulty");
    assert!(!said.starts_with("error: "), "{said}");
    wait_until_served(&host, &["faulty.echo", "again"], &"again".into());
    finish(others);
}
