//! `plugin watch`: a subscribed session gets the events of plugins.

use dropin_tests::{Frame, Host, Lines, Resp, files, resp::encode};
use socket2::SockRef;

use super::{host_with, replace, setup, setup_with};

/// Returns a subscribed session.
fn watcher(host: &Host) -> Resp {
    let mut client = Resp::connect3(host);
    assert_eq!(client.ask(&["plugin", "watch"]), Frame::ok());
    client
}

/// The content of a push.
struct Event {
    name: String,
    plugin: String,
    generation: String,
    detail: String,
}

/// Returns the next event.
#[track_caller]
fn next_event(client: &mut Resp) -> Event {
    match client.frame() {
        Frame::Push(items) => match items.as_slice() {
            [kind, event, plugin, generation, detail] => {
                assert_eq!(kind.as_str(), "plugin");
                let text = |item: &Frame| item.as_str().to_owned();
                Event {
                    name: text(event),
                    plugin: text(plugin),
                    generation: text(generation),
                    detail: text(detail),
                }
            }
            other => panic!("not an event of a plugin: {other:?}"),
        },
        other => panic!("not a push: {other:?}"),
    }
}

/// Checks the next events.
#[track_caller]
fn assert_events(client: &mut Resp, expected: &[(&str, &str)]) {
    for (name, generation) in expected {
        let event = next_event(client);
        let found = (event.name.as_str(), event.plugin.as_str(), event.generation.as_str());
        assert_eq!(found, (*name, "chameleon", *generation));
    }
}

#[test]
fn every_event_is_pushed_with_plugin_and_generation() {
    let host = setup().plugins(&["text"]).start();
    let (mut one, mut other) = (watcher(&host), watcher(&host));
    replace(&host, "chameleon", "1");
    assert_events(&mut one, &[("loaded", "1")]);
    assert_events(&mut other, &[("loaded", "1")]);
    replace(&host, "chameleon", "2");
    let swap = [("swapped", "2"), ("drained", "1"), ("unloaded", "1")];
    assert_events(&mut one, &swap);
    assert_events(&mut other, &swap);
    host.place("chameleon", b"no library at all");
    for client in [&mut one, &mut other] {
        let Event { name, plugin, detail, .. } = next_event(client);
        assert_eq!((name.as_str(), plugin.as_str()), ("refused", "chameleon"));
        assert!(detail.starts_with("the system's loader does not take it: "), "{detail}");
    }
    files::remove(host.library("chameleon"));
    let end = [("withdrawn", "2"), ("drained", "2"), ("unloaded", "2")];
    assert_events(&mut one, &end);
    assert_events(&mut other, &end);
}

#[test]
fn operator_actions_are_pushed() {
    let host = host_with("chameleon", "1");
    let (mut client, mut operator) = (watcher(&host), Lines::connect(&host));
    replace(&host, "chameleon", "2");
    assert_events(&mut client, &[("swapped", "2"), ("drained", "1"), ("unloaded", "1")]);
    assert!(operator.ask("plugin rollback chameleon").contains("generation 3"));
    assert_events(&mut client, &[("swapped", "3"), ("drained", "2"), ("unloaded", "2")]);
    assert!(operator.ask("plugin reload chameleon").contains("generation 4"));
    assert_events(&mut client, &[("swapped", "4"), ("drained", "3"), ("unloaded", "3")]);
    assert!(operator.ask("plugin disable chameleon").contains("disabled"));
    assert_events(&mut client, &[("withdrawn", "4"), ("drained", "4"), ("unloaded", "4")]);
    assert!(operator.ask("plugin enable chameleon").contains("generation 5"));
    assert_events(&mut client, &[("loaded", "5")]);
}

#[test]
fn subscriber_can_still_send_commands() {
    let host = host_with("chameleon", "1");
    let mut client = watcher(&host);
    let (mut pushes, mut last) = (0, String::new());
    for number in 2..6 {
        replace(&host, "chameleon", &number.to_string());
        while last != number.to_string() {
            client.say(&["colour"]);
            last = loop {
                match client.frame() {
                    Frame::Push(_) => pushes += 1,
                    reply => break reply.as_str().to_owned(),
                }
            };
        }
    }
    // All swaps except perhaps the last were reported before the replies of the new code.
    assert!(pushes >= 3, "{pushes}");
    // Commands before and behind it in one batch are answered in order.
    client.send(
        "*1\r\n$6\r\ncolour\r\n*2\r\n$6\r\nplugin\r\n$7\r\nunwatch\r\n*1\r\n$6\r\ncolour\r\n",
    );
    let replies = |client: &mut Resp| loop {
        match client.frame() {
            Frame::Push(_) => {}
            reply => return reply,
        }
    };
    assert_eq!(replies(&mut client), "5".into());
    assert_eq!(replies(&mut client), Frame::ok());
    assert_eq!(replies(&mut client), "5".into());
}

