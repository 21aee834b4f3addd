//! The parts of a JSON value, one after the other, without recursion.

use memchr::memchr2;

/// One part of a JSON value. Commas and colons are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// The start of a list.
    List,
    /// The start of a map.
    Map,
    /// The end of the list or map that was opened last.
    End,
    /// A string or a key, in its quotes and with its escapes.
    Text(&'a str),
    /// A number.
    Number(&'a str),
    Boolean(bool),
    Null,
}

/// An iterator over the tokens of a valid JSON value. In any other text, the tokens are arbitrary.
pub(super) struct Tokens<'a>(&'a str);

impl<'a> Tokens<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// Takes the first `length` bytes of the rest, or all of it.
    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.0.split_at_checked(length).unwrap_or((self.0, ""));
        self.0 = rest;
        taken
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let between = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',' | b':');
        let skipped = self.0.bytes().take_while(between).count();
        self.take(skipped);
        let first = *self.0.as_bytes().first()?;
        Some(match first {
            b'"' => Token::Text(self.take(text_length(self.0.as_bytes()))),
            b'[' | b'{' | b']' | b'}' | b't' | b'n' => {
                self.take(if first.is_ascii_lowercase() { 4 } else { 1 });
                match first {
                    b'[' => Token::List,
                    b'{' => Token::Map,
                    b't' => Token::Boolean(true),
                    b'n' => Token::Null,
                    _ => Token::End,
                }
            }
            b'f' => {
                self.take(5);
                Token::Boolean(false)
            }
            _ => {
                let ends =
                    |byte: u8| !matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
                let length = self.0.bytes().position(ends).unwrap_or(self.0.len());
                Token::Number(self.take(length.max(1)))
            }
        })
    }
}

/// Returns the length of the string at the front, with its quotes.
fn text_length(bytes: &[u8]) -> usize {
    let mut at = 1;
    while let Some(rest) = bytes.get(at..)
        && let Some(found) = memchr2(b'"', b'\\', rest)
    {
        if rest.get(found) == Some(&b'"') {
            return at + found + 1;
        }
        // The escaped character may be a quote.
        at += found + 2;
    }
    bytes.len()
}
