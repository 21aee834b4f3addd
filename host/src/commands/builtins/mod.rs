//! The built-ins: the commands that the host answers itself.

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
use plugin_api::Usage;

use super::registry::{Builtin, Call, Command, Flow, Registry, Target};
use crate::{
    access::identity::{AccessLevel, Identity},
    runtime::{events::Topic, shutdown::Reason},
    telemetry::metrics::Metrics,
    wire::{Encoder, Protocol},
};

const ALL: [(&str, &str, AccessLevel, &str, Builtin); 13] = [
    ("auth", "NAME_OR_KEY [KEY]", AccessLevel::Anyone, "Logs in with a key.", auth::run),
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
        "Shuts the server down: notifies every client, ends every session, exits.",
        ks,
    ),
    ("loglevel", "[LEVEL]", AccessLevel::Admin, "Shows the log level, or sets it.", loglevel::run),
    ("ping", "[MESSAGE]", AccessLevel::Known, "Answers PONG, or the message.", ping),
    ("plugin", "SUBCOMMAND [NAME] [force]", AccessLevel::Admin, plugin::HELP, plugin::run),
    ("quit", "", AccessLevel::Anyone, "Ends this session.", close),
    ("reset", "", AccessLevel::Anyone, "Puts this session into its initial state.", reset),
    ("select", "INDEX", AccessLevel::Known, "Chooses a database; there is only 0.", select),
    (
        "stats",
        "[COMMANDS]",
        AccessLevel::Admin,
        "Shows the host's counters, or those of each command.",
        stats::run,
    ),
];

/// Returns the built-ins, for the registry.
pub fn commands(metrics: &Metrics) -> Vec<Arc<Command>> {
    ALL.iter()
        .map(|(name, usage, access, help, builtin)| {
            // A test below ensures that every usage line can be parsed.
            let arguments = Usage::parse(usage).unwrap_or_default();
            let target = Target::Builtin(*builtin);
            let series = metrics.series(None, name);
            let command = Command::new(name, usage, arguments, help, None, series, target);
            Arc::new(command.with_access(*access))
        })
        .collect()
}

/// Returns whether a built-in has this name.
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

/// Subscribes the session to a topic.
fn watch(call: &Call<'_>, topic: Topic, reply: &mut Encoder) -> Flow {
    if reply.protocol() != Protocol::Resp3 {
        reply.error("ERR", b"watching takes RESP3: send HELLO 3 first");
        return Flow::Next;
    }
    match call.shared.events.subscribe() {
        Ok(subscription) => {
            reply.ok();
            Flow::Subscribe(topic, Some(subscription))
        }
        Err(error) => {
            let message = format!("cannot subscribe to events: {error}");
            reply.error("ERR", message.as_bytes());
            Flow::Next
        }
    }
}

/// Unsubscribes the session from a topic.
fn unwatch(topic: Topic, reply: &mut Encoder) -> Flow {
    reply.ok();
    Flow::Subscribe(topic, None)
}

/// Writes the error for a name that is not in the registry.
pub fn unknown_command(registry: &Registry, identity: &Identity, name: &[u8], reply: &mut Encoder) {
    /// The longest name that is repeated in the error, in bytes.
    const SHOWN: usize = 128;
    let shown = String::from_utf8_lossy(name.get(..SHOWN).unwrap_or(name));
    let message = match registry.nearest(name, identity) {
        Some(nearest) => format!("unknown command '{shown}', did you mean '{nearest}'?"),
        None => format!("unknown command '{shown}'"),
    };
    reply.error("ERR", message.as_bytes());
}

/// Writes the error for a subcommand that a built-in does not have.
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
