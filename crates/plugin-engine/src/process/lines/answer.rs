//! A worker's answer, and the reply that it becomes.

use protocol::Encoder;
use thiserror::Error;

use super::{
    json::Json,
    tokens::{Token, Tokens},
};

/// The most lists and maps inside each other that a reply can have.
const DEEPEST: usize = 64;

/// The answer of a worker to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkerAnswer {
    /// A value of any type.
    Value(Json),
    /// A text of arbitrary bytes.
    Bytes(Vec<u8>),
    /// An error. The kind is legal: 1 to 32 of `A-Z 0-9 _`.
    Error { kind: String, message: String },
}

/// The reason why a JSON value cannot be a reply.
#[derive(Debug, Error)]
pub enum BadValue {
    /// Its lists and maps are nested too deeply.
    #[error("its lists and maps are nested more than {DEEPEST} levels deep")]
    TooDeep,
    /// A number is larger than any float.
    #[error("it has a number that is larger than any float")]
    TooLarge,
    /// A string is half of a surrogate pair, for instance.
    #[error("it has a string that is not text: {0}")]
    Text(#[source] serde_json::Error),
}

/// Writes the answer as the whole reply, which must have begun.
///
/// # Errors
/// The value cannot be a reply; the reply is then an error that says so.
pub fn write_answer(answer: &WorkerAnswer, reply: &mut Encoder) -> Result<(), BadValue> {
    match answer {
        WorkerAnswer::Value(json) => {
            let written = write_value(json.as_str(), reply);
            if written.is_err() {
                reply.reset();
                reply.error("ERR", b"the worker gave a malformed reply");
            }
            return written;
        }
        WorkerAnswer::Bytes(bytes) => reply.text(bytes),
        WorkerAnswer::Error { kind, message } => reply.error(kind, message.as_bytes()),
    }
    Ok(())
}

fn write_value(text: &str, reply: &mut Encoder) -> Result<(), BadValue> {
    let mut lengths = lengths(text)?.into_iter().map(|length| length as usize);
    for token in Tokens::new(text) {
        match token {
            Token::List => reply.list(lengths.next().unwrap_or_default()),
            // A key and its value each count.
            Token::Map => reply.map(lengths.next().unwrap_or_default() / 2),
            Token::End => {}
            Token::Text(quoted) => write_text(quoted, reply)?,
            Token::Number(number) => write_number(number, reply)?,
            Token::Boolean(value) => reply.boolean(value),
            Token::Null => reply.null(),
        }
    }
    Ok(())
}

/// Returns the numbers of items of all lists and maps, in the order in which they start.
///
/// Small numbers, since a hostile line can have a list in every three bytes. A list of more items
/// than `u32::MAX` makes the reply malformed.
fn lengths(text: &str) -> Result<Vec<u32>, BadValue> {
    let mut lengths: Vec<u32> = Vec::new();
    if !text.starts_with(['[', '{']) {
        return Ok(lengths);
    }
    let mut open = Vec::with_capacity(DEEPEST);
    for token in Tokens::new(text) {
        if token == Token::End {
            open.pop();
            continue;
        }
        if let Some(length) = open.last().and_then(|index: &usize| lengths.get_mut(*index)) {
            *length = length.saturating_add(1);
        }
        if matches!(token, Token::List | Token::Map) {
            if open.len() == DEEPEST {
                return Err(BadValue::TooDeep);
            }
            open.push(lengths.len());
            lengths.push(0);
        }
    }
    Ok(lengths)
}

fn write_text(quoted: &str, reply: &mut Encoder) -> Result<(), BadValue> {
    if quoted.contains('\\') {
        let text: String = serde_json::from_str(quoted).map_err(BadValue::Text)?;
        reply.text(text.as_bytes());
    } else {
        reply.text(quoted.trim_matches('"').as_bytes());
    }
    Ok(())
}

fn write_number(number: &str, reply: &mut Encoder) -> Result<(), BadValue> {
    if let Ok(integer) = number.parse() {
        reply.integer(integer);
        return Ok(());
    }
    match number.parse::<f64>() {
        Ok(float) if float.is_finite() => reply.float(float),
        _ => return Err(BadValue::TooLarge),
    }
    Ok(())
}
