//! The host's shutdown: by `ks`, by a signal, and with workers that do not end.

use std::{
    fs,
    net::TcpStream,
    time::{Duration, Instant},
};

use dropin_tests::{Frame, Host, LIMIT, Lines, NOTICE, Port, RESTART_NOTICE, Resp, Setup};

fn push(notice: &str) -> Frame {
    Frame::Push(vec!["notice".into(), notice.into()])
}

fn notice2(notice: &str) -> Frame {
    Frame::error(&format!("SHUTDOWN {notice}"))
}

/// Returns one client of each protocol, each with a served session.
fn one_of_each(host: &Host) -> (Lines, Resp, Resp) {
    let (mut lines, mut resp2) = (Lines::connect_to(host.v6()), Resp::connect(host));
    assert_eq!(lines.ask("ping"), "PONG");
    assert_eq!(resp2.ask(&["PING"]), Frame::Status("PONG".into()));
    (lines, resp2, Resp::connect3(host))
}

/// Checks that all three get the notice, and then nothing more.
#[track_caller]
fn assert_shutdown_notice(others: (Lines, Resp, Resp)) {
    assert_notice(others, NOTICE);
}

#[track_caller]
fn assert_notice((mut lines, mut resp2, mut resp3): (Lines, Resp, Resp), notice: &str) {
    assert_eq!(lines.end(), [notice]);
    assert_eq!(resp2.end(), [notice2(notice)]);
    assert_eq!(resp3.end(), [push(notice)]);
}

#[test]
fn ks_from_line_session_notifies_every_client() {
    let mut host = Host::start(&[]);
    let others = one_of_each(&host);
    let mut asker = Lines::connect(&host);
    asker.say("ks");
    assert_eq!(asker.end(), ["OK", NOTICE]);
    assert_shutdown_notice(others);
    assert_eq!(host.exit(), Some(0));
}

#[test]
fn ks_from_resp2_session_notifies_every_client() {
    let mut host = Host::start(&[]);
    let others = one_of_each(&host);
    let mut asker = Resp::connect(&host);
    asker.say(&["KS"]);
    assert_eq!(asker.end(), [Frame::ok(), notice2(NOTICE)]);
    assert_shutdown_notice(others);
    assert_eq!(host.exit(), Some(0));
}

#[test]
fn ks_from_resp3_session_notifies_every_client() {
    let mut host = Host::start(&[]);
    let others = one_of_each(&host);
    let mut asker = Resp::connect3(&host);
    asker.say(&["ks"]);
    assert_eq!(asker.end(), [Frame::ok(), push(NOTICE)]);
    assert_shutdown_notice(others);
    assert_eq!(host.exit(), Some(0));
}

#[test]
fn silent_client_is_notified_in_a_line() {
    let mut host = Host::start(&["server"]);
    let mut silent = Lines::connect(&host);
    let mut half = Resp::connect(&host);
    half.send("*2\r\n$4\r\nec");
    let mut asker = Lines::connect(&host);
    dropin_tests::wait_until("all are there", LIMIT, || asker.ask_all("clients").len() == 3);
    assert_eq!(asker.ask("ks"), "OK");
    assert_eq!(silent.end(), [NOTICE]);
    assert_eq!(String::from_utf8_lossy(&half.rest()), format!("{NOTICE}\n"));
    assert_eq!(host.exit(), Some(0));
}

#[test]
fn subscriber_is_notified_and_disconnected_at_shutdown() {
    let mut host = Host::start(&[]);
    let mut watching = Resp::connect3(&host);
    assert_eq!(watching.ask(&["plugin", "watch"]), Frame::ok());
    assert_eq!(Lines::connect(&host).ask("ks"), "OK");
    assert_eq!(watching.end().last(), Some(&push(NOTICE)));
    assert_eq!(host.exit(), Some(0));
}

#[test]
fn nothing_is_left_when_the_host_has_ended() {
    let port = Port::hold();
    let mut host = Setup::new().port(port.number()).plugins(&["text"]).start();
    let _clients = one_of_each(&host);
    assert_eq!(host.ks(), Some(0));
    let said = host.log();
    assert!(said.lines().last().is_some_and(|line| line.ends_with("host: ended")), "{said}");
    assert!(said.contains("shutting down: 127.0.0.1:"), "{said}");
    assert!(TcpStream::connect_timeout(&host.v4(), LIMIT).is_err());
    let copies = host.state_dir().join(host.port().to_string()).join("copies");
    assert!(!copies.exists(), "private copies are left");
}

