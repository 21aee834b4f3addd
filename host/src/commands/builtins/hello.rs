//! The built-in `hello`, which chooses the protocol, logs in, and describes the server.

use auth::identity::{Identity, Refusal};
use plugin_engine::VERSION;
use plugin_engine::call::Call;
use protocol::{Encoder, Protocol};

use crate::commands::{caller::Caller, flow::Flow};

pub(super) fn run(call: &Call<'_>, caller: &Caller<'_>, reply: &mut Encoder) -> Flow {
    match answer(call, caller, reply) {
        Ok(None) => Flow::Next,
        Ok(Some(identity)) => Flow::Become(Box::new(identity)),
        Err(refusal) => {
            reply.error(refusal.kind, refusal.message.as_bytes());
            Flow::Next
        }
    }
}

/// Writes the reply, and returns the new identity after a login. On an error nothing is changed.
fn answer(
    call: &Call<'_>,
    caller: &Caller<'_>,
    reply: &mut Encoder,
) -> Result<Option<Identity>, Refusal> {
    let mut arguments = call.arguments();
    let protocol = match arguments.next() {
        None => reply.protocol(),
        Some(b"2") => Protocol::Resp2,
        Some(b"3") => Protocol::Resp3,
        Some(other) if other.iter().all(u8::is_ascii_digit) => {
            return refuse("NOPROTO", "unsupported protocol version");
        }
        Some(_) => return refuse("ERR", "Protocol version is not an integer or out of range"),
    };
    let (mut name, mut login) = (None, None);
    while let Some(option) = arguments.next() {
        if option.eq_ignore_ascii_case(b"SETNAME") {
            match arguments.next() {
                Some(value) => match super::client::check_name(value) {
                    Ok(value) => name = Some(value),
                    Err(problem) => return refuse("ERR", problem),
                },
                None => return syntax_error(option),
            }
        } else if option.eq_ignore_ascii_case(b"AUTH") {
            match (arguments.next(), arguments.next()) {
                (Some(name), Some(key)) => login = Some((name, key)),
                _ => return syntax_error(option),
            }
        } else {
            return syntax_error(option);
        }
    }
    let identity =
        login.map(|(name, key)| super::auth::login(caller, Some(name), key)).transpose()?;
    if let Some(name) = name {
        caller.session.rename(|names| names.session = name);
    }
    reply.set_protocol(protocol);
    reply.map(7);
    write_pair(reply, "server", "dropin");
    write_pair(reply, "version", VERSION);
    reply.text(b"proto");
    reply.integer(if protocol == Protocol::Resp3 { 3 } else { 2 });
    reply.text(b"id");
    reply.integer(i64::try_from(caller.session.id).unwrap_or(i64::MAX));
    write_pair(reply, "mode", "standalone");
    write_pair(reply, "role", "master");
    reply.text(b"modules");
    reply.list(0);
    Ok(identity)
}

fn write_pair(reply: &mut Encoder, key: &str, value: &str) {
    reply.text(key.as_bytes());
    reply.text(value.as_bytes());
}

fn syntax_error<T>(option: &[u8]) -> Result<T, Refusal> {
    let option = String::from_utf8_lossy(option.get(..128).unwrap_or(option));
    refuse("ERR", &format!("Syntax error in HELLO option '{option}'"))
}

fn refuse<T>(kind: &'static str, message: &str) -> Result<T, Refusal> {
    Err(Refusal { kind, message: message.into() })
}
