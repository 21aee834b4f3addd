//! Commands on text: a plugin of plain functions, without state.
//!
//! Several words need no quotes: they are joined by spaces into one text. Each command needs time
//! in proportion to the length of the text; those that process single characters can be cancelled.

use std::borrow::Cow;

use plugin_api::{Request, Result, Value, plugin};
use unicode_segmentation::UnicodeSegmentation as _;

plugin! {
    commands: {
        "echo" "TEXT.." => echo, "Replies TEXT, byte for byte.";
        "upper" "TEXT.." => upper, "Replies TEXT in capitals.";
        "lower" "TEXT.." => lower, "Replies TEXT in small letters.";
        "reverse" "TEXT.." => reverse, "Replies TEXT from the last character to the first.";
        "count" "TEXT.." => count, "Counts the characters, words and bytes of TEXT.";
    }
}

fn echo(request: &Request) -> Cow<'_, [u8]> {
    request.joined()
}

fn upper(request: &Request) -> Result<String> {
    Ok(request.joined_text()?.to_uppercase())
}

fn lower(request: &Request) -> Result<String> {
    Ok(request.joined_text()?.to_lowercase())
}

/// Reverses by grapheme clusters: `é` and `👩‍🚀` are one character for a reader, and several code
/// points.
fn reverse(request: &Request) -> Result<String> {
    let text = request.joined_text()?;
    let mut cancel = request.cancel_check();
    let mut reversed = String::with_capacity(text.len());
    for character in text.graphemes(true).rev() {
        cancel.step()?;
        reversed.push_str(character);
    }
    Ok(reversed)
}

fn count(request: &Request) -> Result<Value> {
    let text = request.joined_text()?;
    let mut cancel = request.cancel_check();
    let mut characters = 0_usize;
    for _ in text.graphemes(true) {
        cancel.step()?;
        characters += 1;
    }
    Ok(Value::map([
        ("characters", characters.into()),
        ("words", text.split_whitespace().count().into()),
        ("bytes", text.len().into()),
    ]))
}

#[cfg(test)]
mod tests {
    use plugin_api::testing::{Plugin, call_once};

    use super::*;

    #[test]
    fn echo_replies_every_byte_as_it_came() {
        let plugin = Plugin::start(&PLUGIN).unwrap();
        let every_byte: Vec<u8> = (0..=255).collect();
        assert_eq!(plugin.call_bytes("echo", &[&every_byte]), Ok(every_byte.into()));
        assert_eq!(plugin.call("echo", &[""]), Ok("".into()));
        assert_eq!(plugin.call("echo", &["two", " words "]), Ok("two  words ".into()));
    }

    #[test]
    fn letters_change_case_in_every_script() {
        assert_eq!(
            call_once(&PLUGIN, "upper", &["straße", "ñandú", "1"]),
            Ok("STRASSE ÑANDÚ 1".into())
        );
        assert_eq!(call_once(&PLUGIN, "lower", &["ÅNGSTRÖM", "ΟΔΟΣ"]), Ok("ångström οδος".into()));
    }

    #[test]
    fn reverse_keeps_what_belongs_together() {
        assert_eq!(call_once(&PLUGIN, "reverse", &["ab", "c"]), Ok("c ba".into()));
        assert_eq!(call_once(&PLUGIN, "reverse", &["cafe\u{301}s"]), Ok("se\u{301}fac".into()));
        assert_eq!(call_once(&PLUGIN, "reverse", &["🇳🇴👩‍🚀!"]), Ok("!👩‍🚀🇳🇴".into()));
    }

    #[test]
    fn count_tells_characters_from_bytes() {
        let counts = |characters: i64, words: i64, bytes: i64| {
            Ok(Value::map([
                ("characters", characters.into()),
                ("words", words.into()),
                ("bytes", bytes.into()),
            ]))
        };
        assert_eq!(call_once(&PLUGIN, "count", &["one", "two"]), counts(7, 2, 7));
        assert_eq!(call_once(&PLUGIN, "count", &["  e\u{301}\n👩‍🚀 "]), counts(6, 2, 18));
        assert_eq!(call_once(&PLUGIN, "count", &[""]), counts(0, 0, 0));
    }

    #[test]
    fn only_echo_takes_what_is_not_text() {
        let plugin = Plugin::start(&PLUGIN).unwrap();
        for command in ["upper", "lower", "reverse", "count"] {
            let error = plugin.call_bytes(command, &[b"ok", b"\xff"]).unwrap_err();
            assert_eq!(error.to_string(), "ERR the text is not valid UTF-8", "{command}");
        }
    }

    #[test]
    fn every_command_wants_a_text() {
        for command in ["echo", "upper", "lower", "reverse", "count"] {
            assert!(call_once(&PLUGIN, command, &[]).is_err(), "{command}");
        }
    }

    #[test]
    fn long_work_ends_when_cancelled() {
        let plugin = Plugin::start(&PLUGIN).unwrap();
        plugin.cancel();
        for command in ["reverse", "count"] {
            let error = plugin.call(command, &["text"]).unwrap_err();
            assert_eq!(error.kind(), "CANCELLED", "{command}");
        }
    }
}
