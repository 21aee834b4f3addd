//! Trust by address.

use std::time::Instant;

use dropin_tests::{Connection, Frame, Lines, Resp, Setup, cable::Cable};

use super::{NOAUTH, is_there, untrusting_host};

/// Returns whether a client at the other end of a cable, and one at this end, may run a command.
fn can_run_from(flags: &[&str]) -> (bool, bool) {
    let cable = Cable::create();
    let host = Setup::new().plugins(&["text"]).flags(flags).started_by(&cable.host_end()).start();
    let answers = [cable.connect(host.port()), cable.connect_locally(host.v4())].map(|client| {
        let answer = Lines::from_connection(client).ask("echo in");
        assert!(answer == "in" || answer.starts_with(&format!("error: {NOAUTH}")), "{answer}");
        answer == "in"
    });
    (answers[0], answers[1])
}

#[test]
#[cfg_attr(not(all(tool = "ip", right = "namespaces")), ignore = "needs ip and network namespaces")]
fn only_this_machine_is_trusted_by_default() {
    for flags in [&[][..], &["--trust", "loopback"]] {
        let answers = can_run_from(flags);
        assert_eq!(answers, (false, true), "{flags:?}");
    }
}

#[test]
#[cfg_attr(not(all(tool = "ip", right = "namespaces")), ignore = "needs ip and network namespaces")]
fn trust_covers_local_network_everybody_or_nobody() {
    for (level, expected) in
        [("lan", (true, true)), ("all", (true, true)), ("none", (false, false))]
    {
        let answers = can_run_from(&["--trust", level]);
        assert_eq!(answers, expected, "{level}");
    }
}

#[test]
fn stranger_cannot_end_host_in_any_protocol() {
    let host = untrusting_host(&[]);
    let mut lines = Lines::connect(&host);
    assert!(lines.ask("ks").starts_with(&format!("error: {NOAUTH}Send AUTH NAME KEY; ")));
    for words in [&["HELLO", "2"][..], &["HELLO", "3"]] {
        let mut client = Resp::connect(&host);
        client.ask(words);
        for words in [
            &["ks"][..],
            &["ping"],
            &["PING", "x"],
            &["KS"],
            &["echo", "x"],
            &["plugin", "info", "text"],
            &["client", "list"],
            &["command"],
            &["command", "docs"],
            &["select", "0"],
            &["no-such-command"],
            &["ks", "too", "many"],
        ] {
            let Frame::Error(answer) = client.ask(words) else { panic!("{words:?} was run") };
            assert!(answer.starts_with(NOAUTH), "{words:?}: {answer}");
        }
    }
    assert!(is_there(&host));
}

#[test]
fn a_stranger_may_greet_and_go() {
    let host = untrusting_host(&[]);
    for end in ["close", "quit"] {
        let mut client = Resp::connect(&host);
        assert!(matches!(client.ask(&["HELLO", "3"]), Frame::Map(_)));
        assert_eq!(client.ask(&["RESET"]), Frame::Status("RESET".into()));
        client.say(&[end]);
        assert_eq!(client.end(), [Frame::ok()]);
    }
}

#[test]
fn a_stranger_may_ask_for_little() {
    let host = untrusting_host(&[]);
    let text = "x".repeat(16 << 10);
    for understood in [&["ping"; 10][..], &["ping", &text]] {
        let Frame::Error(answer) = Resp::connect(&host).ask(understood) else { panic!("let in") };
        assert!(answer.starts_with(NOAUTH), "{answer}");
    }
    for (request, answer) in [
        ("*11\r\n".to_owned(), "ERR Protocol error: invalid multibulk length"),
        (
            format!("*2\r\n$4\r\nping\r\n${}\r\n", (16 << 10) + 1),
            "ERR Protocol error: invalid bulk length",
        ),
    ] {
        let mut client = Resp::connect(&host);
        client.send(request);
        assert_eq!(client.end(), [Frame::error(answer)]);
    }
    let mut client = Lines::connect(&host);
    client.send("x".repeat((16 << 10) + 1));
    assert_eq!(client.end(), ["error: Protocol error: too big inline request"]);
}

