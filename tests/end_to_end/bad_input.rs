//! Invalid input, which no worker should ever see, and the errors that the client gets.

use std::io::Write;

use dropin_tests::{Connection, Frame, Host, Lines, Resp};

/// Returns a connection whose session speaks RESP.
fn resp(host: &Host) -> Resp {
    let mut client = Resp::connect(host);
    assert_eq!(client.ask(&["PING"]), Frame::Status("PONG".into()));
    client
}

#[test]
fn line_mistakes_get_errors_and_session_continues() {
    let host = Host::start(&["text", "store", "clock"]);
    let mut client = Lines::connect(&host);
    for (line, reply) in [
        ("nonsense", "error: unknown command 'nonsense'"),
        ("ecko hi", "error: unknown command 'ecko', did you mean 'echo'?"),
        ("ECHOO hi", "error: unknown command 'ECHOO', did you mean 'echo'?"),
        ("pign", "error: unknown command 'pign', did you mean 'ping'?"),
        ("echo", "error: wrong number of arguments for 'echo' command, usage: echo TEXT.."),
        (
            "set a",
            "error: wrong number of arguments for 'set' command, usage: set KEY VALUE [OPTION..]",
        ),
        ("SET greeting hello world", "error: syntax error"),
        (
            "SETNX greeting hello world",
            "error: wrong number of arguments for 'setnx' command, usage: setnx KEY VALUE; a value with \
             spaces needs quotes: setnx greeting \"hello world\"",
        ),
        (
            "setnx 'a b' c  d",
            "error: wrong number of arguments for 'setnx' command, usage: setnx KEY VALUE; a value with \
             spaces needs quotes: setnx \"a b\" \"c d\"",
        ),
        (
            "setnx a don\\'t go",
            "error: wrong number of arguments for 'setnx' command, usage: setnx KEY VALUE; a value with \
             spaces needs quotes",
        ),
        ("uptime now", "error: wrong number of arguments for 'uptime' command, usage: uptime"),
        (
            "auth me secret more",
            "error: wrong number of arguments for 'auth' command, usage: auth NAME_OR_KEY [KEY]",
        ),
        ("close now", "error: wrong number of arguments for 'close' command, usage: close"),
        ("ks now", "error: wrong number of arguments for 'ks' command, usage: ks"),
        ("echo \"abc", "error: Protocol error: unbalanced quotes in request"),
        ("echo 'abc", "error: Protocol error: unbalanced quotes in request"),
        ("echo \"a\"b", "error: Protocol error: unbalanced quotes in request"),
        ("", "error: empty command, try 'help'"),
        ("\r", "error: empty command, try 'help'"),
        (" \t ", "error: empty command, try 'help'"),
        ("\"\"", "error: unknown command ''"),
        ("echo a\0b", "error: line contains a NUL byte"),
        ("\0", "error: line contains a NUL byte"),
        (r#"upper "\xff\xfe""#, "error: the text is not valid UTF-8"),
        (r#"sleep "\xff""#, "error: value is not an integer or out of range"),
        ("incr a one", "error: value is not an integer or out of range"),
        ("sleep -1", "error: MS must not be negative"),
    ] {
        assert_eq!(client.ask(line), reply, "{line:?}");
    }
    client.send(b"\xff\xfe\n");
    assert_eq!(client.line(), "error: unknown command '\u{fffd}\u{fffd}'");
    assert_eq!(client.ask("echo 'still here'"), "still here");
}

#[test]
fn resp_mistakes_get_errors_and_session_continues() {
    let host = Host::start(&["text", "store"]);
    for hello in ["2", "3"] {
        let mut client = Resp::connect(&host);
        client.ask(&["HELLO", hello]);
        // RESP2 is for programs only.
        let two_keys = match hello {
            "2" => "ERR wrong number of arguments for 'get' command, usage: get KEY",
            _ => {
                "ERR wrong number of arguments for 'get' command, usage: get KEY; a value with \
                 spaces needs quotes: get \"a b\""
            }
        };
        for (words, reply) in [
            (&[&b"nonsense"[..]][..], "ERR unknown command 'nonsense'"),
            (&[b"ecko", b"hi"], "ERR unknown command 'ecko', did you mean 'echo'?"),
            (&[b""], "ERR unknown command ''"),
            (&[b"\xff"], "ERR unknown command '\u{fffd}'"),
            (&[b"no\r\nsense"], "ERR unknown command 'no  sense'"),
            (&[b"a\0b"], "ERR unknown command 'a\0b'"),
            (&[b"GET"], "ERR wrong number of arguments for 'get' command, usage: get KEY"),
            (&[b"get", b"a", b"b"], two_keys),
            (
                &[b"ping", b"a", b"b"],
                "ERR wrong number of arguments for 'ping' command, usage: ping [MESSAGE]",
            ),
            (&[b"upper", b"\xff"], "ERR the text is not valid UTF-8"),
        ] {
            assert_eq!(client.ask(words), Frame::error(reply), "{words:?}");
        }
        for (line, reply) in [
            ("echo \"abc\n", "ERR Protocol error: unbalanced quotes in request"),
            ("echo a\0b\n", "ERR line contains a NUL byte"),
        ] {
            assert_eq!(client.ask_raw(line), Frame::error(reply), "{line:?}");
        }
        assert_eq!(client.ask(&["echo", "still here"]), "still here".into());
    }
}

#[test]
fn long_unknown_name_is_truncated_in_error() {
    let host = Host::start(&[]);
    let reply = Lines::connect(&host).ask(&"x".repeat(100_000));
    assert_eq!(reply, format!("error: unknown command '{}'", "x".repeat(128)));
}

#[test]
fn broken_resp_ends_the_session_after_its_message() {
    let host = Host::start(&["text"]);
    for (bytes, reply) in [
        (&b"*x\r\n"[..], "invalid multibulk length"),
        (b"*\r\n", "invalid multibulk length"),
        (b"*1x\r\n", "invalid multibulk length"),
        (b"*01\r\n", "invalid multibulk length"),
        (b"*+1\r\n", "invalid multibulk length"),
        (b"*99999999999999999999\r\n", "invalid multibulk length"),
        (b"*111111111111111111111111111111111111111111", "too big mbulk count string"),
        (b"*1\r\n:1\r\n", "expected '$', got ':'"),
        (b"*1\r\n+ping\r\n", "expected '$', got '+'"),
        (b"*1\r\n\xff", "expected '$', got '\\xff'"),
        (b"*1\r\n\r\n", "expected '$', got '\\x0d'"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$x\r\n", "invalid bulk length"),
        (b"*1\r\n$04\r\nping\r\n", "invalid bulk length"),
        (b"*1\r\n$999999999\r\n", "invalid bulk length"),
        (b"*1\r\n$111111111111111111111111111111111111111111", "too big bulk count string"),
        (b"*1\r\n$3\r\nping\r\n", "expected CRLF after bulk"),
        (b"*1\r\n$4\r\nping\n\n", "expected CRLF after bulk"),
    ] {
        let mut client = Resp::connect(&host);
        client.send(bytes);
        let error = Frame::error(&format!("ERR Protocol error: {reply}"));
        assert_eq!(client.end(), [error], "{}", bytes.escape_ascii());
    }
    assert_eq!(Lines::connect(&host).ask("echo 'all well'"), "all well");
}

#[test]
fn only_requests_before_protocol_error_are_answered() {
    let host = Host::start(&["text"]);
    let mut client = resp(&host);
    client.send("*2\r\n$4\r\necho\r\n$1\r\na\r\n*1\r\n!\r\n*1\r\n$4\r\nPING\r\n");
    let broken = Frame::error("ERR Protocol error: expected '$', got '!'");
    assert_eq!(client.end(), ["a".into(), broken]);
}

#[test]
fn close_is_orderly_with_unread_input() {
    let host = Host::start(&[]);
    let mut client = resp(&host);
    // One write, and more than the host reads at a time.
    client.send(format!("*1\r\n!{}", "x".repeat(20_000)));
    assert_eq!(client.end(), [Frame::error("ERR Protocol error: expected '$', got '!'")]);
}

#[test]
fn error_arrives_while_client_still_sends() {
    let host = Host::start(&[]);
    let mut client = resp(&host);
    let mut sender = client.stream().try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // The host closes the connection meanwhile.
            let _ = sender.write_all(b"*1\r\n!");
            let _ = sender.write_all(&vec![b'x'; 8 << 20]);
        });
        let broken = Frame::error("ERR Protocol error: expected '$', got '!'");
        assert_eq!(client.frame(), broken);
        client.wait_for_end();
    });
}

