//! A worker: the name of a command, its arguments, and its function.

use std::fmt;

use crate::{reply::Reply, request::Request};

/// The function of a command, as [`plugin!`](crate::plugin!) creates it from the author's own.
pub type Function<S> = fn(&S, &Request, &mut Reply<'_>);

/// The maximum length of a command name, in bytes.
pub const MAX_NAME: usize = 64;

/// Returns whether `name` is a legal command name: 1 to [`MAX_NAME`] of `a-z 0-9 . - _`, beginning
/// with a letter or digit.
#[must_use]
pub fn is_command_name(name: &str) -> bool {
    let legal = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b".-_".contains(&c);
    name.len() <= MAX_NAME
        && name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
        && name.bytes().all(legal)
}

/// A parsed usage line: the arguments that a command takes.
///
/// The grammar: `KEY VALUE` are two arguments, `KEY..` is one or more, `[BY]` is optional,
/// `[KEY..]` is any number. Nothing may follow a repeated argument, and only optional ones may
/// follow an optional one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    arguments: Vec<Argument>,
}

/// One argument in a [`Usage`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// The argument's name, without brackets and dots.
    pub name: String,
    /// True if the argument may be omitted.
    pub optional: bool,
    /// True if the argument may be given more than once.
    pub repeated: bool,
}

/// A usage line that does not follow the grammar of [`Usage`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageError {
    usage: String,
    reason: &'static str,
}

impl Usage {
    /// Parses a usage line.
    ///
    /// # Errors
    /// The line does not follow the grammar.
    pub fn parse(usage: &str) -> Result<Self, UsageError> {
        let fail = |reason| Err(UsageError { usage: usage.to_owned(), reason });
        let mut arguments: Vec<Argument> = Vec::new();
        for word in usage.split_ascii_whitespace() {
            let (inner, optional) =
                match word.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                    Some(inner) => (inner, true),
                    None => (word, false),
                };
            let (name, repeated) = match inner.strip_suffix("..") {
                Some(name) => (name, true),
                None => (inner, false),
            };
            if name.is_empty() || name.contains(['[', ']', '.']) {
                return fail("an argument is NAME, NAME.., [NAME] or [NAME..]");
            }
            match arguments.last() {
                Some(last) if last.repeated => return fail("nothing may follow a repeated one"),
                Some(last) if last.optional && !optional => {
                    return fail("only optional ones may follow an optional one");
                }
                _ => {}
            }
            arguments.push(Argument { name: name.to_owned(), optional, repeated });
        }
        Ok(Self { arguments })
    }

    /// Returns the arguments in order.
    #[must_use]
    pub fn arguments(&self) -> &[Argument] {
        &self.arguments
    }

    /// Returns the smallest number of arguments, without the command's name.
    #[must_use]
    pub fn least(&self) -> usize {
        self.arguments.iter().filter(|argument| !argument.optional).count()
    }

    /// Returns the largest number of arguments, without the command's name; `None` where there is
    /// no bound.
    #[must_use]
    pub fn most(&self) -> Option<usize> {
        let repeated = self.arguments.last().is_some_and(|argument| argument.repeated);
        (!repeated).then_some(self.arguments.len())
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "the usage line '{}' cannot be read: {}", self.usage, self.reason)
    }
}

impl std::error::Error for UsageError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(usage: &str) -> (usize, Option<usize>) {
        let usage = Usage::parse(usage).unwrap();
        (usage.least(), usage.most())
    }

    #[test]
    fn the_usage_line_tells_how_many_arguments() {
        assert_eq!(bounds(""), (0, Some(0)));
        assert_eq!(bounds("KEY VALUE"), (2, Some(2)));
        assert_eq!(bounds("KEY [BY]"), (1, Some(2)));
        assert_eq!(bounds("KEY.."), (1, None));
        assert_eq!(bounds("[TEXT..]"), (0, None));
        assert_eq!(bounds("A [B] [C..]"), (1, None));
    }

    #[test]
    fn a_usage_line_that_means_nothing_is_refused() {
        for usage in ["[A] B", "A.. B", "[A", "A]", "..", "[]", "A...", "a.b"] {
            assert!(Usage::parse(usage).is_err(), "{usage}");
        }
    }

    #[test]
    fn names_are_short_lower_case_and_plain() {
        for name in ["echo", "text.upper", "a-b_c", "2fa"] {
            assert!(is_command_name(name), "{name}");
        }
        let long = "x".repeat(MAX_NAME + 1);
        for name in ["", "Echo", "a b", "é", ".x", "-x", "a\n", long.as_str()] {
            assert!(!is_command_name(name), "{name}");
        }
    }
}
