//! Limits: the number of sessions, the time that a session may be silent, and the time of a
//! command.

use std::time::{Duration, Instant};

use dropin_tests::{Connection, Frame, Host, LIMIT, Lines, Resp, Setup, wait_until};

fn host(flags: &[&str]) -> Host {
    Setup::new().plugins(&["server", "text", "busy"]).flags(flags).start()
}

/// Returns sessions, each of which has had a reply.
fn open_sessions(host: &Host, count: usize) -> Vec<Lines> {
    let mut open_sessions: Vec<_> = (0..count).map(|_| Lines::connect(host)).collect();
    open_sessions.iter_mut().for_each(|guest| assert!(is_session_reply(&guest.ask("ping"))));
    open_sessions
}

#[track_caller]
fn assert_session_served(host: &Host) {
    wait_until("a session can connect again", LIMIT, || {
        is_session_reply(&Lines::connect(host).first_line("ping"))
    });
}

/// Returns whether this is a session's reply, to a trusted client or a stranger.
fn is_session_reply(answer: &str) -> bool {
    answer == "PONG" || answer.starts_with(&format!("error: {}", super::NOAUTH))
}

/// Reads the first line from the host, for a client that may be rejected before it sends anything.
trait FirstLine {
    fn first_line(&mut self, line: &str) -> String;
}

impl FirstLine for Lines {
    fn first_line(&mut self, line: &str) -> String {
        // If it has been rejected already, its bytes are lost.
        let _ = std::io::Write::write_all(&mut self.stream(), format!("{line}\n").as_bytes());
        self.line()
    }
}

#[test]
fn session_over_limit_is_rejected_with_error() {
    let host = host(&["--max-sessions", "3"]);
    let mut open_sessions = open_sessions(&host, 3);
    let started = Instant::now();
    for _ in 0..30 {
        assert_eq!(Lines::connect(&host).end(), ["-ERR max number of clients reached"]);
    }
    open_sessions.iter_mut().for_each(|guest| assert_eq!(guest.ask("echo in"), "in"));
    let count = host.log().matches("there are 3 sessions already (--max-sessions)").count();
    let most = usize::try_from(started.elapsed().as_secs()).unwrap() + 3;
    assert!((1..=most).contains(&count), "{count} lines for 30 that were turned away");
    drop(open_sessions.pop());
    assert_session_served(&host);
}

#[test]
fn sessions_per_untrusted_address_are_limited() {
    let trusted = host(&["--max-sessions-per-address", "2"]);
    open_sessions(&trusted, 5);
    let host = host(&["--max-sessions-per-address", "2", "--trust", "none"]);
    let mut open_sessions = open_sessions(&host, 2);
    let refused = ["-ERR max number of clients from your address reached"];
    assert_eq!(Lines::connect(&host).end(), refused);
    assert!(is_session_reply(&Lines::connect_to(host.v6()).ask("ping")), "that is another address");
    open_sessions.iter_mut().for_each(|guest| assert!(is_session_reply(&guest.ask("ping"))));
    host.wait_for_log("there are 2 sessions from its address (--max-sessions-per-address)");
    drop(open_sessions.pop());
    assert_session_served(&host);
}

#[cfg(target_os = "linux")]
#[test]
#[cfg_attr(not(all(tool = "ip", right = "namespaces")), ignore = "needs ip and network namespaces")]
fn trusted_client_connects_despite_many_strangers() {
    let cable = dropin_tests::cable::Cable::create();
    let setup = Setup::new().flags(&["--max-sessions", "10"]).started_by(&cable.host_end());
    let host = setup.start();
    let mut strangers: Vec<_> =
        (0..9).map(|_| Lines::from_connection(cable.connect(host.port()))).collect();
    strangers.iter_mut().for_each(|stranger| assert!(is_session_reply(&stranger.ask("ping"))));
    let refused = ["-ERR max number of clients reached"];
    assert_eq!(Lines::from_connection(cable.connect(host.port())).end(), refused);
    let mut trusted = Lines::from_connection(cable.connect_locally(host.v4()));
    assert_eq!(trusted.ask("ping"), "PONG");
    assert_eq!(
        Lines::from_connection(cable.connect_locally(host.v4())).end(),
        refused,
        "now it is full"
    );
}

#[test]
fn idle_session_is_closed_unless_it_subscribes() {
    let host = host(&["--idle-timeout", "3"]);
    let mut reader = Resp::connect3(&host);
    assert_eq!(reader.ask(&["plugin", "watch"]), Frame::ok());
    let mut prompt = Resp::connect3(&host);
    assert_eq!(prompt.ask(&["command", "watch"]), Frame::ok());
    let mut busy = Lines::connect(&host);
    let mut silent = Lines::connect(&host);
    let said = "nothing was sent for 3 s, the connection is closed";
    // The busy session sends far more often than that, for longer.
    let (started, mut asked) = (Instant::now(), Instant::now());
    while started.elapsed() < Duration::from_secs(5) {
        let before = std::mem::replace(&mut asked, Instant::now());
        let answer = busy.first_line("ping");
        if answer != "PONG" {
            assert_eq!(answer, format!("error: {said}"));
            // If the machine stood still for that long, this session was silent too.
            assert!(before.elapsed() >= Duration::from_secs(3), "it was closed too early");
            busy = Lines::connect(&host);
        }
    }
    assert_eq!(silent.end(), [format!("error: {said}")]);
    assert_eq!(prompt.end(), [Frame::error(&format!("ERR {said}"))]);
    let mut silent = Resp::connect(&host);
    silent.say(&["PING"]);
    assert_eq!(silent.end(), [Frame::Status("PONG".into()), Frame::error(&format!("ERR {said}"))]);
    assert_eq!(busy.end(), [format!("error: {said}")]);
    assert_eq!(reader.ask(&["ping"]), Frame::Status("PONG".into()));
}

