//! A message from the worker process.

use std::str::FromStr;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use thiserror::Error;

use super::hello::Hello;
use super::{VERSION, answer::WorkerAnswer, bounded::Bounded, json::Json};
use crate::live::manifest::CommandFacts;

/// The most calls that a worker process may be given at once.
const MOST_CONCURRENT: u32 = 1024;

/// The longest kind of an error, in bytes.
const LONGEST_KIND: usize = 32;

/// The most characters of a problem in JSON; a part of it may be the worker's own text.
const MOST_PROBLEM: usize = 300;

/// A message from the worker process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Its first message, which describes the plugin.
    Hello(Hello),
    /// The answer to one request.
    Answer { id: u64, answer: WorkerAnswer },
    /// The progress of a call; `total` is 0 where it is not known.
    Progress { id: u64, done: u64, total: u64, text: String },
    /// A line for the log.
    Log { level: log::Level, text: String },
    /// The whole new list of its commands.
    Commands(Vec<CommandFacts>),
}

/// A line that is no message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("not a message: {problem}")]
pub struct BadLine {
    /// The request that it was an answer to, where that can be told.
    pub id: Option<u64>,
    /// The reason, on one line, for people.
    pub problem: String,
}

/// The fields of any message. Only those of the message's own kind are parsed.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    dropin: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    ok: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    bytes: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    kind: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    progress: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    log: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    text: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    commands: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    name: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    version: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    concurrency: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    features: Option<&'a RawValue>,
}

/// Reads a field that is there. An `Option` by itself takes `null` for a field that is not.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

/// The part of a call that is done, the whole or 0, and a text that may be left out.
#[derive(Deserialize)]
struct Progress(u64, u64, #[serde(default)] String);

/// A command as the worker describes it. Other fields are ignored.
#[derive(Deserialize)]
struct Command {
    name: String,
    #[serde(default)]
    usage: String,
    #[serde(default)]
    help: String,
    #[serde(default)]
    writes: bool,
    #[serde(default)]
    idempotent: bool,
}

/// Parses a line, without its line end.
///
/// # Errors
/// It is no message; the host logs that, and fails the request that it was an answer to.
pub fn parse(line: &[u8]) -> Result<Message, BadLine> {
    let line = without_mark(line);
    let bad = |problem: String| BadLine { id: leading_id(line).map(|(id, _)| id), problem };
    let text = str::from_utf8(line).map_err(|error| bad(error.to_string()))?;
    // A struct could also be read from a list.
    if !text.trim_start().starts_with('{') {
        return Err(bad("it is no JSON object".into()));
    }
    let fields: Fields<'_> = serde_json::from_str(text).map_err(|error| bad(one_line(&error)))?;
    let Some(id) = fields.id.filter(|_| fields.dropin.is_none()) else {
        return fields.unrelated().map_err(bad);
    };
    let id = required("id", Some(id)).map_err(bad)?;
    fields.answer(id).map_err(|problem| BadLine { id: Some(id), problem })
}

/// Returns the number of the request that the line is an answer to, if the line starts with it, as
/// in `{"id":7,`. The line need not be valid, and may be cut.
#[must_use]
pub fn start_id(line: &[u8]) -> Option<u64> {
    let (id, rest) = leading_id(line)?;
    // A cut line may have lost digits of the number.
    rest.first().and(Some(id))
}

/// Returns the number that a line starts with, and the rest of the line.
fn leading_id(line: &[u8]) -> Option<(u64, &[u8])> {
    let mut rest = without_mark(line).trim_ascii_start();
    for part in [&b"{"[..], b"\"id\"", b":"] {
        rest = rest.strip_prefix(part)?.trim_ascii_start();
    }
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = rest.split_at_checked(digits)?;
    if !matches!(rest.first(), None | Some(b',' | b'}' | b' ' | b'\t' | b'\r')) {
        return None;
    }
    Some((str::from_utf8(digits).ok()?.parse().ok()?, rest))
}

/// Returns the line without a byte order mark, which some runtimes write before all their output.
fn without_mark(line: &[u8]) -> &[u8] {
    line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line)
}