#[test]
fn stranger_without_login_gets_error_and_is_closed() {
    let host = untrusting_host(&["--login-timeout", "0.3"]);
    let started = Instant::now();
    let farewell = "NOAUTH no login within 0.3 s, the connection is closed";
    assert_eq!(Lines::connect(&host).end(), [format!("error: {farewell}")]);
    let answered = (0..100).any(|_| {
        let (connected, mut client) = (Instant::now(), Resp::connect(&host));
        client.say(&["RESET"]);
        let said = String::from_utf8(client.rest()).unwrap();
        // A client that the machine delays until its time is over gets the error as a line.
        let held_up = said == format!("error: {farewell}\n");
        assert!(held_up || said == format!("+RESET\r\n-{farewell}\r\n"), "{said}");
        assert!(connected.elapsed().as_secs_f64() >= 0.3, "it has had its time");
        !held_up
    });
    assert!(answered, "no client was heard in time");
    assert!(started.elapsed().as_secs_f64() >= 0.6, "each has had its time");
    let mut busy = Lines::connect(&host);
    while busy.ask("ping") != format!("error: {farewell}") {}
}

#[test]
fn idle_timeout_does_not_shorten_the_login() {
    let host = untrusting_host(&["--login-timeout", "2", "--idle-timeout", "0.5"]);
    let farewell = "error: NOAUTH no login within 2 s, the connection is closed";
    assert_eq!(Lines::connect(&host).end(), [farewell]);
}

#[test]
fn reset_and_wrong_key_extend_no_deadline() {
    let host = untrusting_host(&["--login-timeout", "0.5"]);
    let farewell = "error: NOAUTH no login within 0.5 s, the connection is closed";
    let mut client = Lines::connect(&host);
    while client.ask("reset") != farewell {}
    let mut client = Lines::connect(&host);
    client.send("auth nobody nothing\n".repeat(200));
    let said = client.end();
    assert_eq!(said.last().map(String::as_str), Some(farewell));
    assert!(said.len() < 20, "{} answers", said.len());
}

#[test]
fn request_from_browser_is_never_run() {
    let host = Setup::new().plugins(&["store", "text"]).start();
    for request in [
        "POST / HTTP/1.1\r\nHost: localhost:5000\r\nContent-Length: 3\r\n\r\nset web page\nks\n",
        "GET /x HTTP/1.1\r\nhOST: localhost:5000\r\n\r\nset web page\nks\n",
    ] {
        let mut client = Lines::connect(&host);
        client.send(request);
        assert_eq!(client.line(), "HTTP/1.1 400 Bad Request\r");
        client.wait_for_end();
        // Behind a command, too.
        let mut client = Lines::connect(&host);
        client.send(format!("ping\n{request}"));
        let said = client.end();
        let last = said.last().unwrap();
        assert_eq!(last, "error: this is no web server, the connection is closed");
    }
    assert_eq!(Lines::connect(&host).ask("get web"), "(null)");
    host.wait_for_log("sent an HTTP request, perhaps from a web page");
}

#[test]
fn trusted_client_has_no_login_timeout() {
    let host = Setup::new().flags(&["--login-timeout", "0.1"]).start();
    let mut trusted = Lines::connect(&host);
    assert_eq!(trusted.ask("ping"), "PONG");
    // A client that begins TLS has the same time, and this one began later.
    let mut later = Connection::connect(host.v4());
    later.send(b"\x16\x03\x01");
    later.wait_for_end();
    // The host answers received commands before it closes a late session.
    (0..2).for_each(|_| assert_eq!(trusted.ask("ping"), "PONG"));
}

#[test]
fn trust_in_everybody_is_warned_of() {
    let host = Setup::new().flags(&["--trust", "all"]).start();
    host.wait_for_log("anyone who can connect can run every command");
    let host = Setup::new().variable("DROPIN_TRUST", "none").start();
    assert!(host.logged("anyone who can connect").is_none());
    assert!(Lines::connect(&host).ask("select 0").starts_with("error: NOAUTH "));
    assert_eq!(Setup::new().flags(&["--trust", "friends"]).run().status, Some(2));
}
