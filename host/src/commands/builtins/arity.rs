//! The error for too few or too many arguments.

use plugin_engine::registry::Command;
use protocol::{Encoder, Protocol, RequestView};

/// A longer command is not repeated in a hint. Bytes.
const SHOWN: usize = 120;

/// The reply to a command with too few or too many arguments.
#[cold]
pub fn wrong_arity(command: &Command, request: &RequestView<'_>, reply: &mut Encoder) {
    let Command { name, usage, .. } = command;
    let line = format!("{name} {usage}");
    let mut message =
        format!("wrong number of arguments for '{name}' command, usage: {}", line.trim_end());
    // At the client's prompt people type lines, too, and it speaks RESP3.
    if reply.protocol() != Protocol::Resp2
        && let Some(hint) = hint(command, request)
    {
        message.push_str("; ");
        message.push_str(&hint);
    }
    reply.error("ERR", message.as_bytes());
}

/// What was probably meant where there are too many arguments: a last one with spaces. Arguments of
/// the host's own commands can be secrets, and none of them takes text.
fn hint(command: &Command, request: &RequestView<'_>) -> Option<String> {
    let arguments: Option<Vec<&str>> = (1..request.spans.len())
        .map(|index| request.get(index).and_then(|bytes| str::from_utf8(bytes).ok()))
        .collect();
    if command.plugin.is_none() || command.most == 0 || request.spans.len() - 1 <= command.most {
        return None;
    }
    let hint = "a value with spaces needs quotes";
    let meant = arguments.and_then(|arguments| {
        let (first, rest) = arguments.split_at_checked(command.most - 1)?;
        let mut words: Vec<_> = first.iter().map(|word| quoted(word, word.contains(' '))).collect();
        words.push(quoted(&rest.join(" "), true));
        words.into_iter().collect::<Option<Vec<_>>>().map(|words| words.join(" "))
    });
    Some(match meant.filter(|meant| meant.len() <= SHOWN) {
        Some(meant) => format!("{hint}: {} {meant}", command.name),
        None => hint.to_owned(),
    })
}

/// A word as it is typed; `None` where it takes more than quotes.
fn quoted(word: &str, quotes: bool) -> Option<String> {
    let plain = !word.is_empty() && !word.contains(['"', '\'', '\\']);
    let plain = plain && !word.chars().any(char::is_control);
    plain.then(|| if quotes { format!("\"{word}\"") } else { word.to_owned() })
}
