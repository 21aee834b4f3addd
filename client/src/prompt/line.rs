//! What a person types at the prompt: commands, a line each, and where their replies go.

use crate::conversation::quoting::{self, BadLine};

/// One line, understood.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// The command for the host; empty for a line that is for the shell alone.
    pub command: Vec<Vec<u8>>,
    /// What the shell runs on the reply.
    pub pipe: Option<String>,
}

impl Line {
    /// Splits a line. A word that is `|` or `!` ends the command, and the rest is for the shell; a
    /// quoted one is an argument like any other.
    pub fn parse(line: &str) -> Result<Self, BadLine> {
        let (command, pipe) = match pipe_start(line) {
            Some(start) => (&line[..start], Some(line[start + 1..].trim())),
            None => (line, None),
        };
        let command = quoting::split(command.as_bytes())?;
        Ok(Self { command, pipe: pipe.filter(|pipe| !pipe.is_empty()).map(str::to_owned) })
    }
}

/// Whether the client itself understands this name.
pub fn is_local(name: &str) -> bool {
    name.eq_ignore_ascii_case("exit")
}

/// Whether a part of the line is for the shell.
pub fn has_pipe(line: &str) -> bool {
    pipe_start(line).is_some()
}

/// The line that is typed last, of several that were pasted.
pub fn last(lines: &str) -> &str {
    lines.rsplit('\n').next().unwrap_or_default()
}

/// The words of a half-typed line, and whether the last of them is ended by a blank.
pub fn words(line: &str) -> (Vec<String>, bool) {
    let ended = line.ends_with([' ', '\t']);
    // A quote that is still open closes at the end.
    for (close, open) in [("", false), ("\"", true), ("'", true)] {
        if let Ok(words) = quoting::split(format!("{line}{close}").as_bytes()) {
            let words = words.iter().map(|word| String::from_utf8_lossy(word).into_owned());
            return (words.collect(), ended && !open);
        }
    }
    (line.split_whitespace().map(str::to_owned).collect(), ended)
}

/// Whether a line tells a key, which nobody shall read later.
pub fn has_secret(lines: &str) -> bool {
    lines.lines().any(|line| {
        let words = words(line).0;
        let is = |word: &String, wanted: &str| word.eq_ignore_ascii_case(wanted);
        words.first().is_some_and(|name| {
            is(name, "auth") || is(name, "hello") && words.iter().any(|word| is(word, "auth"))
        })
    })
}

/// Where an unquoted word starts that is `|` or `!`, or a first one that begins with `!`.
fn pipe_start(line: &str) -> Option<usize> {
    let bytes = line.as_bytes();
    let (mut quote, mut index) = (None, 0);
    while let Some(byte) = bytes.get(index).copied() {
        let blank = |index: usize| bytes.get(index).is_none_or(|byte| matches!(byte, b' ' | b'\t'));
        let starts = index == 0 || blank(index - 1);
        match (quote, byte) {
            // What is escaped is never a quote or a word by itself. Single quotes know one escape.
            (Some(b'\''), b'\\') => index += usize::from(bytes.get(index + 1) == Some(&b'\'')),
            (_, b'\\') => index += 1,
            (Some(open), byte) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'!') if line[..index].trim().is_empty() => return Some(index),
            (None, b'|' | b'!') if starts && blank(index + 1) => return Some(index),
            (None, _) => {}
        }
        index += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn is(line: &str, command: &[&str], pipe: Option<&str>) {
        let command = command.iter().map(|word| word.as_bytes().to_vec()).collect();
        let pipe = pipe.map(str::to_owned);
        assert_eq!(Line::parse(line), Ok(Line { command, pipe }), "{line:?}");
    }

    #[test]
    fn a_bar_or_an_exclamation_mark_by_itself_begins_a_pipe() {
        is("clients | grep '10.'", &["clients"], Some("grep '10.'"));
        is("clients ! sort | uniq", &["clients"], Some("sort | uniq"));
        is("! ls -l", &[], Some("ls -l"));
        is("!ls", &[], Some("ls"));
        is("clients |", &["clients"], None);
    }

    #[test]
    fn others_are_arguments() {
        is("echo hello! a|b x|", &["echo", "hello!", "a|b", "x|"], None);
        is("echo '|' \"a | b\" 'it\\'s | x'", &["echo", "|", "a | b", "it's | x"], None);
        is("echo \\| \\! x", &["echo", "|", "!", "x"], None);
        is("echo \"a\\\" | b\"", &["echo", "a\" | b"], None);
        assert_eq!(Line::parse("echo 'a | b"), Err(BadLine::Unbalanced));
    }

    #[test]
    fn secrets_are_seen_however_they_are_typed() {
        for line in [
            "auth alice 3f9a",
            "  AUTH 3f9a",
            "'auth' 'open quote",
            "hello 3 AUTH alice 3f9a",
            "echo x\nauth alice 3f9a",
            "auth",
        ] {
            assert!(has_secret(line), "{line}");
        }
        for line in ["echo auth", "hello 3", "author x", "", "set auth 1"] {
            assert!(!has_secret(line), "{line}");
        }
    }

    #[test]
    fn half_typed_words() {
        let strings = |words: &[&str]| words.iter().map(|word| word.to_string()).collect();
        assert_eq!(words("echo 'a b"), (strings(&["echo", "a b"]), false));
        assert_eq!(words("echo \"a "), (strings(&["echo", "a "]), false));
        assert_eq!(words("echo a "), (strings(&["echo", "a"]), true));
    }
}
