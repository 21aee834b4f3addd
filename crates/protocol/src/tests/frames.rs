//! Properties of the encoder: each reply is exactly one frame, with the intended value.

use crate::{Encoder, Finished, Protocol};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use redis_protocol::{resp2, resp3};

/// The intended value of a reply.
#[derive(Clone, Debug)]
enum Value {
    Ok,
    Status(String),
    Text(Vec<u8>),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Null,
    Error(String, String),
    List(Vec<Value>),
    Map(Vec<(Value, Value)>),
}

impl Value {
    fn write(&self, encoder: &mut Encoder) {
        match self {
            Self::Ok => encoder.ok(),
            Self::Status(text) => encoder.status(text),
            Self::Text(bytes) => encoder.text(bytes),
            Self::Integer(value) => encoder.integer(*value),
            Self::Float(value) => encoder.float(*value),
            Self::Boolean(value) => encoder.boolean(*value),
            Self::Null => encoder.null(),
            Self::Error(kind, message) => encoder.error(kind, message.as_bytes()),
            Self::List(items) => {
                encoder.list(items.len());
                items.iter().for_each(|item| item.write(encoder));
            }
            Self::Map(pairs) => {
                encoder.map(pairs.len());
                for (key, value) in pairs {
                    key.write(encoder);
                    value.write(encoder);
                }
            }
        }
    }

    fn resp2(&self) -> resp2::types::OwnedFrame {
        use resp2::types::OwnedFrame as Frame;
        match self {
            Self::Ok => Frame::SimpleString(b"OK".to_vec()),
            Self::Status(text) => Frame::SimpleString(text.replace(['\r', '\n'], "").into_bytes()),
            Self::Text(bytes) => Frame::BulkString(bytes.clone()),
            Self::Integer(value) => Frame::Integer(*value),
            Self::Float(value) => Frame::BulkString(float(*value).into_bytes()),
            Self::Boolean(value) => Frame::Integer(i64::from(*value)),
            Self::Null => Frame::Null,
            Self::Error(kind, message) => Frame::Error(error(kind, message)),
            Self::List(items) => Frame::Array(items.iter().map(Self::resp2).collect()),
            Self::Map(pairs) => Frame::Array(
                pairs.iter().flat_map(|(key, value)| [key.resp2(), value.resp2()]).collect(),
            ),
        }
    }

    fn resp3(&self) -> resp3::types::OwnedFrame {
        use resp3::types::OwnedFrame as Frame;
        let attributes = None;
        match self {
            Self::Ok => Frame::SimpleString { data: b"OK".to_vec(), attributes },
            Self::Status(text) => Frame::SimpleString {
                data: text.replace(['\r', '\n'], "").into_bytes(),
                attributes,
            },
            Self::Text(bytes) => Frame::BlobString { data: bytes.clone(), attributes },
            Self::Integer(value) => Frame::Number { data: *value, attributes },
            Self::Float(value) => Frame::Double { data: *value, attributes },
            Self::Boolean(value) => Frame::Boolean { data: *value, attributes },
            Self::Null => Frame::Null,
            Self::Error(kind, message) => {
                Frame::SimpleError { data: error(kind, message), attributes }
            }
            Self::List(items) => {
                Frame::Array { data: items.iter().map(Self::resp3).collect(), attributes }
            }
            Self::Map(pairs) => {
                let pairs = pairs.iter().map(|(key, value)| (key.resp3(), value.resp3()));
                Frame::Map { data: pairs.collect(), attributes }
            }
        }
    }

    /// Formats the value as a plain reply: the items of the outermost list or map, one a line.
    fn lines(&self) -> Vec<u8> {
        let lines: Vec<Vec<u8>> = match self {
            Self::List(items) if !items.is_empty() => items.iter().map(Self::inline).collect(),
            Self::Map(pairs) if !pairs.is_empty() => pairs.iter().map(pair).collect(),
            Self::List(_) | Self::Map(_) => vec![Vec::new()],
            scalar => vec![scalar.inline()],
        };
        let end = |line: Vec<u8>| {
            if line.ends_with(b"\n") { line } else { [line, b"\n".to_vec()].concat() }
        };
        lines.into_iter().map(end).collect::<Vec<_>>().concat()
    }

    fn inline(&self) -> Vec<u8> {
        match self {
            Self::Ok => b"OK".to_vec(),
            Self::Status(text) => text.replace(['\r', '\n'], "").into_bytes(),
            Self::Text(bytes) => bytes.clone(),
            Self::Integer(value) => value.to_string().into_bytes(),
            Self::Float(value) => float(*value).into_bytes(),
            Self::Boolean(value) => value.to_string().into_bytes(),
            Self::Null => b"(null)".to_vec(),
            Self::Error(kind, message) => {
                let text = error(kind, message);
                format!("error: {}", text.strip_prefix("ERR ").unwrap_or(&text)).into_bytes()
            }
            Self::List(items) if items.is_empty() => b"(empty)".to_vec(),
            Self::Map(pairs) if pairs.is_empty() => b"(empty)".to_vec(),
            Self::List(items) => {
                items.iter().map(Self::inline).collect::<Vec<_>>().join(&b", "[..])
            }
            Self::Map(pairs) => pairs.iter().map(pair).collect::<Vec<_>>().join(&b", "[..]),
        }
    }
}

fn pair((key, value): &(Value, Value)) -> Vec<u8> {
    [key.inline(), value.inline()].join(&b": "[..])
}