#[test]
#[cfg_attr(not(tool = "cc"), ignore = "needs cc")]
fn signal_shuts_down_with_restart_notice() {
    for signal in [Host::terminate, Host::interrupt] {
        let mut host = Host::start(&["busy"]);
        let others = one_of_each(&host);
        let mut busy = Lines::connect(&host);
        busy.say("linger 600000");
        host.wait_for_log("lingering for");
        signal(&host);
        assert_eq!(busy.end(), ["error: CANCELLED lingered no longer", RESTART_NOTICE]);
        assert_notice(others, RESTART_NOTICE);
        assert_eq!(host.exit(), Some(0));
        assert!(host.logged("shutting down: the system asked for it").is_some());
    }
}

#[test]
fn worker_beyond_grace_only_changes_exit_status() {
    let mut host = Setup::new().plugins(&["busy"]).flags(&["--grace", "6"]).start();
    let others = one_of_each(&host);
    let mut busy = Lines::connect(&host);
    busy.say("block 600000");
    host.wait_for_log("blocking for");
    let asked = Instant::now();
    let mut asker = Lines::connect(&host);
    assert_eq!(asker.ask("ks"), "OK");
    assert_shutdown_notice(others);
    assert!(!host.has_ended(), "the others need not wait for the grace to be over");
    assert_eq!(host.exit(), Some(3));
    assert!(asked.elapsed() >= Duration::from_secs(6), "the grace was {:?}", asked.elapsed());
    host.wait_for_log("ended without 1 thread(s) that outlasted the grace");
    busy.wait_for_end();
}

#[test]
fn worker_within_grace_is_waited_for() {
    let mut host = Setup::new().plugins(&["busy"]).flags(&["--grace", "600"]).start();
    let others = one_of_each(&host);
    let mut busy = Lines::connect(&host);
    let released = host.state_dir().join("released");
    busy.say(&format!("hold '{}'", released.display()));
    host.wait_for_log("holding for");
    assert_eq!(Lines::connect(&host).ask("ks"), "OK");
    assert_shutdown_notice(others);
    assert!(!host.has_ended(), "the worker still runs");
    fs::write(released, "").unwrap();
    assert_eq!(busy.end(), ["held", NOTICE]);
    assert_eq!(host.exit(), Some(0));
}

/// Repeats the request a second after the first: an earlier repetition counts as the same request.
pub(crate) fn request_again(host: &mut Host) {
    let asked = Instant::now();
    dropin_tests::wait_until("a second is over", LIMIT, || {
        asked.elapsed() >= Duration::from_secs(1)
    });
    assert!(!host.has_ended());
    host.interrupt();
}

#[test]
#[cfg_attr(not(tool = "cc"), ignore = "needs cc")]
fn a_second_signal_ends_the_host_at_once() {
    let mut host = Setup::new().plugins(&["busy"]).flags(&["--grace", "600"]).start();
    let mut busy = Lines::connect(&host);
    busy.say("block 600000");
    host.wait_for_log("blocking for");
    host.interrupt();
    host.wait_for_log("shutting down");
    request_again(&mut host);
    assert_eq!(host.exit(), Some(3));
    host.wait_for_log("asked to end a second time");
}

#[test]
fn nobody_is_let_in_while_the_host_ends() {
    let mut host = Setup::new().plugins(&["busy"]).flags(&["--grace", "600"]).start();
    let mut busy = Lines::connect(&host);
    busy.say("block 600000");
    host.wait_for_log("blocking for");
    let mut asker = Lines::connect(&host);
    asker.say("ks");
    assert_eq!(asker.end(), ["OK", NOTICE]);
    for address in [host.v4(), host.v6()] {
        // A client that connected just before is ended at once; later ones cannot connect.
        dropin_tests::wait_until("the host accepts no more clients", LIMIT, || {
            TcpStream::connect_timeout(&address, LIMIT).is_err()
        });
    }
    assert!(!host.has_ended());
}
