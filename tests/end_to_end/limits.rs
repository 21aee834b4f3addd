//! Limits on the size of one request.

use dropin_tests::{Frame, Host, Lines, Resp, Setup};

fn host_with_limits(flags: &[&str]) -> Host {
    Setup::new().plugins(&["text"]).flags(flags).start()
}

#[test]
fn too_long_line_ends_session_with_error() {
    let host = host_with_limits(&["--max-argument", "64"]);
    let longest = format!("echo {}", "x".repeat(59));
    assert_eq!(Lines::connect(&host).ask(&longest), "x".repeat(59));
    assert_eq!(Lines::connect(&host).ask(&format!("{longest}\r")), "x".repeat(59));
    for end in ["\n", "\r\n", ""] {
        let mut client = Lines::connect(&host);
        client.send(format!("ping\n{longest}x{end}"));
        assert_eq!(client.end(), ["PONG", "error: Protocol error: too big inline request"]);
    }
}

#[test]
fn too_long_argument_ends_session_at_its_header() {
    let host = host_with_limits(&["--max-argument", "64"]);
    let mut client = Resp::connect(&host);
    assert_eq!(client.ask(&["echo", &"x".repeat(64)]), Frame::text("x".repeat(64)));
    client.send("*2\r\n$4\r\necho\r\n$65\r\n");
    assert_eq!(client.end(), [Frame::error("ERR Protocol error: invalid bulk length")]);
}

#[test]
fn the_limit_is_a_megabyte_by_default() {
    let host = host_with_limits(&[]);
    let mut client = Resp::connect(&host);
    let value = vec![b'x'; 1 << 20];
    assert_eq!(client.ask(&[b"echo", &value[..]]), Frame::text(&value));
    client.send(format!("*2\r\n$4\r\necho\r\n${}\r\n", (1 << 20) + 1));
    assert_eq!(client.end(), [Frame::error("ERR Protocol error: invalid bulk length")]);
    let mut client = Lines::connect(&host);
    client.send("x".repeat((1 << 20) + 1));
    assert_eq!(client.end(), ["error: Protocol error: too big inline request"]);
}

#[test]
fn too_many_line_arguments_are_rejected_without_close() {
    let host = host_with_limits(&["--max-arguments", "4"]);
    let mut client = Lines::connect(&host);
    assert_eq!(client.ask("echo a b c"), "a b c");
    assert_eq!(client.ask("echo a b c d"), "error: too many arguments");
    assert_eq!(client.ask("echo 'a' b c d"), "error: too many arguments");
    assert_eq!(client.ask("echo again"), "again");
}

#[test]
fn too_many_array_arguments_end_session() {
    let host = host_with_limits(&["--max-arguments", "4"]);
    let mut client = Resp::connect(&host);
    assert_eq!(client.ask(&["echo", "a", "b", "c"]), "a b c".into());
    client.send("*5\r\n$4\r\necho\r\n");
    assert_eq!(client.end(), [Frame::error("ERR Protocol error: invalid multibulk length")]);
}

#[test]
fn a_request_over_the_limit_ends_the_session() {
    let host = host_with_limits(&["--max-request", "200"]);
    let mut client = Resp::connect(&host);
    let half = "x".repeat(80);
    assert_eq!(client.ask(&["echo", &half, &half]), Frame::text(format!("{half} {half}")));
    client.say(&["echo", &half, &half, &half]);
    assert_eq!(client.end(), [Frame::error("ERR Protocol error: too big request")]);
}

#[test]
fn invalid_limit_is_a_clear_error() {
    for flag in ["--max-argument=0", "--max-argument=1T", "--max-request=much"] {
        let ended = Setup::new().flags(&[flag]).run();
        assert_eq!(ended.status, Some(2), "{flag}");
        assert!(ended.stderr.contains("such as 4096, 64K or 1M"), "{ended:?}");
    }
    assert_eq!(Setup::new().flags(&["--max-arguments=0"]).run().status, Some(2));
}