#[test]
fn truncated_request_gets_no_reply() {
    let host = Host::start(&["store"]);
    for bytes in ["*", "*2\r\n", "*2\r\n$4\r\nin", "*2\r\n$4\r\nincr\r\n$1\r\nn", "incr n"] {
        let mut client = Connection::connect(host.v4());
        client.send(bytes);
        client.end_sending();
        assert_eq!(client.rest(), b"", "{bytes:?}");
    }
    assert_eq!(Lines::connect(&host).ask("get n"), "(null)");
}

#[test]
fn input_of_other_protocols_is_harmless() {
    let host = Host::start(&["text"]);
    let mut http = Lines::connect(&host);
    http.send("GET / HTTP/1.1\r\nHost: localhost\r\n");
    assert_eq!(http.line(), "HTTP/1.1 400 Bad Request\r");
    http.wait_for_end();
    let mut http = Lines::connect(&host);
    http.send("GET /\nHost: localhost\r\n");
    let last = "error: this is no web server, the connection is closed";
    assert_eq!(http.end(), ["error: unknown command 'GET'", last]);
    for bytes in [&[0; 4096][..], &[0xff; 4096], b"\x16\x03\x01\x02\x00\x01\x00\x01", b"%1\r\n~2"] {
        let mut client = Connection::connect(host.v4());
        client.send(bytes);
        client.end_sending();
        client.wait_for_end();
    }
    assert_eq!(Lines::connect(&host).ask("echo 'all well'"), "all well");
}
