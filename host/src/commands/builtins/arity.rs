//! The error for too few or too many arguments.

use plugin_engine::registry::Command;
use protocol::{Encoder, Protocol, RequestView};

/// The longest command line that a hint repeats, in bytes.
const SHOWN: usize = 120;

/// Writes the error for a command with too few or too many arguments.
#[cold]
pub fn wrong_arity(command: &Command, request: &RequestView<'_>, reply: &mut Encoder) {
    let Command { name, usage, .. } = command;
    let line = format!("{name} {usage}");
    let mut message =
        format!("wrong number of arguments for '{name}' command, usage: {}", line.trim_end());
    // Not for RESP2, which programs use. The client's prompt uses RESP3, and people type there.
    if reply.protocol() != Protocol::Resp2
        && let Some(hint) = hint(command, request)
    {
        message.push_str("; ");
        message.push_str(&hint);
    }
    reply.error("ERR", message.as_bytes());
}

/// Returns a hint for too many arguments: the last one probably has spaces. There is none for
/// built-ins, whose arguments may be secrets and never are free text.
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

/// Returns a word as it is typed, or `None` if it needs more than quotes.
fn quoted(word: &str, quotes: bool) -> Option<String> {
    let plain = !word.is_empty() && !word.contains(['"', '\'', '\\']);
    let plain = plain && !word.chars().any(char::is_control);
    plain.then(|| if quotes { format!("\"{word}\"") } else { word.to_owned() })
}
