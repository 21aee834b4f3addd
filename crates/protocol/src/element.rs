//! Replies that are items of another reply, such as those of the commands of a transaction.

use memchr::memchr;

use super::{
    outgoing::append,
    reply::{Encoder, Finished, Protocol},
};

impl Encoder {
    /// Makes an encoder of items for the replies of this one.
    pub fn for_elements(&self) -> Self {
        Self::new(match self.protocol() {
            // Lines do not show where an item ends.
            Protocol::Lines => Protocol::Resp3,
            protocol => protocol,
        })
    }

    /// Starts an item of this reply in `element`, within the room that this reply has left.
    pub fn begin_element(&self, element: &mut Self) {
        element.bound(self.most().saturating_sub(self.out.draft_len()));
        element.begin();
    }

    /// Ends the item in `element` and writes it as one item of this reply. One that does not add up
    /// or is too large becomes an error there, and changes no other item.
    pub fn finish_element(&mut self, element: &mut Self) -> Finished {
        let finished = element.finish();
        if finished == Finished::TooLarge {
            let most = self.most();
            let message =
                format!("reply larger than {most} bytes (--max-reply), with those before it");
            self.error("ERR", message.as_bytes());
        } else if self.protocol() == Protocol::Lines {
            write_items(element.pending(), self);
        } else {
            let bytes = element.pending();
            self.write_item(|out, _| append(out, bytes));
        }
        element.clear();
        finished
    }
}

/// Writes the items of a RESP3 reply by another encoder.
fn write_items(mut bytes: &[u8], out: &mut Encoder) {
    while let Some((mark, rest)) = bytes.split_first()
        && let Some(end) = memchr(b'\r', rest)
        && let Some((line, [_, _, rest @ ..])) = rest.split_at_checked(end)
    {
        bytes = rest;
        match mark {
            b'$' => {
                let Some((text, [_, _, rest @ ..])) = rest.split_at_checked(number(line)) else {
                    return;
                };
                out.text(text);
                bytes = rest;
            }
            b'*' => out.list(number(line)),
            b'%' => out.map(number(line)),
            b'_' => out.null(),
            b'#' => out.boolean(line == b"t"),
            b'-' => {
                let space = memchr(b' ', line).unwrap_or(line.len());
                let (kind, message) = line.split_at_checked(space).unwrap_or_default();
                let kind = str::from_utf8(kind).unwrap_or_default();
                out.error(kind, message.strip_prefix(b" ").unwrap_or_default());
            }
            // A status, an integer or a float.
            _ => out.text(line),
        }
    }
}

fn number(digits: &[u8]) -> usize {
    str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or_default()
}