#[test]
fn only_resp3_carries_it() {
    let host = host_with("chameleon", "1");
    let why = "watching takes RESP3: send HELLO 3 first";
    let mut lines = Lines::connect(&host);
    assert_eq!(lines.ask("plugin watch"), format!("error: {why}"));
    let mut client = Resp::connect(&host);
    assert_eq!(client.ask(&["plugin", "watch"]), Frame::error(&format!("ERR {why}")));
    replace(&host, "chameleon", "2");
    host.wait_for_answer("colour", "2");
    assert_eq!(lines.ask("ping"), "PONG");
    assert_eq!(client.ask(&["ping"]), Frame::Status("PONG".into()));
}

/// Runs a function, and checks that this session gets no event.
#[track_caller]
fn assert_no_event(host: &Host, client: &mut Resp) {
    let mut other = watcher(host);
    replace(host, "chameleon", "next");
    assert_events(&mut other, &[("swapped", "2"), ("drained", "1"), ("unloaded", "1")]);
    assert_eq!(client.ask(&["ping", "nothing"]), "nothing".into());
}

#[test]
fn unwatch_ends_it() {
    let host = host_with("chameleon", "1");
    let mut client = watcher(&host);
    assert_eq!(client.ask(&["plugin", "unwatch"]), Frame::ok());
    assert_no_event(&host, &mut client);
    // Without a subscription this is no error either.
    assert_eq!(client.ask(&["plugin", "unwatch"]), Frame::ok());
}

#[test]
fn reset_ends_it() {
    let host = host_with("chameleon", "1");
    let mut client = watcher(&host);
    assert_eq!(client.ask(&["reset"]), Frame::Status("RESET".into()));
    assert_no_event(&host, &mut client);
}

#[test]
fn switch_to_resp2_stops_push_messages() {
    let host = host_with("chameleon", "1");
    let mut client = watcher(&host);
    assert!(client.ask(&["HELLO", "2"]).get("proto") == Some(&2.into()));
    assert_no_event(&host, &mut client);
}

#[test]
fn to_watch_twice_is_to_watch_once() {
    let host = host_with("chameleon", "1");
    let mut client = watcher(&host);
    assert_eq!(client.ask(&["plugin", "watch"]), Frame::ok());
    replace(&host, "chameleon", "2");
    assert_events(&mut client, &[("swapped", "2"), ("drained", "1"), ("unloaded", "1")]);
    assert_eq!(client.ask(&["ping", "nothing"]), "nothing".into());
}

#[test]
fn subscriber_is_notified_of_shutdown() {
    let mut host = host_with("chameleon", "1");
    let mut client = watcher(&host);
    assert_eq!(host.ks(), Some(0));
    let last = client.end().pop();
    assert_eq!(last, Some(Frame::Push(vec!["notice".into(), dropin_tests::NOTICE.into()])));
}

#[test]
fn subscriber_that_never_reads_blocks_nobody() {
    // Number of events that the host keeps for a session that cannot write them.
    const KEPT: usize = 256;
    const RELOADS: usize = KEPT / 3 + 5;
    const LARGE: usize = 16;
    let setup = setup_with("chameleon", "1").plugins(&["store"]);
    let host = setup.flags(&["--write-timeout", "600"]).start();
    let large = "x".repeat(1 << 20);
    assert_eq!(Resp::connect(&host).ask(&["set", "large", &large]), Frame::ok());
    let mut silent = [watcher(&host), watcher(&host)];
    for client in &mut silent {
        // More than the system buffers for a client that does not read: its session blocks.
        SockRef::from(client.stream()).set_recv_buffer_size(64 << 10).unwrap();
        client.send(encode(&["get", "large"]).repeat(LARGE));
        assert!(client.frame() == Frame::text(&large), "its batch has begun");
    }
    watcher(&host).into_connection().reset();
    let (mut reader, mut operator) = (watcher(&host), Lines::connect(&host));
    for number in 2..RELOADS + 2 {
        let (new, old) = (number.to_string(), (number - 1).to_string());
        let said = operator.ask("plugin reload chameleon");
        assert!(said.contains(&format!("generation {new}")), "{said}");
        assert_events(&mut reader, &[("swapped", &new), ("drained", &old), ("unloaded", &old)]);
    }
    for mut client in silent {
        for _ in 1..LARGE {
            assert!(client.frame() == Frame::text(&large));
        }
        for number in 0..KEPT {
            let Event { name: event, generation, .. } = next_event(&mut client);
            let expected = ["swapped", "drained", "unloaded"][number % 3];
            let swapped = number / 3 + 2 - usize::from(number % 3 > 0);
            assert_eq!((event.as_str(), generation), (expected, swapped.to_string()));
        }
        let missed = (RELOADS * 3 - KEPT).to_string();
        let expected = ["plugin", "missed", &missed].map(Frame::from);
        assert_eq!(client.frame(), Frame::Push(expected.to_vec()));
    }
}
