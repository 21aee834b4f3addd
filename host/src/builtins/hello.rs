//! `hello`: chooses the protocol and greets.

use crate::{
    shared::VERSION,
    table::{Call, Flow},
    wire::{Encoder, Protocol},
};

/// Worded as Redis words it where no key is set.
pub(super) const NO_KEYS: &[u8] = b"AUTH <password> called without any password configured for \
the default user. Are you sure your configuration is correct?";

pub(super) fn run(call: &Call<'_>, reply: &mut Encoder) -> Flow {
    answer(call, reply);
    Flow::Next
}

fn answer(call: &Call<'_>, reply: &mut Encoder) {
    let mut arguments = call.arguments();
    let protocol = match arguments.next() {
        None => reply.protocol(),
        Some(b"2") => Protocol::Resp2,
        Some(b"3") => Protocol::Resp3,
        Some(other) if other.iter().all(u8::is_ascii_digit) => {
            return reply.error("NOPROTO", b"unsupported protocol version");
        }
        Some(_) => {
            return reply.error("ERR", b"Protocol version is not an integer or out of range");
        }
    };
    let mut name = None;
    while let Some(option) = arguments.next() {
        if option.eq_ignore_ascii_case(b"SETNAME") {
            match arguments.next() {
                Some(value) if super::client::is_name(value) => name = Some(value),
                Some(_) => return reply.error("ERR", super::client::BAD_NAME),
                None => return syntax(option, reply),
            }
        } else if option.eq_ignore_ascii_case(b"AUTH") {
            return reply.error("ERR", NO_KEYS);
        } else {
            return syntax(option, reply);
        }
    }
    if let Some(name) = name {
        call.session.rename(|names| names.session = String::from_utf8_lossy(name).into_owned());
    }
    reply.set_protocol(protocol);
    reply.map(7);
    pair(reply, "server", "dropin");
    pair(reply, "version", VERSION);
    reply.text(b"proto");
    reply.integer(if protocol == Protocol::Resp3 { 3 } else { 2 });
    reply.text(b"id");
    reply.integer(i64::try_from(call.session.id).unwrap_or(i64::MAX));
    pair(reply, "mode", "standalone");
    pair(reply, "role", "master");
    reply.text(b"modules");
    reply.list(0);
}

fn pair(reply: &mut Encoder, key: &str, value: &str) {
    reply.text(key.as_bytes());
    reply.text(value.as_bytes());
}

fn syntax(option: &[u8], reply: &mut Encoder) {
    let option = String::from_utf8_lossy(option.get(..128).unwrap_or(option));
    reply.error("ERR", format!("Syntax error in HELLO option '{option}'").as_bytes());
}
