//! Pending replies at the shutdown reach their clients.

use std::{
    io::{Read, Write},
    thread,
};

use dropin_tests::{Frame, Host, LIMIT, Lines, NOTICE, Resp, Setup, resp::encode, wait_until};

/// Returns a host whose clients have long enough for their replies on a loaded machine.
#[track_caller]
fn patient(plugins: &[&str]) -> Host {
    Setup::new().plugins(plugins).flags(&["--grace", "60"]).start()
}

#[test]
fn waiting_call_gets_error_before_shutdown_notice() {
    let mut host = patient(&["clock", "busy"]);
    let mut sleeper = Lines::connect(&host);
    sleeper.say("sleep 600000");
    let mut lingerer = Resp::connect3(&host);
    lingerer.say(&["linger", "600000"]);
    host.wait_for_log("lingering for");
    assert_eq!(Lines::connect(&host).ask("ks"), "OK");
    assert_eq!(sleeper.end(), ["error: CANCELLED the sleep was cut short", NOTICE]);
    assert_eq!(
        lingerer.end(),
        [
            Frame::error("CANCELLED lingered no longer"),
            Frame::Push(vec!["notice".into(), NOTICE.into()])
        ]
    );
    assert_eq!(host.exit(), Some(0));
}

#[test]
fn received_batch_is_answered_completely() {
    let mut host = patient(&["busy", "text"]);
    let mut client = Lines::connect(&host);
    let batch: String = (0..2_000).map(|n| format!("echo {n}\n")).collect();
    client.send(format!("block 500\n{batch}"));
    host.wait_for_log("blocking for");
    assert_eq!(Lines::connect(&host).ask("ks"), "OK");
    let lines = client.end();
    assert_eq!(lines.len(), 2_002, "{:?}", lines.last());
    assert_eq!((lines[0].as_str(), lines[2_000].as_str()), ("blocked", "1999"));
    assert_eq!(lines[2_001], NOTICE);
    assert_eq!(host.exit(), Some(0));
}

#[test]
fn commands_after_ks_in_batch_are_answered() {
    let mut host = patient(&["clock", "text"]);
    let mut client = Resp::connect(&host);
    let words: [&[&str]; 5] =
        [&["echo", "a"], &["ks"], &["sleep", "600000"], &["echo", "b"], &["ks"]];
    client.send(words.iter().flat_map(|words| encode(words)).collect::<Vec<u8>>());
    assert_eq!(
        client.end(),
        [
            "a".into(),
            Frame::ok(),
            Frame::error("CANCELLED the sleep was cut short"),
            "b".into(),
            Frame::ok(),
            Frame::error(&format!("SHUTDOWN {NOTICE}")),
        ]
    );
    assert_eq!(host.exit(), Some(0));
}

#[test]
fn half_sent_reply_is_completed() {
    let mut host = patient(&["text", "store"]);
    let mut client = Resp::connect(&host);
    let value = vec![b'x'; 1 << 20];
    assert_eq!(client.ask(&[b"set", b"big", &value[..]]), Frame::ok());
    // More than the system buffers for a client that does not read.
    client.send(encode(&["get", "big"]).repeat(16));
    assert_eq!(Lines::connect(&host).ask("ks"), "OK");
    let frames = client.end();
    assert_eq!(frames.len(), 17);
    assert!(frames[..16].iter().all(|frame| *frame == Frame::text(&value)));
    assert_eq!(frames[16], Frame::error(&format!("SHUTDOWN {NOTICE}")));
    assert_eq!(host.exit(), Some(0));
}

#[test]
fn client_that_never_reads_does_not_delay_exit() {
    let flags = ["--grace", "10", "--write-timeout", "600"];
    let mut host = Setup::new().plugins(&["store"]).flags(&flags).start();
    let mut client = Resp::connect(&host);
    let value = vec![b'x'; 1 << 20];
    assert_eq!(client.ask(&[b"set", b"big", &value[..]]), Frame::ok());
    client.send(encode(&["get", "big"]).repeat(64));
    assert_eq!(host.ks(), Some(0), "no worker has outlasted anything");
    client.wait_for_end();
}

#[test]
fn too_slow_reader_does_not_delay_exit() {
    let flags = ["--grace", "10", "--max-argument", "64M"];
    let mut host = Setup::new().plugins(&["store"]).flags(&flags).start();
    let mut client = Resp::connect(&host);
    let value = vec![b'x'; 63 << 20];
    assert_eq!(client.ask(&[b"set", b"big", &value[..]]), Frame::ok());
    client.say(&["get", "big"]);
    assert_eq!(Lines::connect(&host).ask("ks"), "OK");
    // At this pace it would take longer than the grace.
    let (mut stream, mut part) = (client.reader(), vec![0; 64 << 10]);
    wait_until("the host has ended", LIMIT, || {
        assert!(stream.read(&mut part).is_ok());
        host.has_ended()
    });
    assert_eq!(host.exit(), Some(0), "no worker has outlasted anything");
}

#[test]
fn endlessly_sending_client_does_not_delay_exit() {
    let mut host = Setup::new().plugins(&["text"]).flags(&["--grace", "10"]).start();
    let mut client = Lines::connect(&host);
    assert_eq!(client.ask("ping"), "PONG");
    let mut sender = client.stream().try_clone().unwrap();
    // More at a time than the host answers before the next one arrives.
    let more = "echo more\n".repeat(10_000);
    let sending = thread::spawn(move || while sender.write_all(more.as_bytes()).is_ok() {});
    let mut reader = Lines::connect(&host);
    assert_eq!(reader.ask("ks"), "OK");
    client.wait_for_end();
    assert_eq!(host.exit(), Some(0));
    // Once the receiving side is shut, Linux reports no more room, so that a write may wait for
    // minutes for a peer that is gone.
    let _ = client.stream().shutdown(std::net::Shutdown::Both);
    sending.join().unwrap();
}

#[test]
fn overlong_batch_does_not_delay_exit() {
    let mut host = Setup::new().plugins(&["busy"]).flags(&["--grace", "10"]).start();
    let mut client = Lines::connect(&host);
    // Ten times the grace.
    client.send("block 5\n".repeat(20_000));
    host.wait_for_log("blocking for");
    assert_eq!(host.ks(), Some(0), "no worker has outlasted anything");
    let lines = client.end();
    assert_eq!(lines.last().map(String::as_str), Some(NOTICE));
    assert!(lines[..lines.len() - 1].iter().all(|line| line == "blocked"));
}

#[test]
fn many_clients_may_send_ks_at_once() {
    let mut host = Host::start(&["server"]);
    let mut clients: Vec<_> = (0..20).map(|_| Lines::connect(&host)).collect();
    wait_until("all are there", LIMIT, || clients[0].ask_all("clients").len() == 20);
    clients.iter_mut().for_each(|client| client.say("ks"));
    for client in &mut clients {
        let said = client.end();
        // The host may have stopped listening before it received this one's command.
        assert!(said == ["OK", NOTICE] || said == [NOTICE], "{said:?}");
    }
    assert_eq!(host.exit(), Some(0));
}