#[test]
fn slow_call_is_logged_once() {
    let host = host(&["--slow-call", "0.5"]);
    let mut slow = Lines::connect(&host);
    let peer = slow.local();
    slow.say("linger 600000");
    let line = host.wait_for_log("'linger' has been running for ");
    assert!(line.contains(&format!(" from {peer}: ")) && line.contains(" WARN "), "{line}");
    // A command logs one such line a second: the next two calls are logged later.
    let _later = [("hold", "/nowhere"), ("block", "600000")].map(|(command, argument)| {
        let mut later = Lines::connect(&host);
        later.say(&format!("{command} {argument}"));
        host.wait_for_log(&format!("'{command}' has been running for "));
        later
    });
    let count = host.log().matches("'linger' has been running for ").count();
    assert_eq!(count, 1, "{}", host.log());
}

#[test]
fn replies_beyond_backlog_are_sent_within_batch() {
    let host = host(&["--max-backlog", "16"]);
    let (mut client, text) = (Resp::connect(&host), "more than sixteen bytes");
    let echo = dropin_tests::resp::encode(&["echo", text]);
    // The last command of the batch does not end: replies that are not sent before it are never
    // sent.
    client.send([echo.repeat(100), dropin_tests::resp::encode(&["linger", "600000"])].concat());
    (0..100).for_each(|_| assert_eq!(client.frame(), Frame::text(text)));
}

#[test]
fn trusted_client_must_finish_tls_handshake() {
    let host = host(&["--login-timeout", "0.4"]);
    let mut client = Connection::connect(host.v4());
    client.send(b"\x16\x03\x01");
    client.wait_for_end();
    assert_eq!(Lines::connect(&host).ask("ping"), "PONG");
}

/// Starts a host that may have this many threads in total.
#[cfg(target_os = "linux")]
fn with_threads(count: usize, flags: &[&str]) -> Host {
    use std::os::unix::fs::chown;
    // The system counts the threads of a user, and does not limit root.
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let user = 700_000
        + dropin_tests::system::own_number() % 50_000
        + NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let setup = Setup::new().plugins(&["text", "busy"]).flags(flags);
    let folder = setup.plugins_folder();
    let above = folder.parent().unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(above, open).unwrap();
    for path in [above.to_owned(), folder.clone()]
        .into_iter()
        .chain(std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()))
    {
        chown(path, Some(user), Some(user)).unwrap();
    }
    let (user, count) = (format!("--reuid={user}"), format!("--nproc={count}"));
    let command = ["setpriv", &user, "--clear-groups", "prlimit", &count];
    setup.started_by(&command).start()
}

#[cfg(target_os = "linux")]
#[test]
#[cfg_attr(
    not(all(tool = "prlimit", tool = "setpriv", right = "root")),
    ignore = "needs prlimit, setpriv and root"
)]
fn out_of_threads_host_rejects_newcomers_and_recovers() {
    let host = with_threads(30, &["--threads", "per-client"]);
    let (mut clients, mut rejected) = (Vec::new(), 0);
    let said = "-ERR the server is out of threads, try later";
    wait_until("the host is out of threads", LIMIT, || {
        let mut client = Lines::connect(&host);
        let answer = client.first_line("ping");
        assert!(answer == "PONG" || answer.trim_end() == said, "{answer}");
        clients.push(client);
        rejected += usize::from(answer != "PONG");
        rejected == 2
    });
    assert_eq!(clients[0].ask("echo 'still served'"), "still served");
    assert_eq!(clients[1].ask("echo 'still served'"), "still served");
    host.wait_for_log("rejected: cannot start a thread");
    clients.truncate(3);
    assert_session_served(&host);
    assert_eq!(clients[0].ask("echo 'all the time'"), "all the time");
}

#[cfg(target_os = "linux")]
#[test]
#[cfg_attr(
    not(all(tool = "prlimit", tool = "setpriv", right = "root")),
    ignore = "needs prlimit, setpriv and root"
)]
fn shared_threads_that_run_out_reject_newcomers() {
    let host = with_threads(30, &["--threads", "shared"]);
    let gate = host.state_dir().join("gate");
    let mut held = Vec::new();
    wait_until("the host is out of threads", LIMIT, || {
        let mut client = Lines::connect(&host);
        client.say(&format!("hold '{}'", gate.display()));
        held.push(client);
        host.logged("rejected: cannot start a thread").is_some()
    });
    let said = "-ERR the server is out of threads, try later";
    assert_eq!(held.pop().unwrap().line().trim_end(), said);
    std::fs::write(&gate, "").unwrap();
    for mut client in held {
        // Each was served, or told.
        let answer = client.line();
        assert!(answer == "held" || answer.trim_end() == said, "{answer}");
    }
    assert_session_served(&host);
}
