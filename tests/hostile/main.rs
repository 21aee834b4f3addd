//! All hostile clients at once, beside sessions that must be served meanwhile. It is a program of
//! its own, since tests beside it would suffer.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod hostile;

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use dropin_tests::{
    Connection, Frame, Host, LIMIT, Resp, Setup,
    cable::{Cable, HOST},
    system, wait_until,
};
use hostile::{Attackers, KINDS, flood};

/// Number of well-behaved sessions.
const SESSIONS: usize = 20;

/// The smallest number of connections that counts as a flood; an idle machine makes more than
/// twenty times as many.
const LEAST: u32 = 2_000;

/// Pause between two requests of a well-behaved session, which leaves the processor to the others.
const PAUSE: Duration = Duration::from_millis(2);

/// Runs a well-behaved session until it is stopped: every request must succeed.
fn run_session(connection: Connection, number: usize, stop: &AtomicBool, served: &AtomicUsize) {
    let mut client = Resp::from_connection(connection);
    let key = format!("guest-{number}");
    let mut turns = 0;
    while !stop.load(Ordering::Relaxed) {
        turns += 1;
        assert_eq!(client.ask(&["incr", &key]), Frame::Integer(turns));
        let text = format!("{key} {turns}");
        assert_eq!(client.ask(&["echo", &text]), Frame::text(&text));
        served.fetch_add(1, Ordering::Relaxed);
        thread::park_timeout(PAUSE);
    }
}

fn renegotiate(cable: &Cable, host: &Host) {
    let mut words = cable.client_end().into_iter().chain(["openssl", "s_client", "-tls1_2"]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args(["-connect", &format!("{HOST}:{}", host.port())]);
    // A line that begins with R makes `openssl` ask for a new handshake.
    // Beside the flood the first handshake may fail.
    wait_until("openssl asks for a new handshake", LIMIT, || {
        let output = dropin_tests::tool::run(&mut command, b"R\nping\nR\n");
        let said = String::from_utf8_lossy(&output.stderr);
        eprintln!("{said}");
        said.contains("RENEGOTIATING")
    });
}

#[test]
#[cfg_attr(
    not(all(tool = "openssl", tool = "ip", right = "namespaces")),
    ignore = "needs openssl, ip and network namespaces"
)]
fn sessions_are_served_beside_attackers() {
    let cable = Cable::create();
    let flags = ["--login-timeout", "4", "--write-timeout", "3"];
    let setup = Setup::new().plugins(&["text", "store"]).log_level("info").flags(&flags);
    let mut host = setup.started_by(&cable.host_end()).start();
    let (stop, served) = (Arc::<AtomicBool>::default(), AtomicUsize::new(0));
    let guests: Vec<_> = (0..SESSIONS).map(|_| cable.connect_locally(host.v4())).collect();
    let flooded = thread::scope(|scope| {
        for (number, guest) in guests.into_iter().enumerate() {
            let (stop, served) = (&stop, &served);
            scope.spawn(move || {
                let ended = StopOnDrop(stop);
                run_session(guest, number, stop, served);
                drop(ended);
            });
        }
        let address = (HOST.parse::<std::net::IpAddr>().unwrap(), host.port()).into();
        let attackers = Attackers::new(address, &stop);
        let joined: Vec<_> =
            KINDS.iter().map(|kind| cable.at_client_end(attackers.clone(), *kind)).collect();
        let before = served.load(Ordering::Relaxed);
        let flooded = cable.at_client_end(attackers.clone(), flood);
        renegotiate(&cable, &host);
        cable.vanish(host.port());
        let flooded = flooded.join().unwrap();
        wait_until("guests are served", LIMIT, || {
            served.load(Ordering::Relaxed) > before + SESSIONS
        });
        stop.store(true, Ordering::Relaxed);
        for (kind, stranger) in joined.into_iter().enumerate() {
            assert!(
                stranger.join().unwrap() > 0,
                "hostile clients of kind {kind} have done nothing"
            );
        }
        flooded
    });
    let served = served.load(Ordering::Relaxed);
    assert!(flooded >= LEAST, "only {flooded} connections in the flood");
    println!("{flooded} connections in the flood, {} requests of guests served", 2 * served);
    assert!(served > SESSIONS, "the guests were hardly served");
    wait_until("no client is left", LIMIT, || system::has_session_threads(host.pid(), 0));
    let lines = host.log().lines().count();
    assert!(lines < 200, "{lines} lines in the log:\n{}", host.log());
    assert!(!host.log().contains("panicked"));
    let mut guest = Resp::from_connection(cable.connect_locally(host.v4()));
    assert_eq!(guest.ask(&["ks"]), Frame::ok());
    assert_eq!(host.exit(), Some(0));
}

/// Stops all clients when one session fails, so that the test ends.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
