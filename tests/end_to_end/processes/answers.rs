//! Answers of an executable that are wrong, too long or no messages: the call gets an error, and the
//! same process goes on.

use dropin_tests::{Frame, Host, Resp, executable::Script};

use super::*;

const MALFORMED: &str = "ERR the worker gave a malformed reply";

/// Starts a host with the fixture, runs a test, and checks that the process is still the first one.
#[track_caller]
fn in_one_process(flags: &[&str], test: impl FnOnce(&Host, &mut Resp)) {
    let setup = setup().flags(flags).executable("faulty.py", Script::fixture("faulty"));
    let host = setup.start();
    let (others, before) = (others(&host), pid(&host, "faulty"));
    let mut client = Resp::connect3(&host);
    test(&host, &mut client);
    assert_eq!(client.ask(&["faulty.echo", "still here"]), "still here".into());
    assert_eq!(pid(&host, "faulty"), before);
    assert_eq!(host.figure("faulty", "restarts"), 0);
    finish(others);
}

#[test]
fn malformed_answer_fails_only_its_call() {
    in_one_process(&[], |_, client| {
        for words in [
            &["faulty.raw", "]"][..],
            &["faulty.raw", ""],
            &["faulty.raw", "nonsense"],
            &["faulty.raw", "1e400"],
            &["faulty.raw", "01"],
            &["faulty.raw", "NaN"],
            &["faulty.raw", "\"\\ud800\""],
            &["faulty.raw", "1} {"],
            &["faulty.deep", "65"],
            &["faulty.deep", "100000"],
            &["faulty.invalid"],
            &["faulty.line", "{\"id\":ID}"],
            &["faulty.line", "{\"id\":ID,\"ok\":1"],
            &["faulty.line", "{\"id\":ID,\"bytes\":\"***\"}"],
            &["faulty.line", "{\"id\":ID,\"bytes\":5}"],
            &["faulty.line", "{\"id\":ID,\"error\":5}"],
            &["faulty.line", "{\"id\":ID,\"unknown\":1}"],
        ] {
            assert_eq!(client.ask(words), Frame::error(MALFORMED), "{words:?}");
            assert_eq!(client.ask(&["faulty.echo", "next"]), "next".into(), "{words:?}");
        }
    });
}

#[test]
fn unusual_answers_are_understood() {
    in_one_process(&[], |_, client| {
        for (line, reply) in [
            ("{\"ok\":1,\"id\":ID}", 1.into()),
            (" \t{ \"id\" : ID , \"ok\" : \"x\" } ", "x".into()),
            ("{\"id\":ID,\"ok\":1,\"unknown\":[{}]}\r", 1.into()),
            ("{\"id\":ID,\"ok\":null}", Frame::Null),
            ("{\"id\":ID,\"bytes\":\"\"}", "".into()),
            ("{\"id\":ID,\"bytes\":\"//4=\"}", Frame::text(b"\xff\xfe")),
            ("{\"id\":ID,\"ok\":\"\\u0000\\n\\ud83d\\ude00\"}", "\0\n\u{1f600}".into()),
            ("{\"id\":ID,\"error\":\"x\",\"kind\":5}", Frame::error("ERR x")),
            ("{\"id\":ID,\"error\":\"\"}", Frame::error("ERR ")),
        ] {
            let said = client.ask(&["faulty.line", line]);
            match (&said, &reply) {
                // An error without a text has some text.
                (Frame::Error(text), Frame::Error(start)) => {
                    assert!(text.starts_with(start.trim_end()), "{line}: {text}");
                }
                _ => assert_eq!(said, reply, "{line}"),
            }
        }
    });
}

#[test]
fn numbers_beyond_64_bits_are_floats() {
    in_one_process(&[], |_, client| {
        for (text, reply) in
            [("9223372036854775807", i64::MAX.into()), ("-9223372036854775808", i64::MIN.into())]
        {
            assert_eq!(client.ask(&["faulty.raw", text]), reply, "{text}");
        }
        for text in [
            "9223372036854775808",
            "-9223372036854775809",
            "18446744073709551616",
            "123456789012345678901234567890",
            "1.0",
            "1e2",
            "1e-400",
        ] {
            let Frame::Float(reply) = client.ask(&["faulty.raw", text]) else { panic!("{text}") };
            let expected: f64 = text.parse().unwrap();
            assert!((reply - expected).abs() <= expected.abs() * 1e-15, "{text}: {reply}");
        }
    });
}

#[test]
fn answer_may_be_deep_but_not_endless() {
    in_one_process(&[], |_, client| {
        let mut reply = client.ask(&["faulty.deep", "64"]);
        for _ in 0..64 {
            let [inner] = reply.items() else { panic!("{reply:?}") };
            reply = inner.clone();
        }
        assert_eq!(reply, "core".into());
    });
}

#[test]
fn lines_that_are_no_messages_are_logged() {
    in_one_process(&[], |host, client| {
        assert_eq!(client.ask(&["faulty.rubbish"]), "after all".into());
        let is_warning = |line: &&str| line.contains(" WARN ") && line.contains("faulty");
        assert!(host.log().lines().any(|line| is_warning(&line)), "{}", host.log());
    });
}

#[test]
fn second_answer_of_a_call_is_ignored() {
    in_one_process(&[], |_, client| {
        for _ in 0..20 {
            let replies = batch(client, &[&["faulty.twice"], &["faulty.echo", "next"]]);
            assert_eq!(replies, ["the first".into(), "next".into()]);
        }
    });
}

#[test]
fn answer_over_the_limit_is_discarded() {
    in_one_process(&["--max-reply", "1M"], |_, client| {
        let error = Frame::error("ERR reply larger than 1048576 bytes (--max-reply)");
        for megabytes in ["2", "100"] {
            assert_eq!(client.ask(&["faulty.huge", megabytes]), error);
        }
        assert_eq!(client.ask(&["faulty.huge", "1"]), Frame::text("x".repeat(1 << 20)));
    });
}

#[test]
fn answers_of_other_calls_arrive_meanwhile() {
    in_one_process(&[], |host, client| {
        let mut sleeper = Resp::connect(host);
        sleeper.say(&["faulty.sleep", "300"]);
        host.wait_for_log("faulty: sleeping");
        assert_eq!(client.ask(&["faulty.raw", "]"]), Frame::error(MALFORMED));
        assert_eq!(client.ask(&["faulty.rubbish"]), "after all".into());
        assert_eq!(sleeper.frame(), "slept".into());
    });
}
