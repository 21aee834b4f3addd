//! Lines of the prompt: a command, and the shell command line that gets its reply.

use crate::conversation::quoting::{self, QuotingError};

/// A parsed line.
#[derive(Debug, PartialEq, Eq)]
pub struct PromptLine {
    /// The command for the host; empty for a line that is only for the shell.
    pub command: Vec<Vec<u8>>,
    /// The shell command line whose input is the reply.
    pub pipe: Option<String>,
}

/// The words of a line that is not complete yet.
#[derive(Debug, PartialEq, Eq)]
pub struct PartialLine {
    /// The words, unquoted.
    pub words: Vec<String>,
    /// A blank follows the last word.
    pub is_last_word_complete: bool,
}

impl PromptLine {
    /// Parses a line. An unquoted word `|` or `!` ends the command, and the rest is for the shell.
    pub fn parse(line: &str) -> Result<Self, QuotingError> {
        let (command, pipe) = match pipe_start(line) {
            Some(start) => (&line[..start], Some(line[start + 1..].trim())),
            None => (line, None),
        };
        let command = quoting::split(command.as_bytes())?;
        Ok(Self { command, pipe: pipe.filter(|pipe| !pipe.is_empty()).map(str::to_owned) })
    }
}

/// Returns true for a command that the client itself runs.
pub fn is_local(name: &str) -> bool {
    name.eq_ignore_ascii_case("exit")
}

/// Returns true when a part of the line is for the shell.
pub fn has_pipe(line: &str) -> bool {
    pipe_start(line).is_some()
}

/// Returns the last of several lines.
pub fn last_line(lines: &str) -> &str {
    lines.rsplit('\n').next().unwrap_or_default()
}

/// Returns the words of a line that is not complete yet.
pub fn parse_partial(line: &str) -> PartialLine {
    let ends_with_blank = line.ends_with([' ', '\t']);
    // An open quote ends at the end of the line.
    for (close, is_open) in [("", false), ("\"", true), ("'", true)] {
        if let Ok(words) = quoting::split(format!("{line}{close}").as_bytes()) {
            let words = words.iter().map(|word| String::from_utf8_lossy(word).into_owned());
            return PartialLine {
                words: words.collect(),
                is_last_word_complete: ends_with_blank && !is_open,
            };
        }
    }
    let words = line.split_whitespace().map(str::to_owned).collect();
    PartialLine { words, is_last_word_complete: ends_with_blank }
}

/// Returns true for lines with a key, which must not be stored.
pub fn has_secret(lines: &str) -> bool {
    lines.lines().any(|line| {
        let words = parse_partial(line).words;
        let is = |word: &String, wanted: &str| word.eq_ignore_ascii_case(wanted);
        words.first().is_some_and(|name| {
            is(name, "auth") || is(name, "hello") && words.iter().any(|word| is(word, "auth"))
        })
    })
}

/// Returns the start of an unquoted word `|` or `!`, or of a first word that begins with `!`.
fn pipe_start(line: &str) -> Option<usize> {
    let bytes = line.as_bytes();
    let (mut quote, mut index) = (None, 0);
    while let Some(byte) = bytes.get(index).copied() {
        let blank = |index: usize| bytes.get(index).is_none_or(|byte| matches!(byte, b' ' | b'\t'));
        let starts = index == 0 || blank(index - 1);
        match (quote, byte) {
            // An escaped byte is no quote and no word. Single quotes know one escape.
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
        assert_eq!(PromptLine::parse(line), Ok(PromptLine { command, pipe }), "{line:?}");
    }

    #[test]
    fn bar_or_exclamation_mark_begins_a_pipe() {
        is("clients | grep '10.'", &["clients"], Some("grep '10.'"));
        is("clients ! sort | uniq", &["clients"], Some("sort | uniq"));
        is("! ls -l", &[], Some("ls -l"));
        is("!ls", &[], Some("ls"));
        is("clients |", &["clients"], None);
    }

    #[test]
    fn quoted_and_inner_marks_are_arguments() {
        is("echo hello! a|b x|", &["echo", "hello!", "a|b", "x|"], None);
        is("echo '|' \"a | b\" 'it\\'s | x'", &["echo", "|", "a | b", "it's | x"], None);
        is("echo \\| \\! x", &["echo", "|", "!", "x"], None);
        is("echo \"a\\\" | b\"", &["echo", "a\" | b"], None);
        assert_eq!(PromptLine::parse("echo 'a | b"), Err(QuotingError::Unbalanced));
    }

    #[test]
    fn keys_are_recognized_in_every_spelling() {
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
    fn open_quote_ends_with_the_line() {
        let is = |line: &str, words: &[&str], is_last_word_complete: bool| {
            let words = words.iter().map(|word| word.to_string()).collect();
            assert_eq!(parse_partial(line), PartialLine { words, is_last_word_complete });
        };
        is("echo 'a b", &["echo", "a b"], false);
        is("echo \"a ", &["echo", "a "], false);
        is("echo a ", &["echo", "a"], true);
    }
}
