//! The headers of a script that is run once for each call: `# dropin: NAME USAGE -- HELP`.

use plugin_api::{Usage, is_command_name};
use thiserror::Error;

use crate::live::manifest::CommandFacts;

/// The number of lines at a script's start that may be headers.
const LINES: usize = 20;

/// The number of bytes at a script's start that may be headers.
pub const HEADER_BYTES: usize = 4096;

/// A header that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("its header in line {line} is wrong: {problem}")]
pub struct BadHeader {
    /// The number of its line, counted from 1.
    pub line: usize,
    /// The reason, on one line, for people.
    pub problem: String,
}

/// Returns the commands in a script's headers; `None` if it has no header, so that it speaks JSON
/// lines. `start` is the script's start, at least its first [`HEADER_BYTES`] or all of it.
///
/// # Errors
/// The first header that is wrong.
pub fn script_commands(start: &[u8]) -> Result<Option<Vec<CommandFacts>>, BadHeader> {
    let is_cut = start.len() >= HEADER_BYTES;
    let start = start.get(..HEADER_BYTES).unwrap_or(start);
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    let mut commands: Vec<CommandFacts> = Vec::new();
    for (index, line) in start.split_inclusive(|byte| *byte == b'\n').take(LINES).enumerate() {
        let Some(content) = header(line) else { continue };
        let bad = |problem| BadHeader { line: index + 1, problem };
        if is_cut && !line.ends_with(b"\n") {
            return Err(bad(format!("it does not end in the first {HEADER_BYTES} bytes")));
        }
        let command = command(content).map_err(bad)?;
        if commands.iter().any(|other| other.name == command.name) {
            return Err(bad(format!("the command '{}' is there already", command.name)));
        }
        commands.push(command);
    }
    Ok(Some(commands).filter(|commands| !commands.is_empty()))
}

/// Returns the content of a line that is a header.
fn header(line: &[u8]) -> Option<&[u8]> {
    let line = line.trim_ascii();
    let comment = line.strip_prefix(b"#").or_else(|| line.strip_prefix(b"//"))?;
    Some(comment.trim_ascii_start().strip_prefix(b"dropin:")?.trim_ascii_start())
}

/// Parses `NAME USAGE -- HELP`. The usage and the help may be left out.
fn command(content: &[u8]) -> Result<CommandFacts, String> {
    let text = str::from_utf8(content).map_err(|_| "it is not UTF-8".to_owned())?;
    if text.contains(char::is_control) {
        return Err("it has a control character".into());
    }
    let (call, help) = match text.strip_suffix(" --") {
        Some(call) if !call.contains(" -- ") => (call, ""),
        _ => text.split_once(" -- ").unwrap_or((text, "")),
    };
    let (name, usage) = call.split_once(' ').unwrap_or((call, ""));
    let (usage, help) = (usage.trim(), help.trim());
    if !is_command_name(name) {
        return Err(format!(
            "the name '{}' is illegal: 1 to {} of a-z 0-9 . - _, a letter or digit first",
            name.escape_debug(),
            plugin_api::MAX_NAME
        ));
    }
    Usage::parse(usage).map_err(|error| error.to_string())?;
    let (name, usage, help) = (name.into(), usage.into(), help.into());
    Ok(CommandFacts { name, usage, help, ..CommandFacts::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(name: &str, usage: &str, help: &str) -> CommandFacts {
        let (name, usage, help) = (name.into(), usage.into(), help.into());
        CommandFacts { name, usage, help, ..CommandFacts::default() }
    }

    #[test]
    fn every_header_is_a_command() {
        let script = b"#!/bin/sh\n# dropin: up TEXT.. -- TEXT in capitals.\r\n#dropin:now\n\
            \t//  dropin:  a.b  KEY [BY]  --  Its -- help. \n## dropin: no\n# dropin: bare --\n\
            # dropin: helped -- \xc3\xa4\necho # dropin: no\n# Dropin: no\n# dropin no\n";
        let commands = script_commands(script).unwrap().unwrap();
        let expected = [
            facts("up", "TEXT..", "TEXT in capitals."),
            facts("now", "", ""),
            facts("a.b", "KEY [BY]", "Its -- help."),
            facts("bare", "", ""),
            facts("helped", "", "\u{e4}"),
        ];
        assert_eq!(commands, expected);
    }

    #[test]
    fn script_without_header_speaks_json_lines() {
        for script in [&b""[..], b"#!/bin/sh\n", b"\x7fELF\0\n\xff", b"# drop\n", b"#"] {
            assert_eq!(script_commands(script), Ok(None));
        }
    }

    #[test]
    fn wrong_header_is_refused_with_its_line() {
        for (header, said) in [
            (&b"# dropin:"[..], "the name '' is illegal"),
            (b"# dropin: -- help", "the name '--' is illegal"),
            (b"# dropin: Up", "the name 'Up' is illegal"),
            (b"# dropin: up [A] B", "only optional ones may follow"),
            (b"# dropin: up A\tB", "a control character"),
            (b"# dropin: up \0", "a control character"),
            (b"# dropin: up -- \xff", "not UTF-8"),
            (b"# dropin: up\n# dropin: up A", "'up' is there already"),
        ] {
            let script = [b"\xef\xbb\xbf#!/bin/sh\n\n", header, b"\n"].concat();
            let error = script_commands(&script).unwrap_err();
            let line = 3 + usize::from(header.contains(&b'\n'));
            let start = format!("its header in line {line} is wrong: ");
            let text = error.to_string();
            assert!(text.starts_with(&start) && text.contains(said), "{text}");
        }
    }

    #[test]
    fn headers_end_after_20_lines_or_4096_bytes() {
        let after = |start: &str, length: usize| {
            let script = [start.repeat(length), "# dropin: up\n".into()].concat();
            script_commands(script.as_bytes())
        };
        let up = Ok(Some(vec![facts("up", "", "")]));
        assert_eq!(after("\n", 19), up);
        assert_eq!(after("\n", 20), Ok(None));
        let header = "# dropin: up\n".len();
        let long = |length: usize| {
            let script = [&"x".repeat(length - 1), "\n# dropin: up\n", &"x".repeat(5000)].concat();
            script_commands(script.as_bytes())
        };
        assert_eq!(long(HEADER_BYTES - header), up);
        assert_eq!(long(HEADER_BYTES), Ok(None));
        let error = long(HEADER_BYTES - header + 1).unwrap_err();
        assert_eq!(error.line, 2);
        assert!(error.problem.contains("4096 bytes"), "{error}");
        // The end of a short script needs no line end.
        assert_eq!(script_commands(b"# dropin: up"), up);
    }
}