fn error(kind: &str, message: &str) -> String {
    format!("{kind} {message}").replace(['\r', '\n'], " ")
}

fn float(value: f64) -> String {
    let text = format!("{value:?}");
    text.strip_suffix(".0").unwrap_or(&text).to_owned()
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Ok),
        "[ -~\r\n]{0,8}".prop_map(Value::Status),
        vec(any::<u8>(), 0..20).prop_map(Value::Text),
        "[a-z\r\n]{0,4}".prop_map(|text| Value::Text(text.into_bytes())),
        any::<i64>().prop_map(Value::Integer),
        any::<i32>().prop_map(|value| Value::Float(f64::from(value) / 16.0)),
        any::<bool>().prop_map(Value::Boolean),
        Just(Value::Null),
        ("(ERR|NOPERM|NO\nX)", "[ -~\r\n]{1,12}").prop_map(|(kind, text)| Value::Error(kind, text)),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(5, 40, 6, |inner| {
        // The keys differ, since the other implementation's map has each key only once.
        let keys = btree_map(vec(any::<u8>(), 0..4), inner.clone(), 0..5);
        let pairs =
            keys.prop_map(|map| map.into_iter().map(|(k, v)| (Value::Text(k), v)).collect());
        prop_oneof![vec(inner, 0..6).prop_map(Value::List), pairs.prop_map(Value::Map)]
    })
}

/// A call of a worker that does not count its items.
#[derive(Clone, Debug)]
enum Call {
    Scalar(Value),
    List(usize),
    Map(usize),
    Reset,
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let size = prop_oneof![20 => 0usize..4, 1 => any::<usize>(), 1 => Just(usize::MAX)];
    let call = prop_oneof![
        12 => scalar().prop_map(Call::Scalar),
        4 => size.clone().prop_map(Call::List),
        4 => size.prop_map(Call::Map),
        1 => Just(Call::Reset),
    ];
    prop_oneof![4 => vec(call.clone(), 0..12), 1 => vec(call, 0..200)]
}

/// Returns the length of the well-formed RESP frame at the front.
fn frame_length(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut owed) = (0, 1usize);
    while owed > 0 {
        let line = bytes.get(at..)?.windows(2).position(|pair| pair == b"\r\n")?;
        let (mark, head) = bytes[at..at + line].split_first()?;
        assert!(!head.iter().any(|byte| b"\r\n".contains(byte)), "stray line end");
        at += line + 2;
        owed -= 1;
        let size = || std::str::from_utf8(head).unwrap().parse::<usize>().unwrap();
        match mark {
            b'$' if head == b"-1" => {}
            b'$' => {
                at += size() + 2;
                assert_eq!(bytes.get(at - 2..at)?, b"\r\n");
            }
            b'*' => owed += size(),
            b'%' => owed += 2 * size(),
            b'+' | b'-' | b':' | b',' | b'#' | b'_' => {}
            other => panic!("mark {other}"),
        }
    }
    Some(at)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]

    #[test]
    fn replies_are_what_was_meant(values in vec(value(), 1..4)) {
        for protocol in [Protocol::Lines, Protocol::Resp2, Protocol::Resp3] {
            let mut encoder = Encoder::new(protocol);
            for value in &values {
                encoder.begin();
                value.write(&mut encoder);
                let expected = match value {
                    Value::Error(..) => Finished::Error,
                    _ => Finished::Ok,
                };
                prop_assert_eq!(encoder.finish(), expected);
            }
            for value in &values {
                let pending = encoder.pending();
                let length = match protocol {
                    Protocol::Lines => {
                        let expected = value.lines();
                        prop_assert!(pending.starts_with(&expected), "{pending:?} {expected:?}");
                        expected.len()
                    }
                    Protocol::Resp2 => {
                        let (frame, length) = resp2::decode::decode(pending).unwrap().unwrap();
                        prop_assert_eq!(frame, value.resp2());
                        length
                    }
                    Protocol::Resp3 => {
                        let (frame, length) = resp3::decode::complete::decode(pending).unwrap().unwrap();
                        prop_assert_eq!(frame, value.resp3());
                        length
                    }
                };
                encoder.advance(length);
            }
            prop_assert!(encoder.is_empty());
        }
    }

    #[test]
    fn miscounting_worker_still_gives_one_frame(calls in calls()) {
        for protocol in [Protocol::Lines, Protocol::Resp2, Protocol::Resp3] {
            let mut encoder = Encoder::new(protocol);
            encoder.begin();
            for call in &calls {
                match call {
                    Call::Scalar(value) => value.write(&mut encoder),
                    Call::List(length) => encoder.list(*length),
                    Call::Map(pairs) => encoder.map(*pairs),
                    Call::Reset => encoder.reset(),
                }
            }
            let finished = encoder.finish();
            let bytes = encoder.pending();
            if protocol == Protocol::Lines {
                prop_assert!(bytes.ends_with(b"\n"));
            } else {
                prop_assert_eq!(frame_length(bytes), Some(bytes.len()));
            }
            if protocol == Protocol::Resp2 {
                let (_, length) = resp2::decode::decode(bytes).unwrap().unwrap();
                prop_assert_eq!(length, bytes.len());
            }
            if finished == Finished::Malformed {
                let text = String::from_utf8_lossy(bytes);
                prop_assert!(text.trim_end().ends_with("the worker gave a malformed reply"));
            }
        }
    }
}
