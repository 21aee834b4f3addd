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

    /// Writes the call of a command. Arguments are arbitrary bytes. `time` is that of a command
    /// that writes, in milliseconds since 1970; 0 for others.
    pub fn call<'b>(
        &mut self,
        (id, time): (u64, u64),
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
        self.raw("]");
        if time > 0 {
            self.write(format_args!(",\"time\":{time}"));
        }
        let SessionFields { id, peer, name, key, role } = session;
        self.write(format_args!(",\"session\":{{\"id\":{id},\"peer\":\"{peer}\",\"name\":"));
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn lines(write: impl FnOnce(&mut Requests<'_>)) -> String {
        let mut out = b"earlier\n".to_vec();
        write(&mut Requests::new(&mut out));
        String::from_utf8(out).unwrap().strip_prefix("earlier\n").unwrap().to_owned()
    }

    fn session() -> SessionFields<'static> {
        let peer = "127.0.0.1:53412".parse().unwrap();
        SessionFields { id: 3, peer, name: "", key: None, role: None }
    }

    #[test]
    fn requests_are_the_lines_of_the_protocol() {
        let hello = "{\"dropin\":1,\"features\":[\"cancel\",\"progress\",\"state\"]}\n";
        assert_eq!(lines(|to| to.hello()), hello);
        let call = "{\"id\":7,\"call\":\"greet\",\"args\":[\"Ada\"],\
            \"session\":{\"id\":3,\"peer\":\"127.0.0.1:53412\",\"name\":\"\"}}\n";
        assert_eq!(lines(|to| to.call((7, 0), "greet", [&b"Ada"[..]], &session())), call);
        let others = lines(|to| {
            to.cancel(7);
            to.save(8);
            to.restore(9, &Json::parse(b" {\"b\":\n1,\"a\":1e999} ").unwrap());
        });
        let expected = "{\"cancel\":7}\n{\"id\":8,\"save\":true}\n\
            {\"id\":9,\"restore\":{\"b\": 1,\"a\":1e999}}\n";
        assert_eq!(others, expected);
    }

    #[test]
    fn session_has_its_key_and_role() {
        let peer = "[::1]:7".parse().unwrap();
        let session = SessionFields { peer, key: Some("ada"), role: Some("admin"), ..session() };
        let line = lines(|to| to.call((u64::MAX, 0), "a", [], &session));
        let expected = "{\"id\":18446744073709551615,\"call\":\"a\",\"args\":[],\"session\":\
            {\"id\":3,\"peer\":\"[::1]:7\",\"name\":\"\",\"key\":\"ada\",\"role\":\"admin\"}}\n";
        assert_eq!(line, expected);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn arguments_arrive_as_they_are(
            arguments in proptest::collection::vec(prop_oneof![
                any::<Vec<u8>>(),
                any::<String>().prop_map(String::into_bytes),
            ], 0..5),
            name in any::<String>(),
        ) {
            let session = SessionFields { name: &name, key: Some(&name), ..session() };
            let slices = arguments.iter().map(Vec::as_slice);
            let line = lines(|to| to.call((1, 0), "a", slices, &session));
            prop_assert_eq!(line.find('\n'), Some(line.len() - 1), "one line");
            let line: Value = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(&line["session"]["name"], &json!(name));
            prop_assert_eq!(&line["session"]["key"], &json!(name));
            let arrived = line["args"].as_array().unwrap().iter().map(|argument| {
                use base64::Engine;
                match argument {
                    Value::String(text) => text.clone().into_bytes(),
                    other => STANDARD.decode(other["base64"].as_str().unwrap()).unwrap(),
                }
            });
            prop_assert_eq!(arrived.collect::<Vec<_>>(), arguments);
        }
    }
}
