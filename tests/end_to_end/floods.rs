//! Hostile input: no client exhausts, floods or tricks the host.

use std::{io::Read, time::Instant};

use dropin_tests::{Connection, Frame, Host, LIMIT, Lines, Resp, Setup, wait_until};

const MEGABYTE: usize = 1 << 20;

fn host(flags: &[&str]) -> Host {
    Setup::new().plugins(&["busy", "store", "text"]).flags(flags).start()
}

/// Returns the host's replies to these segments, up to the end of the connection.
#[track_caller]
fn answer(host: &Host, segments: &[&str]) -> String {
    let mut client = Connection::connect(host.v4());
    for (index, segment) in segments.iter().enumerate() {
        if index > 0 {
            // The host has read the earlier segment: it is counted as an unfinished request.
            wait_until("the host reads", LIMIT, || {
                let list = Lines::connect(host).ask_all("client list");
                list.iter().any(|line| line.contains(&format!("addr={} ", client.local())))
            });
        }
        client.send(segment);
    }
    String::from_utf8_lossy(&client.rest()).into_owned()
}

#[test]
fn nothing_of_an_http_request_is_run() {
    let (host, started) = (host(&[]), Instant::now());
    let websocket = "GET /x HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    for segments in [
        &["SET /x HTTP/1.1\r\nHost: rebound.example:5000\r\n\r\n"][..],
        &["POST / HTTP/1.1\r\nContent-Type: text/plain\r\n\r\nset /x 1\r\n"],
        &["INCR /x HTTP/1.0\r\n\r\n"],
        &["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
        &[websocket],
        &["\r\n\r\nSET /x HTTP/1.1\r\n\r\n"],
        &["SE", "T /x HTTP/1", ".1\r\n\r\n"],
        &["SET /x HTTP/1.1\r", "\nset /x 1\r\n"],
    ] {
        let answer = answer(&host, segments);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer:?}");
        assert!(head.contains("Connection: close") && body.contains("commands"), "{answer:?}");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{answer:?}");
    }
    assert_eq!(Lines::connect(&host).ask("get /x"), "(null)");
    let lines = host.log().matches("sent an HTTP request").count();
    let most = usize::try_from(started.elapsed().as_secs()).unwrap() + 3;
    assert!((1..=most).contains(&lines), "{lines} lines");
    // A consequence: on the first line such a word has to be quoted.
    assert_eq!(Lines::connect(&host).ask("echo 'HTTP/1.1'"), "HTTP/1.1");
    let mut client = Lines::connect(&host);
    assert_eq!(client.ask("ping"), "PONG");
    assert_eq!(client.ask("echo a HTTP/1.1"), "a HTTP/1.1");
    assert_eq!(Resp::connect(&host).ask(&["echo", "HTTP/1.1"]), "HTTP/1.1".into());
}

#[test]
fn an_unfinished_request_ends_the_session() {
    let host = host(&["--request-timeout", "3"]);
    let mut silent = Lines::connect(&host);
    let mut finished = Resp::connect(&host);
    finished.send("*1\r\n$4\r\nPI");
    let started = Instant::now();
    let clients = ["ech", "ping\necho half", "*2\r\n$4\r\necho\r\n$1000000\r\nxx"].map(|bytes| {
        let mut client = Connection::connect(host.v4());
        client.send(bytes);
        (client, bytes)
    });
    finished.send("NG\r\n");
    assert_eq!(finished.frame(), Frame::Status("PONG".into()));
    for (mut client, bytes) in clients {
        let said = String::from_utf8_lossy(&client.rest()).into_owned();
        let last = said.lines().last().unwrap_or_default();
        assert_eq!(said.starts_with('-'), bytes.starts_with('*'), "in the client's protocol");
        let farewell = "request not finished within 3 s, the connection is closed";
        assert!(last.ends_with(farewell), "{said:?}");
    }
    assert!(started.elapsed().as_millis() >= 3000);
    assert_eq!(silent.ask("ping"), "PONG", "who sends nothing has begun nothing");
    assert_eq!(finished.ask(&["PING"]), Frame::Status("PONG".into()));
}

