//! Sessions that share threads: none is served twice, forgotten, or held up by another.

use std::sync::atomic::{AtomicBool, Ordering};

use dropin_tests::{Frame, Host, LIMIT, Lines, Resp, Setup, resp::encode, wait_until};

/// More than there are processors.
const MANY: usize = 24;

fn shared(plugins: &[&str]) -> Host {
    Setup::new().plugins(plugins).flags(&["--threads", "shared"]).start()
}

#[test]
fn blocked_workers_hold_nobody_up() {
    let host = shared(&["busy", "text"]);
    let gate = host.state_dir().join("gate");
    let mut resting: Vec<_> = (0..MANY).map(|_| Lines::connect(&host)).collect();
    assert!(resting.iter_mut().all(|client| client.ask("ping") == "PONG"));
    let mut held: Vec<_> = (0..MANY).map(|_| Lines::connect(&host)).collect();
    for client in &mut held {
        client.say(&format!("hold '{}'", gate.display()));
    }
    wait_until("all workers block", LIMIT, || host.log().matches("holding for ").count() == MANY);
    for round in 0..3 {
        for client in &mut resting {
            assert_eq!(client.ask(&format!("echo {round}")), round.to_string());
        }
        assert_eq!(Lines::connect(&host).ask("echo new"), "new");
    }
    // A request that arrives while a worker runs waits for it, and is answered once.
    held.iter_mut().for_each(|client| client.say("echo behind"));
    std::fs::write(&gate, "").unwrap();
    for client in &mut held {
        assert_eq!(client.line(), "held");
        assert_eq!(client.line(), "behind");
        assert_eq!(client.ask("echo again"), "again");
    }
}

#[test]
fn sessions_survive_many_changes_of_leader() {
    let host = shared(&["busy", "text"]);
    std::thread::scope(|scope| {
        for number in 0..MANY {
            let host = &host;
            scope.spawn(move || {
                let mut client = Resp::connect(host);
                for turn in 0..40 {
                    // About as long as it takes to lose the waiting.
                    let time = ((number + turn) % 4).to_string();
                    client.say(&["block", &time]);
                    client.say(&["echo", &format!("{number}-{turn}")]);
                    assert_eq!(client.frame(), "blocked".into());
                    assert_eq!(client.frame(), Frame::text(format!("{number}-{turn}")));
                }
            });
        }
    });
    wait_until("all have gone", LIMIT, || Lines::connect(&host).ask_all("client list").len() == 1);
}

#[cfg(target_os = "linux")]
#[test]
fn resting_sessions_have_no_threads() {
    use dropin_tests::system::threads;
    let host = shared(&["text"]);
    let mut clients: Vec<_> = (0..300).map(|_| Resp::connect(&host)).collect();
    for client in &mut clients {
        assert_eq!(client.ask(&["echo", "x"]), "x".into());
    }
    wait_until("no thread is left of them", LIMIT, || threads(host.pid()).len() < 40);
    for client in &mut clients {
        assert_eq!(client.ask(&["echo", "y"]), "y".into());
    }
}

#[test]
fn endless_pipeline_keeps_nobody_waiting() {
    let host = shared(&["text"]);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = Resp::connect(&host);
                let batch = encode(&["echo", "more"]).repeat(1_000);
                while !is_over.load(Ordering::SeqCst) {
                    client.send(&batch);
                    (0..1_000).for_each(|_| assert_eq!(client.frame(), "more".into()));
                }
            });
        }
        let mut other = Lines::connect(&host);
        for turn in 0..200 {
            assert_eq!(other.ask(&format!("echo {turn}")), turn.to_string());
        }
        is_over.store(true, Ordering::SeqCst);
    });
}

#[test]
fn unfinished_requests_rest_with_their_session() {
    let host = shared(&["text"]);
    let mut clients: Vec<_> = (0..MANY).map(|_| Resp::connect(&host)).collect();
    let texts: Vec<_> = (0..MANY).map(|n| format!("{n}-").repeat(20_000)).collect();
    let requests: Vec<_> = texts.iter().map(|text| encode(&["echo", text])).collect();
    for part in 0..10 {
        for (client, request) in clients.iter_mut().zip(&requests) {
            let length = request.len().div_ceil(10);
            client.send(request.chunks(length).nth(part).unwrap_or_default());
        }
    }
    for (client, text) in clients.iter_mut().zip(&texts) {
        assert_eq!(client.frame(), Frame::text(text));
        assert_eq!(client.ask(&["echo", "short"]), "short".into());
    }
}

#[test]
fn deadlines_hold_beside_blocking_workers() {
    let flags = ["--threads", "shared", "--idle-timeout", "5"];
    let host = Setup::new().plugins(&["busy"]).flags(&flags).start();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let mut client = Lines::connect(&host);
                while !is_over.load(Ordering::SeqCst) {
                    assert_eq!(client.ask("block 3"), "blocked");
                }
            });
        }
        let mut silent: Vec<_> = (0..150).map(|_| Lines::connect(&host)).collect();
        for client in &mut silent {
            let said = "error: nothing was sent for 5 s, the connection is closed";
            assert_eq!(client.end(), [said]);
        }
        is_over.store(true, Ordering::SeqCst);
    });
}
