//! The output of a worker process, and the headers of a script.
//!
//! The first byte chooses the longest line and the reads, which must not matter to it.
#![no_main]

use std::{io::BufReader, sync::Arc};

use dropin_fuzz::process::lines::{
    Json, Line, LineReader, Message, Requests, WorkerAnswer, parse, script_commands, start_id,
    write_answer,
};
use libfuzzer_sys::fuzz_target;
use plugin_api::{Usage, is_command_name};
use protocol::{Encoder, Finished, Protocol};
use serde_json::Value;

/// A line as this target compares it: its number where it is too long, and its bytes otherwise.
#[derive(Debug, PartialEq, Eq)]
enum Owned {
    Whole(Vec<u8>),
    TooLong(Option<u64>),
    Unfinished(Vec<u8>),
}

fn read_all(input: &[u8], most: usize, reads: usize) -> Vec<Owned> {
    let mut reader = LineReader::new(BufReader::with_capacity(reads, input), Arc::new(most.into()));
    let mut lines = Vec::new();
    while let Some(line) = reader.read().expect("memory can be read") {
        lines.push(match line {
            Line::Whole(line) => Owned::Whole(line.to_vec()),
            Line::TooLong { start } => Owned::TooLong(start_id(start)),
            Line::Unfinished(line) => Owned::Unfinished(line.to_vec()),
        });
    }
    lines
}

fn check_line(line: &[u8]) {
    match parse(line) {
        Ok(Message::Answer { answer, .. }) => check_answer(&answer),
        Ok(Message::Hello(hello)) => {
            assert!((1..=1024).contains(&hello.concurrency));
            let manifest = hello.manifest();
            if manifest.check().is_ok() {
                assert!(manifest.commands.iter().all(|command| is_command_name(&command.name)));
            }
        }
        Ok(_) => {}
        Err(bad) => {
            let text = bad.to_string();
            assert!(!text.contains(char::is_control) && text.len() < 5000, "{text:?}");
            assert!(bad.id.is_some() || start_id(line).is_none());
        }
    }
}

fn check_answer(answer: &WorkerAnswer) {
    for protocol in [Protocol::Lines, Protocol::Resp2, Protocol::Resp3] {
        let mut reply = Encoder::new(protocol);
        reply.begin();
        let written = write_answer(answer, &mut reply);
        let is_error = matches!(answer, WorkerAnswer::Error { .. }) || written.is_err();
        assert_eq!(reply.finish(), if is_error { Finished::Error } else { Finished::Ok });
    }
    match answer {
        WorkerAnswer::Value(json) => {
            assert_eq!(Json::parse(json.as_str().as_bytes()).as_ref().ok(), Some(json));
            let mut line = Vec::new();
            Requests::new(&mut line).restore(1, json);
            assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1));
            if let Ok(value) = serde_json::from_str::<Value>(json.as_str())
                && is_comparable(&value)
            {
                let expected = reply(|to| write(&value, to));
                assert_eq!(reply(|to| drop(write_answer(answer, to))), expected);
            }
        }
        WorkerAnswer::Bytes(_) => {}
        WorkerAnswer::Error { kind, .. } => {
            let legal =
                |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
            assert!((1..=32).contains(&kind.len()) && kind.bytes().all(legal), "{kind:?}");
        }
    }
}

/// Returns the bytes of one reply.
fn reply(write: impl FnOnce(&mut Encoder)) -> Vec<u8> {
    let mut encoder = Encoder::new(Protocol::Resp3);
    encoder.begin();
    write(&mut encoder);
    encoder.finish();
    encoder.pending().to_vec()
}

/// Returns whether another parser keeps everything in this value. It sorts the keys of a map, and
/// does not parse each float exactly.
fn is_comparable(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.iter().all(is_comparable),
        Value::Number(number) => number.is_i64(),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

fn write(value: &Value, to: &mut Encoder) {
    match value {
        Value::Null => to.null(),
        Value::Bool(value) => to.boolean(*value),
        Value::Number(number) => to.integer(number.as_i64().expect("it is comparable")),
        Value::String(text) => to.text(text.as_bytes()),
        Value::Array(items) => {
            to.list(items.len());
            items.iter().for_each(|item| write(item, to));
        }
        Value::Object(map) => to.map(map.len()),
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&choice, input)) = data.split_first() else { return };
    let most = if choice & 1 == 0 { usize::from(choice) * 8 } else { usize::MAX };
    let lines = read_all(input, most, input.len() + 1);
    assert_eq!(read_all(input, most, 300), lines);
    for line in &lines {
        if let Owned::Whole(line) | Owned::Unfinished(line) = line {
            assert!(line.len() <= most && !line.contains(&b'\n'));
            check_line(line);
        }
    }

    match script_commands(input) {
        Ok(Some(commands)) => {
            assert!((1..=20).contains(&commands.len()));
            for command in &commands {
                assert!(is_command_name(&command.name));
                assert!(Usage::parse(&command.usage).is_ok());
                assert!(!command.help.contains(char::is_control));
            }
        }
        Ok(None) => {}
        Err(bad) => {
            let text = bad.to_string();
            assert!((1..=20).contains(&bad.line) && text.len() < 5000 * 10, "{text:?}");
            assert!(!text.contains(char::is_control), "{text:?}");
        }
    }
});