#[test]
fn a_reply_over_the_limit_is_an_error() {
    let host = host(&["--max-reply", "1K"]);
    let error = "reply larger than 1024 bytes (--max-reply)";
    let mut client = Resp::connect3(&host);
    let word = "x".repeat(1025);
    assert_eq!(client.ask(&["echo", &word]), Frame::error(&format!("ERR {error}")));
    assert_eq!(client.ask(&["command"]), Frame::error(&format!("ERR {error}")));
    assert_eq!(client.ask(&["echo", &word[1..]]), Frame::text(&word[1..]));
    assert_eq!(Lines::connect(&host).ask(&format!("echo {word}")), format!("error: {error}"));
}

#[test]
fn names_have_a_longest_length() {
    let host = host(&[]);
    let mut client = Resp::connect(&host);
    let (name, long) = ("n".repeat(256), "n".repeat(257));
    let error = Frame::error("ERR Client names cannot be longer than 256 bytes.");
    assert_eq!(client.ask(&["CLIENT", "SETNAME", &long]), error);
    assert_eq!(client.ask(&["HELLO", "2", "SETNAME", &long]), error);
    for option in ["LIB-NAME", "LIB-VER"] {
        let error = format!("ERR {option} cannot be longer than 256 bytes.");
        assert_eq!(client.ask(&["CLIENT", "SETINFO", option, &long]), Frame::error(&error));
        assert_eq!(client.ask(&["CLIENT", "SETINFO", option, &name]), Frame::ok());
    }
    assert_eq!(client.ask(&["CLIENT", "SETNAME", &name]), Frame::ok());
    assert_eq!(client.ask(&["CLIENT", "GETNAME"]), Frame::text(&name));
}

#[test]
fn docs_tell_of_each_command_once() {
    let host = host(&[]);
    let mut client = Resp::connect(&host);
    let once = client.ask(&["COMMAND", "DOCS", "client", "ping"]);
    assert_eq!(client.ask(&["COMMAND", "DOCS", "client", "CLIENT", "ping", "client"]), once);
    // Clients match these by position.
    let info = client.ask(&["COMMAND", "INFO", "ping", "none", "ping"]);
    assert_eq!((info.items().len(), &info.items()[0]), (3, &info.items()[2]));
}

fn evicted_line(host: &Host) -> String {
    let stats = Lines::connect(host).ask_all("stats");
    stats.into_iter().find(|line| line.starts_with("sessions-evicted: ")).unwrap()
}

#[test]
fn the_session_with_most_memory_is_closed() {
    let host = host(&["--max-memory-clients", "24M"]);
    let (mut small, mut middle) = (Lines::connect(&host), Resp::connect(&host));
    assert_eq!(small.ask("ping"), "PONG");
    let half = "x".repeat(100_000);
    middle.send(format!("*2\r\n$4\r\necho\r\n${}\r\n{half}", half.len() * 2));
    let mut large = Resp::connect(&host);
    // More than its buffer of 16 MiB can hold.
    large.send("*30\r\n$4\r\necho\r\n");
    let chunk = [format!("${MEGABYTE}\r\n").as_bytes(), &vec![b'x'; MEGABYTE], b"\r\n"].concat();
    // The session may be closed before everything is sent.
    let sent = (0..28).find(|_| std::io::Write::write_all(&mut large.stream(), &chunk).is_err());
    if sent.is_none() {
        let error = "ERR requests and replies take too much memory (--max-memory-clients), the \
                     connection is closed";
        assert_eq!(large.end(), [Frame::error(error)]);
    }
    wait_until("it is counted", LIMIT, || evicted_line(&host) == "sessions-evicted: 1");
    assert!(host.log().contains("closed, its requests and replies took the most memory"));
    assert_eq!(small.ask("ping"), "PONG");
    middle.send(format!("{half}\r\n"));
    assert_eq!(middle.frame(), Frame::text(half.repeat(2)));
}

