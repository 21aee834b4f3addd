//! Tests of the effects of transactions: between others, over reloads and over ends.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use dropin_tests::{
    Frame, Host, LIMIT, Resp,
    reload::variant,
    resp::encode,
    system::{self, unused_port},
    wait_for, wait_until,
};

use super::*;

/// Ends the other threads of a test, also if it fails.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Increments at full speed until the stop, and returns the number of increments.
fn increment(host: &Host, stop: &AtomicBool, count: &AtomicU64) {
    let mut client = Resp::connect(host);
    let batch = encode(&["incr", "a"]).repeat(10);
    while !stop.load(Ordering::Relaxed) {
        client.send(&batch);
        for _ in 0..10 {
            assert!(client.frame().as_integer() > 0);
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn no_other_writing_command_runs_in_between() {
    for flags in PLACES {
        let host = start(flags);
        let (stop, count) = (AtomicBool::new(false), AtomicU64::new(0));
        thread::scope(|scope| {
            let _end = StopAtEnd(&stop);
            scope.spawn(|| increment(&host, &stop, &count));
            let mut client = Resp::connect(&host);
            wait_until("the other session writes", LIMIT, || count.load(Ordering::Relaxed) > 0);
            let (mut last, mut mixed) = (0, 0);
            for _ in 0..10_000 {
                let replies = run(&mut client, &[&["incr", "a"], &["get", "a"], &["incr", "a"]]);
                let [Frame::Integer(one), read, Frame::Integer(two)] = replies.items() else {
                    panic!("{replies:?}")
                };
                assert_eq!(one + 1, *two, "{flags:?}");
                assert_eq!(*read, one.to_string().as_str().into(), "{flags:?}");
                mixed += i32::from(*one > last + 1);
                last = *two;
                if mixed >= 50 {
                    break;
                }
            }
            assert!(mixed >= 50, "the sessions hardly met: {mixed}");
        });
    }
}

#[test]
fn transactions_lose_nothing_while_plugin_is_replaced() {
    for flags in PLACES {
        let host = start(flags);
        let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
        thread::scope(|scope| {
            let _end = StopAtEnd(&stop);
            let sessions: Vec<_> = (0..3)
                .map(|_| {
                    scope.spawn(|| {
                        let mut client = Resp::connect(&host);
                        while !stop.load(Ordering::Relaxed) {
                            let commands: [&[&str]; 3] =
                                [&["incr", "a"], &["get", "a"], &["incr", "a"]];
                            let replies = run(&mut client, &commands);
                            let [Frame::Integer(one), read, Frame::Integer(two)] = replies.items()
                            else {
                                panic!("{replies:?}")
                            };
                            assert_eq!(one + 1, *two);
                            assert_eq!(*read, one.to_string().as_str().into());
                            done.fetch_add(1, Ordering::Relaxed);
                        }
                    })
                })
                .collect();
            for number in 0..5 {
                let before = done.load(Ordering::Relaxed);
                wait_until("transactions run", LIMIT, || {
                    assert!(!sessions.iter().any(|one| one.is_finished()), "see above");
                    done.load(Ordering::Relaxed) > before + 20
                });
                let generation = host.figure("store", "generation");
                host.place("store", &variant("store", number));
                wait_until("the plugin is replaced", LIMIT, || {
                    host.figure("store", "generation") > generation
                });
            }
        });
        let sum = Resp::connect(&host).ask(&["get", "a"]).as_str().parse();
        assert_eq!(sum, Ok(2 * done.load(Ordering::Relaxed)), "{flags:?}");
    }
}

#[cfg(unix)]
#[test]
fn process_ends_in_between_and_keeps_no_command() {
    let host = Setup::new().plugins(&["store", "busy"]).flags(&["--isolate", "store"]).start();
    let (mut client, mut other) = (Resp::connect(&host), Resp::connect(&host));
    let id = client.ask(&["client", "id"]).as_integer().to_string();
    assert_eq!(client.ask(&["set", "before", "1"]), Frame::ok());
    client.send(transaction(&[&["set", "a", "1"], &["linger", "600000"], &["set", "b", "1"]]));
    host.wait_for_log("lingering for ");
    let pids = host.info("store").get("pids").map(|pids| pids.items()[0].as_integer());
    system::kill(u32::try_from(pids.unwrap()).unwrap());
    assert_eq!(other.ask(&["client", "cancel", &id]), 1.into());
    assert_eq!(client.frame(), Frame::ok());
    assert_eq!([client.frame(), client.frame(), client.frame()], [queued(), queued(), queued()]);
    let text = "CRASHED plugin 'store': its process ended while the transaction ran; it keeps none \
                of the commands in it";
    assert_eq!(client.frame(), Frame::error(text));
    wait_until("the next process serves", LIMIT, || client.ask(&["exists", "before"]) == 1.into());
    assert_eq!(client.ask(&["exists", "a", "b"]), 0.into());
}

#[cfg(target_os = "linux")]
#[test]
fn lost_process_loses_no_acknowledged_command() {
    // With the timeout, a command waits for a process longer than the process for its turn.
    let host = start(&["--isolate", "store", "--probe-timeout", "60"]);
    let (stop, done, sum) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        let _end = StopAtEnd(&stop);
        for _ in 0..2 {
            scope.spawn(|| {
                let mut client = Resp::connect(&host);
                while !stop.load(Ordering::Relaxed) {
                    let commands: [&[&str]; 4] =
                        [&["incr", "a"], &["get", "a"], &["incr", "a"], &["incr", "a"]];
                    match run(&mut client, &commands) {
                        Frame::List(replies) => {
                            let sums =
                                replies.iter().filter(|reply| matches!(reply, Frame::Integer(_)));
                            assert_eq!(sums.count(), 3, "{replies:?}");
                            sum.fetch_add(3, Ordering::Relaxed);
                            done.fetch_add(1, Ordering::Relaxed);
                        }
                        // Nothing has run, or nothing is kept.
                        Frame::Error(problem) => {
                            let kinds = ["UNAVAILABLE ", "CRASHED "];
                            assert!(
                                kinds.iter().any(|kind| problem.starts_with(kind)),
                                "{problem}"
                            );
                        }
                        reply => panic!("{reply:?}"),
                    }
                }
            });
        }
        let flow = || {
            let before = done.load(Ordering::Relaxed);
            wait_until("transactions run", LIMIT, || done.load(Ordering::Relaxed) > before + 20);
        };
        for _ in 0..3 {
            flow();
            let pids = || match host.info("store").get("pids").map(Frame::items) {
                Some([pid]) => u32::try_from(pid.as_integer()).ok(),
                _ => None,
            };
            let pid = wait_for("a process serves", LIMIT, pids);
            system::kill(pid);
            wait_until("another one serves", LIMIT, || pids().is_some_and(|new| new != pid));
        }
        // None runs while one waits for a process that waits for the turn.
        flow();
    });
    let log = host.log();
    assert!(!log.contains("a command that writes did not end within"), "{log}");
    let kept = Resp::connect(&host).ask(&["get", "a"]).as_str().parse();
    assert_eq!(kept, Ok(sum.load(Ordering::Relaxed)));
}

#[test]
fn command_gone_at_exec_discards_transaction() {
    let host = start(&[]);
    let (mut client, mut admin) = (Resp::connect(&host), Resp::connect(&host));
    assert_eq!(client.ask(&["multi"]), Frame::ok());
    assert_eq!(client.ask(&["set", "a", "1"]), queued());
    assert_eq!(client.ask(&["echo", "a"]), queued());
    admin.ask(&["plugin", "disable", "text"]);
    host.wait_until_unknown("echo");
    let Frame::Error(refusal) = client.ask(&["exec"]) else { panic!("it has run") };
    assert!(refusal.starts_with("EXECABORT ") && refusal.contains("'echo'"), "{refusal}");
    assert_eq!(client.ask(&["exists", "a"]), 0.into());
}

#[cfg(unix)]
#[test]
fn killed_host_has_whole_transactions_only() {
    for flags in PLACES {
        let (port, state) = (unused_port(), tempfile::tempdir().unwrap());
        let setup = || {
            let folder = state.path().join("host");
            Setup::new().port(port).state_dir(&folder).plugins(&["store", "text"]).flags(flags)
        };
        let mut host = setup().start();
        let (stop, done) = (AtomicBool::new(false), [(); 3].map(|()| AtomicU64::new(0)));
        thread::scope(|scope| {
            let (stop, _end) = (&stop, StopAtEnd(&stop));
            for (number, done) in done.iter().enumerate() {
                let mut client = Resp::connect(&host);
                scope.spawn(move || {
                    let [one, other] = [format!("one{number}"), format!("other{number}")];
                    let batch = transaction(&[&["incr", &one], &["echo", ""], &["incr", &other]]);
                    // Until the host is gone, with several transactions on their way.
                    let is_sent = |client: &Resp| {
                        std::io::Write::write_all(&mut client.stream(), &batch).is_ok()
                    };
                    let mut rounds = 0;
                    while !stop.load(Ordering::Relaxed) && is_sent(&client) {
                        rounds += 1;
                        let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                            [(); 5].map(|()| client.frame())
                        }));
                        let Ok([.., replies]) = read else { break };
                        let sums =
                            [replies.items()[0].as_integer(), replies.items()[2].as_integer()];
                        assert_eq!(sums, [rounds, rounds]);
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            wait_until("transactions run", LIMIT, || {
                done.iter().all(|done| done.load(Ordering::Relaxed) > 20)
            });
            host.kill();
        });
        drop(host);
        let host = setup().start();
        let mut client = Resp::connect(&host);
        for (number, done) in done.iter().enumerate() {
            let [one, other] = ["one", "other"].map(|name| {
                let value = client.ask(&["get", &format!("{name}{number}")]);
                value.as_str().parse::<u64>().unwrap()
            });
            assert_eq!(one, other, "{flags:?}");
            let done = done.load(Ordering::Relaxed);
            assert!((done..=done + 1).contains(&one), "{done} are done, {one} are kept");
        }
    }
}
