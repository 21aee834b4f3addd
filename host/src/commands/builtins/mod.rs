//! The commands that the host answers itself: `close`, `ks`, and the session's housekeeping.

mod arity;
mod auth;
mod client;
mod command;
mod hello;
mod loglevel;
mod plugin;
mod stats;
mod subcommands;

use std::sync::Arc;

pub use self::arity::wrong_arity;
use ::auth::identity::{AccessLevel, Identity};
use plugin_api::Usage;
use protocol::{Encoder, Protocol};
use telemetry::metrics::Metrics;

use super::registry::{Builtin, Call, Command, Flow, Registry, Target};
use crate::runtime::{events::Topic, shutdown::Reason};

const ALL: [(&str, &str, AccessLevel, &str, Builtin); 13] = [
    ("auth", "NAME_OR_KEY [KEY]", AccessLevel::Anyone, "Proves who you are.", auth::run),
    (
        "client",
        "SUBCOMMAND [ARGUMENT..]",
        AccessLevel::Known,
        "Shows, names, cancels or ends sessions.",
        client::run,
    ),
    ("close", "", AccessLevel::Anyone, "Ends this session.", close),
    (
        "command",
        "[SUBCOMMAND] [ARGUMENT..]",
        AccessLevel::Known,
        "Describes the commands.",
        command::run,
    ),
    (
        "hello",
        "[VERSION] [OPTION..]",
        AccessLevel::Anyone,
        "Chooses the protocol and greets.",
        hello::run,
    ),
    (
        "ks",
        "",
        AccessLevel::Admin,
        "Kills the server: tells every client, ends them all, exits.",
        ks,
    ),
    ("loglevel", "[LEVEL]", AccessLevel::Admin, "Tells what is logged, or sets it.", loglevel::run),
    ("ping", "[MESSAGE]", AccessLevel::Known, "Answers PONG, or the message.", ping),
    ("plugin", "SUBCOMMAND [NAME] [force]", AccessLevel::Admin, plugin::HELP, plugin::run),
    ("quit", "", AccessLevel::Anyone, "Ends this session.", close),
    ("reset", "", AccessLevel::Anyone, "Makes this session as it was at first.", reset),
    ("select", "INDEX", AccessLevel::Known, "Chooses a database; there is only 0.", select),
    (
        "stats",
        "[COMMANDS]",
        AccessLevel::Admin,
        "Tells what the host has counted, or each command's part.",
        stats::run,
    ),
];

/// The built-ins, for the registry.
#[must_use]
pub fn commands(metrics: &Metrics) -> Vec<Arc<Command>> {
    ALL.iter()
        .map(|(name, usage, access, help, builtin)| {
            // That every line can be read is for the test below to see to.
            let arguments = Usage::parse(usage).unwrap_or_default();
            let target = Target::Builtin(*builtin);
            let series = metrics.series(None, name);
            let command = Command::new(name, usage, arguments, help, None, series, target);
            Arc::new(command.with_access(*access))
        })
        .collect()
}

/// Whether the host has this name for itself.
#[must_use]
pub fn is_builtin(name: &str) -> bool {
    ALL.iter().any(|(builtin, ..)| *builtin == name)
}

fn close(_: &Call<'_>, reply: &mut Encoder) -> Flow {
    reply.ok();
    Flow::Close
}

fn ks(call: &Call<'_>, reply: &mut Encoder) -> Flow {
    reply.ok();
    call.shared.shutdown.request(Reason::Client(call.session.peer));
    Flow::Next
}

fn ping(call: &Call<'_>, reply: &mut Encoder) -> Flow {
    match call.argument(0) {
        Some(message) => reply.text(message),
        None => reply.status("PONG"),
    }
    Flow::Next
}

fn reset(call: &Call<'_>, reply: &mut Encoder) -> Flow {
    call.session.rename(|names| names.session.clear());
    if reply.protocol() == Protocol::Resp3 {
        reply.set_protocol(Protocol::Resp2);
    }
    reply.status("RESET");
    Flow::Reset
}

fn select(call: &Call<'_>, reply: &mut Encoder) -> Flow {
    match call.argument(0) {
        Some(b"0") => reply.ok(),
        Some(other) if other.iter().all(u8::is_ascii_digit) => {
            reply.error("ERR", b"DB index is out of range");
        }
        _ => reply.error("ERR", b"value is not an integer or out of range"),
    }
    Flow::Next
}

/// Has the session told of a topic from now on.
fn watch(call: &Call<'_>, topic: Topic, reply: &mut Encoder) -> Flow {
    if reply.protocol() != Protocol::Resp3 {
        reply.error("ERR", b"only RESP3 carries what is watched: send HELLO 3 first");
        return Flow::Next;
    }
    match call.shared.events.subscribe() {
        Ok(subscription) => {
            reply.ok();
            Flow::Subscribe(topic, Some(subscription))
        }
        Err(error) => {
            let message = format!("the system gives nothing to watch with: {error}");
            reply.error("ERR", message.as_bytes());
            Flow::Next
        }
    }
}

/// Has it told of a topic no more.
fn unwatch(topic: Topic, reply: &mut Encoder) -> Flow {
    reply.ok();
    Flow::Subscribe(topic, None)
}

/// The reply to a name that is not in the registry.
pub fn unknown_command(registry: &Registry, identity: &Identity, name: &[u8], reply: &mut Encoder) {
    /// Longer names are cut. Bytes.
    const SHOWN: usize = 128;
    let shown = String::from_utf8_lossy(name.get(..SHOWN).unwrap_or(name));
    let message = match registry.nearest(name, identity) {
        Some(nearest) => format!("unknown command '{shown}', did you mean '{nearest}'?"),
        None => format!("unknown command '{shown}'"),
    };
    reply.error("ERR", message.as_bytes());
}

/// The reply to a subcommand that a built-in does not have.
fn unknown_subcommand(command: &str, subcommand: &[u8], known: &str, reply: &mut Encoder) {
    let subcommand = String::from_utf8_lossy(subcommand.get(..128).unwrap_or(subcommand));
    let message = format!("unknown subcommand '{subcommand}', '{command}' has: {known}");
    reply.error("ERR", message.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usage_line_of_every_builtin_is_understood() {
        for (name, usage, ..) in ALL {
            assert!(Usage::parse(usage).is_ok(), "{name} {usage}");
            assert!(plugin_api::is_command_name(name));
        }
        assert_eq!(commands(&Metrics::default()).len(), ALL.len());
    }
}