#[test]
fn client_that_never_reads_frees_memory() {
    let host = host(&["--max-memory-clients", "12M", "--write-timeout", "600"]);
    let mut client = Resp::connect(&host);
    let value = "x".repeat(MEGABYTE - 1);
    for key in ["a", "b"] {
        assert_eq!(client.ask(&["set", key, &value]), Frame::ok());
    }
    // 8 MiB of unread replies, in a buffer of at least 8 MiB, twice.
    let words: Vec<&str> = std::iter::once("echo").chain(std::iter::repeat_n(&*value, 7)).collect();
    let request = dropin_tests::resp::encode(&words);
    let mut clients = [0; 2].map(|_| Connection::connect(host.v4()));
    for client in &mut clients {
        client.send(&request);
    }
    wait_until("one is closed", LIMIT, || evicted_line(&host) != "sessions-evicted: 0");
    wait_until("its session ends", LIMIT, || {
        let list = Lines::connect(&host).ask_all("client list");
        clients.iter().any(|client| {
            !list.iter().any(|line| line.contains(&format!("addr={} ", client.local())))
        })
    });
    assert_eq!(client.ask(&["PING"]), Frame::Status("PONG".into()));
    for client in clients {
        let mut scrap = Vec::new();
        let _ = client.reader().take(1).read_to_end(&mut scrap);
    }
}

#[test]
fn a_worker_with_most_memory_is_cancelled() {
    let host = host(&["--max-memory-clients", "2500K"]);
    let mut working = Resp::connect3(&host);
    // A little more than 1 MiB, in a buffer of 2 MiB.
    working.say(&["step", "1000000000000", &"x".repeat(MEGABYTE)]);
    assert!(matches!(working.frame(), Frame::Push(_)), "it works");
    let mut waiting = Resp::connect(&host);
    let half = "x".repeat(300_000);
    waiting.send(format!("*2\r\n$4\r\necho\r\n${}\r\n{half}{half}", half.len() * 3));
    let frames = working.end();
    assert!(matches!(frames.last(), Some(Frame::Error(_))), "{frames:?}");
    waiting.send(format!("{half}\r\n"));
    assert_eq!(waiting.frame(), Frame::text(half.repeat(3)));
}

#[test]
fn invalid_memory_size_is_a_clear_error() {
    for amount in ["101%", "much", "-1"] {
        let ended = Setup::new().flags(&[&format!("--max-memory-clients={amount}")]).run();
        assert_eq!(ended.status, Some(2), "{amount}");
        assert!(ended.stderr.contains("such as 512M or 2G, or 25%"), "{ended:?}");
    }
}

#[test]
fn logins_do_not_flood_the_log() {
    let host = Setup::new().plugins(&["panics"]).start();
    let key = dropin_tests::keys::add_key(&host, "alice", &[]);
    wait_until("the host knows the key", LIMIT, || {
        Lines::connect(&host).ask(&format!("auth alice {key}")) == "OK"
    });
    let mut client = Resp::connect(&host);
    let request = dropin_tests::resp::encode(&["AUTH", "alice", &key]);
    let started = Instant::now();
    client.send(request.repeat(2_000));
    (0..2_000).for_each(|_| assert_eq!(client.frame(), Frame::ok()));
    let lines = host.log().matches(" logged in as alice").count();
    let most = usize::try_from(started.elapsed().as_secs()).unwrap() + 3;
    assert!((1..=most).contains(&lines), "{lines} lines");
}

#[test]
fn plugin_log_line_has_length_limit() {
    let host = Host::start(&["panics"]);
    let mut client = Resp::connect(&host);
    assert!(matches!(client.ask(&["panic", &"x".repeat(100_000)]), Frame::Error(_)));
    let line = host.wait_for_log("ERROR panics: panic at ");
    assert!(line.len() < 20_000 && line.ends_with(" (cut)"), "{} bytes", line.len());
}
