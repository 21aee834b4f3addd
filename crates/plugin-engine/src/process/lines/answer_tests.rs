//! Tests of the replies that answers become.

use proptest::prelude::*;
use protocol::{Encoder, Finished, Protocol};
use serde_json::json;

use super::{BadValue, Json, WorkerAnswer, write_answer};

const PROTOCOLS: [Protocol; 3] = [Protocol::Lines, Protocol::Resp2, Protocol::Resp3];

const MALFORMED: &str = "-ERR the worker gave a malformed reply\r\n";

/// Returns the bytes of one reply, and its outcome.
fn reply(protocol: Protocol, write: impl FnOnce(&mut Encoder)) -> (String, Finished) {
    let mut encoder = Encoder::new(protocol);
    encoder.begin();
    write(&mut encoder);
    let finished = encoder.finish();
    (String::from_utf8_lossy(encoder.pending()).into_owned(), finished)
}

/// Returns the RESP3 reply of a value, and the reason if it cannot be one.
fn value(text: &str) -> (String, Result<(), BadValue>) {
    let answer = WorkerAnswer::Value(Json::parse(text.as_bytes()).unwrap());
    let mut written = Ok(());
    let (reply, _) = reply(Protocol::Resp3, |to| written = write_answer(&answer, to));
    (reply, written)
}

fn written(text: &str) -> String {
    let (reply, written) = value(text);
    assert!(written.is_ok(), "{text}: {written:?}");
    reply
}

