//! The Redis protocol, versions 2 and 3.

use dropin_tests::{Frame, Host, Resp, Setup, resp::encode};

fn kinds(map: Frame, float: Frame, truth: Frame) -> Frame {
    Frame::List(vec![
        Frame::ok(),
        "text".into(),
        42.into(),
        float,
        truth,
        Frame::Null,
        Frame::List(vec![1.into(), 2.into()]),
        map,
    ])
}

#[test]
fn resp2_carries_every_kind_of_reply() {
    let host = Host::start(&["facts"]);
    let mut client = Resp::connect(&host);
    let map = Frame::List(vec!["one".into(), 1.into(), "none".into(), Frame::Null]);
    assert_eq!(client.ask(&["kinds"]), kinds(map, "0.25".into(), 1.into()));
    let error = client.ask(&["fail", "WRONGTYPE", "no such thing"]);
    assert_eq!(error, Frame::error("WRONGTYPE no such thing"));
    assert_eq!(client.ask(&["fail", "ERR", "a\r\n+b"]), Frame::error("ERR a  +b"));
}

#[test]
fn resp3_carries_every_kind_of_reply_natively() {
    let host = Host::start(&["facts"]);
    let mut client = Resp::connect3(&host);
    let map = Frame::Map(vec![("one".into(), 1.into()), ("none".into(), Frame::Null)]);
    assert_eq!(client.ask(&["kinds"]), kinds(map, Frame::Float(0.25), Frame::Boolean(true)));
    let error = client.ask(&["fail", "WRONGTYPE", "no such thing"]);
    assert_eq!(error, Frame::error("WRONGTYPE no such thing"));
}

#[test]
fn null_is_written_as_each_version_has_it() {
    let host = Host::start(&["store"]);
    let (mut two, mut three) = (Resp::connect(&host), Resp::connect3(&host));
    two.say(&["get", "missing"]);
    three.say(&["get", "missing"]);
    let raw = |client: &mut Resp| {
        client.end_sending();
        client.rest()
    };
    assert_eq!(raw(&mut two), b"$-1\r\n");
    assert_eq!(raw(&mut three), b"_\r\n");
}

#[test]
fn arguments_and_replies_are_any_bytes() {
    let host = Host::start(&["text", "store"]);
    let mut client = Resp::connect(&host);
    let every_byte: Vec<u8> = (0..=255).collect();
    assert_eq!(client.ask(&[b"echo", &every_byte[..]]), Frame::text(&every_byte));
    assert_eq!(client.ask(&["echo", ""]), "".into());
    assert_eq!(client.ask(&[b"set", &every_byte[..], b"\r\n"]), Frame::ok());
    assert_eq!(client.ask(&[b"GET", &every_byte[..]]), "\r\n".into());
}

#[test]
fn lines_after_an_array_get_resp_replies() {
    let host = Host::start(&["text"]);
    let mut client = Resp::connect(&host);
    client.send("echo plain\n");
    assert_eq!(client.take(|bytes| (bytes == b"plain\n").then_some(((), 6))), ());
    assert_eq!(client.ask(&["PING"]), Frame::Status("PONG".into()));
    assert_eq!(client.ask_raw("echo inline\r\n"), "inline".into());
    assert_eq!(client.ask_raw("nonsense\n"), Frame::error("ERR unknown command 'nonsense'"));
}

#[test]
fn ping_line_of_redis_program_gets_resp_reply() {
    let host = Host::start(&[]);
    let mut client = Resp::connect(&host);
    let pong = Frame::Status("PONG".into());
    for _ in 0..2 {
        assert_eq!(client.ask_raw("PING\r\n"), pong);
        client.send("PING\nping\r\nPING \r\nPING x\r\n");
        let expected = b"PONG\nPONG\nPONG\nx\n";
        client.take(|bytes| (bytes == expected).then_some(((), expected.len())));
    }
    client.send("PING\r\nPING\r\n");
    assert_eq!([client.frame(), client.frame()], [pong.clone(), pong.clone()]);
    assert_eq!(client.ask(&["PING"]), pong);
    assert_eq!(client.ask_raw("ping\n"), pong);
    assert_eq!(client.ask_raw("PING\r\n"), pong);
    let host = Setup::new().flags(&["--trust", "none"]).start();
    let error = Resp::connect(&host).ask_raw("PING\r\n");
    assert!(matches!(&error, Frame::Error(message) if message.starts_with("NOAUTH ")), "{error:?}");
}

#[test]
fn empty_array_and_blank_line_get_no_reply() {
    let host = Host::start(&["text"]);
    let mut client = Resp::connect(&host);
    client.send("*0\r\n*-1\r\n\r\n \n");
    assert_eq!(client.ask(&["echo", "next"]), "next".into());
}

#[test]
fn pipeline_is_answered_in_order_at_any_split() {
    let host = Host::start(&["text"]);
    let mut client = Resp::connect3(&host);
    let batch: Vec<u8> =
        (0..2_000).flat_map(|n| encode(&["echo", &format!("{n}\r\n*1\r\n")])).collect();
    for piece in batch.chunks(1_021) {
        client.send(piece);
    }
    for n in 0..2_000 {
        assert_eq!(client.frame(), format!("{n}\r\n*1\r\n").as_str().into());
    }
    for byte in encode(&["echo", "byte by byte"]) {
        client.send([byte]);
    }
    assert_eq!(client.frame(), "byte by byte".into());
}

#[test]
fn a_megabyte_goes_there_and_back() {
    let host = Host::start(&["text", "store"]);
    let mut client = Resp::connect(&host);
    let value = vec![b'\n'; 1 << 20];
    assert_eq!(client.ask(&[b"set", b"big", &value[..]]), Frame::ok());
    for _ in 0..5 {
        assert_eq!(client.ask(&["get", "big"]), Frame::text(&value));
    }
}

#[test]
fn client_may_send_far_ahead_of_reading() {
    let host = Host::start(&["text"]);
    let mut client = Resp::connect(&host);
    let request = encode(&[b"echo", &[b'x'; 100_000][..]]);
    let mut sender = client.stream().try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..200 {
                std::io::Write::write_all(&mut sender, &request).unwrap();
            }
        });
        for _ in 0..200 {
            assert_eq!(client.frame(), Frame::text([b'x'; 100_000]));
        }
    });
}
