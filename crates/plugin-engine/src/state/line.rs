//! One line of an exported state: a command with its time, or the bytes of a snapshot, in JSON.
//!
//! A word that is not UTF-8 is `{"base64":"..."}`, as in the protocol of workers in JSON lines.

use std::io::{self, Write};

use base64::{Engine, display::Base64Display, engine::general_purpose::STANDARD};
use plugin_api::commands::CommandReader;
use serde::Deserialize;

/// A line of an exported state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A command: its time in milliseconds since 1970, and its words.
    Command(u64, Vec<Vec<u8>>),
    /// A snapshot that only the plugin can read.
    State(Vec<u8>),
}

/// The fields of a line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    time: Option<u64>,
    command: Option<Vec<Word>>,
    state: Option<Word>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Word {
    Text(String),
    Base64 { base64: String },
}

impl Word {
    fn into_bytes(self) -> Result<Vec<u8>, String> {
        match self {
            Self::Text(text) => Ok(text.into_bytes()),
            Self::Base64 { base64 } => {
                STANDARD.decode(base64).map_err(|error| format!("its base64 is wrong: {error}"))
            }
        }
    }
}

/// Writes each command of a list as a line.
///
/// # Errors
/// The bytes are no list of commands, or cannot be written.
pub fn write_commands(out: &mut dyn Write, time: u64, commands: &[u8]) -> io::Result<()> {
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, format!("{error}"));
    let (mut reader, mut spans) = (CommandReader::new(commands), Vec::new());
    while reader.next(&mut spans).map_err(invalid)?.is_some() {
        write!(out, "{{\"time\":{time},\"command\":[")?;
        for (index, span) in spans.iter().enumerate() {
            if index > 0 {
                out.write_all(b",")?;
            }
            write_word(out, span.part_of(commands))?;
        }
        out.write_all(b"]}\n")?;
    }
    Ok(())
}

/// Writes a snapshot that only the plugin can read as a line.
///
/// # Errors
/// It cannot be written.
pub fn write_state(out: &mut dyn Write, state: &[u8]) -> io::Result<()> {
    let encoded = Base64Display::new(state, &STANDARD);
    writeln!(out, "{{\"state\":{{\"base64\":\"{encoded}\"}}}}")
}

fn write_word(out: &mut dyn Write, word: &[u8]) -> io::Result<()> {
    match str::from_utf8(word) {
        Ok(text) => serde_json::to_writer(&mut *out, text).map_err(io::Error::from),
        Err(_) => write!(out, "{{\"base64\":\"{}\"}}", Base64Display::new(word, &STANDARD)),
    }
}

/// Parses a line.
///
/// # Errors
/// It is neither a command nor a state; the text says why.
pub fn parse(line: &str) -> Result<Line, String> {
    let fields: Fields = serde_json::from_str(line).map_err(|error| error.to_string())?;
    match fields {
        Fields { time: Some(time), command: Some(words), state: None } if !words.is_empty() => {
            let words = words.into_iter().map(Word::into_bytes);
            Ok(Line::Command(time, words.collect::<Result<_, _>>()?))
        }
        Fields { time: None, command: None, state: Some(state) } => {
            state.into_bytes().map(Line::State)
        }
        _ => Err("it has neither a time and a command nor a state".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::commands::Commands;

    use super::*;

    #[test]
    fn commands_and_states_come_back() {
        let list: [&[&[u8]]; 3] = [
            &[b"set", b"a \"key\"\n", b"\xff\x00"],
            &[b"flushall"],
            &[b"del", b"", "ü".as_bytes()],
        ];
        let mut commands = Commands::default();
        list.iter().for_each(|words| commands.push(words.iter().copied()));
        let mut out = Vec::new();
        write_commands(&mut out, 1_796_014_800_000, &commands.into_bytes()).unwrap();
        write_state(&mut out, b"\x00state").unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<_> = text.lines().map(|line| parse(line).unwrap()).collect();
        let words = |words: &[&[u8]]| words.iter().map(|word| word.to_vec()).collect();
        let expected = list.iter().map(|one| Line::Command(1_796_014_800_000, words(one)));
        let expected: Vec<_> = expected.chain([Line::State(b"\x00state".to_vec())]).collect();
        assert_eq!(lines, expected);
        let first = r#"{"time":1796014800000,"command":["set","a \"key\"\n",{"base64":"/wA="}]}"#;
        assert_eq!(text.lines().next(), Some(first));
    }

    #[test]
    fn other_lines_are_rejected() {
        for line in [
            "",
            "{}",
            "[1,[\"set\"]]",
            r#"{"time":1}"#,
            r#"{"command":["set"]}"#,
            r#"{"time":1,"command":[]}"#,
            r#"{"time":-1,"command":["set"]}"#,
            r#"{"time":1,"command":["set",1]}"#,
            r#"{"time":1,"command":["set",{"base64":"%"}]}"#,
            r#"{"time":1,"command":["set"],"state":"x"}"#,
            r#"{"time":1,"command":["set"],"more":1}"#,
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn bytes_that_are_no_list_are_reported() {
        let error = write_commands(&mut Vec::new(), 1, b"\x05abc").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