#[test]
fn values_become_replies_of_their_type() {
    for (text, expected) in [
        ("null", "_\r\n"),
        (" true ", "#t\r\n"),
        ("false", "#f\r\n"),
        (r#""""#, "$0\r\n\r\n"),
        (r#""a\n\u00e4\ud83d\ude00\"\\""#, "$10\r\na\n\u{e4}\u{1f600}\"\\\r\n"),
        (r#""\u0000""#, "$1\r\n\0\r\n"),
        (r#""[{,:}]""#, "$6\r\n[{,:}]\r\n"),
        ("[]", "*0\r\n"),
        ("{}", "%0\r\n"),
        (r#"[1, [true,null], {"a":[]}]"#, "*3\r\n:1\r\n*2\r\n#t\r\n_\r\n%1\r\n$1\r\na\r\n*0\r\n"),
    ] {
        assert_eq!(written(text), expected, "{text}");
    }
    assert_eq!(written("\n{\n\"\\\\\" :\t\"]\" ,\r\n\"a\": -1 }"), {
        "%2\r\n$1\r\n\\\r\n$1\r\n]\r\n$1\r\na\r\n:-1\r\n"
    });
}

#[test]
fn maps_keep_the_order_of_their_keys() {
    let expected = "%3\r\n$1\r\nb\r\n:1\r\n$1\r\na\r\n:2\r\n$1\r\nb\r\n:3\r\n";
    assert_eq!(written(r#"{"b":1,"a":2,"b":3}"#), expected);
}

#[test]
fn numbers_outside_i64_are_floats() {
    for (text, expected) in [
        ("0", ":0\r\n"),
        ("-0", ":0\r\n"),
        ("9223372036854775807", ":9223372036854775807\r\n"),
        ("-9223372036854775808", ":-9223372036854775808\r\n"),
        ("9223372036854775808", ",9.223372036854776e18\r\n"),
        ("18446744073709551616", ",1.8446744073709552e19\r\n"),
        ("1.0", ",1\r\n"),
        ("1e3", ",1000\r\n"),
        ("-0.0", ",-0\r\n"),
        ("0.30000000000000004", ",0.30000000000000004\r\n"),
        ("1e-999", ",0\r\n"),
    ] {
        assert_eq!(written(text), expected, "{text}");
    }
    let digits = "9".repeat(300);
    assert_eq!(written(&digits), ",1e300\r\n");
}

#[test]
fn value_that_cannot_be_a_reply_becomes_an_error() {
    for (text, said) in [
        ("1e999", "larger than any float"),
        ("[1,-1e999]", "larger than any float"),
        (r#"[1,"\ud800"]"#, "it has a string that is not text: "),
        (r#"{"\udc00":1}"#, "it has a string that is not text: "),
    ] {
        let (reply, written) = value(text);
        assert_eq!(reply, MALFORMED, "{text}");
        let problem = written.unwrap_err().to_string();
        assert!(problem.contains(said), "{problem}");
    }
    let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(written(&nested(64)), format!("{}*0\r\n", "*1\r\n".repeat(63)));
    for depth in [65, 100_000] {
        let (reply, written) = value(&nested(depth));
        assert_eq!(reply, MALFORMED);
        assert!(matches!(written, Err(BadValue::TooDeep)));
    }
}

#[test]
fn bytes_and_errors_are_written() {
    let bytes = WorkerAnswer::Bytes(b"a\0\r\n".to_vec());
    let write =
        |answer: &WorkerAnswer| reply(Protocol::Resp2, |to| write_answer(answer, to).unwrap());
    assert_eq!(write(&bytes), ("$4\r\na\0\r\n\r\n".into(), Finished::Ok));
    let error = WorkerAnswer::Error { kind: "GONE".into(), message: "no\r\n+OK".into() };
    let (text, finished) = write(&error);
    assert_eq!(finished, Finished::Error);
    assert!(text.starts_with("-GONE no") && text.matches('\n').count() == 1, "{text}");
}

#[test]
fn reply_larger_than_allowed_is_an_error() {
    let list =
        WorkerAnswer::Value(Json::parse(json!(vec!["x"; 1000]).to_string().as_bytes()).unwrap());
    let text = WorkerAnswer::Bytes(vec![b'x'; 1000]);
    for answer in [list, text] {
        let mut encoder = Encoder::new(Protocol::Resp3);
        encoder.bound(100);
        encoder.begin();
        write_answer(&answer, &mut encoder).unwrap();
        assert_eq!(encoder.finish(), Finished::TooLarge);
        assert_eq!(encoder.pending(), b"-ERR reply larger than 100 bytes (--max-reply)\r\n");
    }
}

#[test]
fn saved_value_is_kept_on_one_line() {
    let json = Json::parse(b" {\n \"b\" : 1e999,\n \"a\" : \"\\ud800\\n\" }\n").unwrap();
    assert_eq!(json.as_str(), "{  \"b\" : 1e999,  \"a\" : \"\\ud800\\n\" }");
    assert!(Json::parse(b"null").unwrap().is_null() && !json.is_null());
    for wrong in [&b""[..], b"{", b"1 2", b"\"\xff\"", b"\"\n\"", b"nul", b"01"] {
        assert!(Json::parse(wrong).is_err(), "{}", wrong.escape_ascii());
    }
    let digits = "12345678901234567890123456789.000";
    assert_eq!(Json::parse(digits.as_bytes()).unwrap().as_str(), digits);
}

/// A value whose reply and whose text can both be written.
#[derive(Clone, Debug)]
enum Tree {
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

impl Tree {
    fn json(&self, space: &str) -> String {
        let text = |text: &String| json!(text).to_string();
        match self {
            Self::Null => "null".into(),
            Self::Boolean(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            // The exponent makes it no integer.
            Self::Float(value) => format!("{value:e}"),
            Self::Text(value) => text(value),
            Self::List(items) => {
                let items: Vec<_> = items.iter().map(|item| item.json(space)).collect();
                format!("[{space}{}{space}]", items.join(&format!("{space},")))
            }
            Self::Map(pairs) => {
                let pair = |(key, value): &(String, Self)| {
                    format!("{}{space}:{space}{}", text(key), value.json(space))
                };
                let pairs: Vec<_> = pairs.iter().map(pair).collect();
                format!("{{{space}{}{space}}}", pairs.join(&format!(",{space}")))
            }
        }
    }

    fn write(&self, to: &mut Encoder) {
        match self {
            Self::Null => to.null(),
            Self::Boolean(value) => to.boolean(*value),
            Self::Integer(value) => to.integer(*value),
            Self::Float(value) => to.float(*value),
            Self::Text(value) => to.text(value.as_bytes()),
            Self::List(items) => {
                to.list(items.len());
                items.iter().for_each(|item| item.write(to));
            }
            Self::Map(pairs) => {
                to.map(pairs.len());
                for (key, value) in pairs {
                    to.text(key.as_bytes());
                    value.write(to);
                }
            }
        }
    }
}

fn trees() -> impl Strategy<Value = Tree> {
    let text = || any::<String>();
    let leaf = prop_oneof![
        Just(Tree::Null),
        any::<bool>().prop_map(Tree::Boolean),
        any::<i64>().prop_map(Tree::Integer),
        any::<f64>()
            .prop_filter("JSON has no others", |value| value.is_finite())
            .prop_map(Tree::Float),
        text().prop_map(Tree::Text),
    ];
    leaf.prop_recursive(6, 60, 6, move |inner| {
        let pair = (text(), inner.clone());
        prop_oneof![
            proptest::collection::vec(inner, 0..6).prop_map(Tree::List),
            proptest::collection::vec(pair, 0..6).prop_map(Tree::Map),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_value_becomes_its_own_reply(
        tree in trees(),
        space in proptest::sample::select(vec!["", " ", "\n\t \r"]),
    ) {
        let json = Json::parse(tree.json(space).as_bytes()).unwrap();
        let answer = WorkerAnswer::Value(json);
        for protocol in PROTOCOLS {
            let expected = reply(protocol, |to| tree.write(to));
            prop_assert_eq!(expected.1, Finished::Ok);
            prop_assert_eq!(reply(protocol, |to| write_answer(&answer, to).unwrap()), expected);
        }
    }
}
