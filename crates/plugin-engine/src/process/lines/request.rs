//! The host's lines for a worker process.

use std::{fmt, io::Write, net::SocketAddr};

use base64::{display::Base64Display, engine::general_purpose::STANDARD};

use super::{VERSION, json::Json};

/// The session that a call came from, as the worker may know it.
#[derive(Clone, Copy, Debug)]
pub struct SessionFields<'a> {
    /// Its number.
    pub id: u64,
    /// Its client's address.
    pub peer: SocketAddr,
    /// The name that its client gave it; empty where it gave none.
    pub name: &'a str,
    /// The name of its key, where it has one.
    pub key: Option<&'a str>,
    /// Its role, where it has one.
    pub role: Option<&'a str>,
}

/// A writer of lines, each with its line end, at the end of a buffer.
#[derive(Debug)]
pub struct Requests<'a>(&'a mut Vec<u8>);

impl<'a> Requests<'a> {
    /// Makes a writer that appends to `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self(out)
    }

    /// Writes the first line, which says what the host can do.
    pub fn hello(&mut self) {
        self.write(format_args!(
            "{{\"dropin\":{VERSION},\"features\":[\"cancel\",\"progress\",\"state\"]}}\n"
        ));
    }

    /// Writes the call of a command. Arguments are arbitrary bytes.
    pub fn call<'b>(
        &mut self,
        id: u64,
        command: &str,
        arguments: impl IntoIterator<Item = &'b [u8]>,
        session: &SessionFields<'_>,
    ) {
        self.write(format_args!("{{\"id\":{id},\"call\":"));
        self.text(command);
        self.raw(",\"args\":[");
        for (index, argument) in arguments.into_iter().enumerate() {
            if index > 0 {
                self.raw(",");
            }
            match str::from_utf8(argument) {
                Ok(text) => self.text(text),
                Err(_) => {
                    let encoded = Base64Display::new(argument, &STANDARD);
                    self.write(format_args!("{{\"base64\":\"{encoded}\"}}"));
                }
            }
        }
        let SessionFields { id, peer, name, key, role } = session;
        self.write(format_args!("],\"session\":{{\"id\":{id},\"peer\":\"{peer}\",\"name\":"));
        self.text(name);
        for (field, value) in [(",\"key\":", key), (",\"role\":", role)] {
            if let Some(value) = value {
                self.raw(field);
                self.text(value);
            }
        }
        self.raw("}}\n");
    }

    /// Writes that a call is cancelled. Its answer is still expected.
    pub fn cancel(&mut self, id: u64) {
        self.write(format_args!("{{\"cancel\":{id}}}\n"));
    }

    /// Writes the request for the plugin's state.
    pub fn save(&mut self, id: u64) {
        self.write(format_args!("{{\"id\":{id},\"save\":true}}\n"));
    }

    /// Writes the request to take over a saved state.
    pub fn restore(&mut self, id: u64, state: &Json) {
        self.write(format_args!("{{\"id\":{id},\"restore\":{}}}\n", state.as_str()));
    }

    fn raw(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    /// Writes a string in its quotes.
    fn text(&mut self, text: &str) {
        let written = serde_json::to_writer(&mut *self.0, text);
        debug_assert!(written.is_ok(), "writing into memory does not fail");
    }

    fn write(&mut self, text: fmt::Arguments<'_>) {
        let written = self.0.write_fmt(text);
        debug_assert!(written.is_ok(), "writing into memory does not fail");
    }
}