impl Fields<'_> {
    /// Returns the answer or progress of a request.
    fn answer(&self, id: u64) -> Result<Message, String> {
        let answer = match (self.ok, self.bytes, self.error, self.progress) {
            (Some(value), None, None, None) => WorkerAnswer::Value(Json::copy(value)),
            (None, Some(_), None, None) => {
                let text: String = required("bytes", self.bytes)?;
                let bytes = STANDARD.decode(text.as_bytes());
                WorkerAnswer::Bytes(bytes.map_err(|error| format!("its 'bytes': {error}"))?)
            }
            (None, None, Some(_), None) => {
                let message = required("error", self.error)?;
                WorkerAnswer::Error { kind: self.kind(), message }
            }
            (None, None, None, Some(_)) => {
                let Progress(done, total, text) = required("progress", self.progress)?;
                return Ok(Message::Progress { id, done, total, text });
            }
            _ => {
                return Err("it has not exactly one of 'ok', 'bytes', 'error', 'progress'".into());
            }
        };
        Ok(Message::Answer { id, answer })
    }

    /// Returns the kind of an error, `ERR` where there is no legal one.
    fn kind(&self) -> String {
        let legal = |kind: &String| {
            (1..=LONGEST_KIND).contains(&kind.len())
                && kind.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_'))
        };
        let kind = self.kind.and_then(|kind| serde_json::from_str(kind.get()).ok());
        kind.filter(legal).unwrap_or_else(|| "ERR".into())
    }

    /// Returns a message that belongs to no request.
    fn unrelated(&self) -> Result<Message, String> {
        if self.dropin.is_some() {
            self.hello().map(Message::Hello)
        } else if self.log.is_some() {
            let level: String = required("log", self.log)?;
            let level = log::Level::from_str(&level)
                .map_err(|_| "its 'log' is none of error, warn, info, debug, trace".to_owned())?;
            Ok(Message::Log { level, text: required("text", self.text)? })
        } else if self.commands.is_some() {
            Ok(Message::Commands(self.commands()?))
        } else {
            Err("it has none of 'dropin', 'id', 'log', 'commands'".into())
        }
    }

    fn hello(&self) -> Result<Hello, String> {
        let version: u64 = required("dropin", self.dropin)?;
        if version != VERSION {
            return Err(format!(
                "its 'dropin' is {version}: it speaks another version of the protocol than {VERSION}"
            ));
        }
        let concurrency = optional("concurrency", self.concurrency)?.unwrap_or(1);
        if !(1..=MOST_CONCURRENT).contains(&concurrency) {
            return Err(format!("its 'concurrency' {concurrency} is not 1 to {MOST_CONCURRENT}"));
        }
        let features: Option<Bounded<String>> = optional("features", self.features)?;
        Ok(Hello {
            name: required("name", self.name)?,
            version: optional("version", self.version)?.unwrap_or_else(|| "0".into()),
            concurrency,
            has_state: features
                .is_some_and(|Bounded(list)| list.iter().any(|name| name == "state")),
            commands: self.commands()?,
        })
    }

    fn commands(&self) -> Result<Vec<CommandFacts>, String> {
        let Bounded(commands) = required::<Bounded<Command>>("commands", self.commands)?;
        let facts = |command: Command| CommandFacts {
            name: command.name,
            usage: command.usage,
            help: command.help,
            writes: command.writes,
            idempotent: command.idempotent,
        };
        Ok(commands.into_iter().map(facts).collect())
    }
}

/// Parses a field that the message needs.
fn required<'a, T: Deserialize<'a>>(name: &str, field: Option<&'a RawValue>) -> Result<T, String> {
    optional(name, field)?.ok_or_else(|| format!("it has no '{name}'"))
}

/// Parses a field that may be left out.
fn optional<'a, T: Deserialize<'a>>(
    name: &str,
    field: Option<&'a RawValue>,
) -> Result<Option<T>, String> {
    let parsed = field.map(|field| serde_json::from_str(field.get())).transpose();
    parsed.map_err(|error| format!("its '{name}': {}", one_line(&error)))
}

/// Returns the error's text, of limited length. A string of the worker's in it is escaped.
fn one_line(error: &serde_json::Error) -> String {
    error.to_string().chars().take(MOST_PROBLEM).collect()
}
