//! Two hundred concurrent clients.

use std::thread;

use dropin_tests::{
    Connection, Frame, Host, LIMIT, Lines, NOTICE, Resp, SHIPPED, Setup, resp::encode, wait_until,
};

const CLIENTS: usize = 200;

/// A client of any kind.
enum Client {
    Lines(Lines),
    Resp2(Resp),
    Resp3(Resp),
}

impl Client {
    /// Connects one of the three kinds, over one of the two families, in turn.
    fn connect(host: &Host, number: usize) -> Self {
        let address = if number.is_multiple_of(2) { host.v4() } else { host.v6() };
        match number % 3 {
            0 => Self::Lines(Lines::connect_to(address)),
            1 => Self::Resp2(Resp::connect_to(address)),
            _ => {
                let mut client = Resp::connect_to(address);
                assert!(matches!(client.ask(&["HELLO", "3"]), Frame::Map(_)));
                Self::Resp3(client)
            }
        }
    }

    fn ask(&mut self, words: &[&str]) -> Frame {
        match self {
            Self::Lines(client) => Frame::text(client.ask(&words.join(" "))),
            Self::Resp2(client) | Self::Resp3(client) => client.ask(words),
        }
    }

    fn say(&mut self, words: &[&str]) {
        match self {
            Self::Lines(client) => client.say(&words.join(" ")),
            Self::Resp2(client) | Self::Resp3(client) => client.say(words),
        }
    }

    fn into_connection(self) -> Connection {
        match self {
            Self::Lines(client) => client.into_connection(),
            Self::Resp2(client) | Self::Resp3(client) => client.into_connection(),
        }
    }

    /// Checks for the pending error, the notice, and nothing more.
    fn assert_error_and_notice(self) {
        match self {
            Self::Lines(mut client) => {
                assert_eq!(client.end(), ["error: CANCELLED lingered no longer", NOTICE]);
            }
            Self::Resp2(mut client) => assert_eq!(
                client.end(),
                [
                    Frame::error("CANCELLED lingered no longer"),
                    Frame::error(&format!("SHUTDOWN {NOTICE}"))
                ]
            ),
            Self::Resp3(mut client) => assert_eq!(
                client.end(),
                [
                    Frame::error("CANCELLED lingered no longer"),
                    Frame::Push(vec!["notice".into(), NOTICE.into()])
                ]
            ),
        }
    }
}

#[test]
fn two_hundred_mixed_clients_are_served_concurrently() {
    let host = Host::start(&SHIPPED);
    let mut clients: Vec<_> = (0..CLIENTS).map(|number| Client::connect(&host, number)).collect();
    thread::scope(|scope| {
        for (number, client) in clients.iter_mut().enumerate() {
            scope.spawn(move || {
                for turn in 0..20 {
                    let text = format!("client-{number}-turn-{turn}");
                    assert_eq!(client.ask(&["echo", &text]), Frame::text(&text));
                    client.ask(&["incr", "turns"]);
                }
            });
        }
    });
    let mut observer = Resp::connect(&host);
    assert_eq!(observer.ask(&["get", "turns"]), "4000".into());
    assert_eq!(observer.ask(&["clients"]).items().len(), CLIENTS + 1);
    #[cfg(target_os = "linux")]
    assert!(dropin_tests::system::has_session_threads(host.pid(), CLIENTS + 1));
    drop(clients);
    wait_until("all have gone", LIMIT, || observer.ask(&["clients"]).items().len() == 1);
    #[cfg(target_os = "linux")]
    wait_until("their threads too", LIMIT, || {
        dropin_tests::system::has_session_threads(host.pid(), 1)
    });
}

#[test]
fn ks_answers_remaining_clients_when_half_reset() {
    let mut host = Setup::new().plugins(&["busy"]).flags(&["--grace", "20"]).start();
    let mut clients: Vec<_> = (0..CLIENTS).map(|number| Client::connect(&host, number)).collect();
    clients.iter_mut().for_each(|client| client.say(&["linger", "600000"]));
    wait_until("all are in the middle of it", LIMIT, || {
        host.log().matches("lingering for").count() == CLIENTS
    });
    let mut asker = Lines::connect(&host);
    let (mut doomed, mut staying) = (Vec::new(), Vec::new());
    for (number, client) in clients.into_iter().enumerate() {
        if number % 4 < 2 { doomed.push(client) } else { staying.push(client) }
    }
    thread::scope(|scope| {
        scope.spawn(|| doomed.into_iter().for_each(|client| client.into_connection().reset()));
        scope.spawn(|| asker.say("ks"));
    });
    assert_eq!(asker.end(), ["OK", NOTICE]);
    staying.into_iter().for_each(Client::assert_error_and_notice);
    assert_eq!(host.exit(), Some(0));
    assert!(!host.log().contains("panicked"));
}

#[test]
fn client_churn_leaks_nothing() {
    let host = Host::start(&["text", "server"]);
    let mut observer = Lines::connect(&host);
    #[cfg(target_os = "linux")]
    let sockets_before = {
        observer.ask("ping");
        dropin_tests::system::sockets(host.pid())
    };
    thread::scope(|scope| {
        for worker in 0..8 {
            let host = &host;
            scope.spawn(move || {
                for turn in 0..50 {
                    let mut client = Resp::connect(host);
                    match (worker + turn) % 4 {
                        0 => drop(client),
                        1 => client.into_connection().reset(),
                        2 => {
                            client.send(encode(&["echo", "x"]).repeat(10));
                            client.into_connection().reset();
                        }
                        _ => {
                            assert_eq!(client.ask(&["echo", "x"]), "x".into());
                            client.say(&["close"]);
                            assert_eq!(client.end(), [Frame::ok()]);
                        }
                    }
                }
            });
        }
    });
    wait_until("all have gone", LIMIT, || observer.ask_all("clients").len() == 1);
    #[cfg(target_os = "linux")]
    wait_until("their threads and sockets too", LIMIT, || {
        use dropin_tests::system::{has_session_threads, sockets};
        has_session_threads(host.pid(), 1) && sockets(host.pid()) == sockets_before
    });
}
