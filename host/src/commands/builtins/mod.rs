//! The built-ins: the commands that the host answers itself.

mod arity;
mod auth;
mod client;
mod command;
mod fleet;
mod hello;
mod info;
mod loglevel;
mod plugin;
mod stats;
mod subcommands;
mod transaction;

use std::sync::Arc;

pub use self::{arity::wrong_arity, transaction::InTransaction};
use ::auth::identity::{AccessLevel, Identity};
use plugin_engine::{
    call::Call,
    events::Topic,
    live::manifest::CommandFacts,
    registry::{Command, Registry, Target},
};
use protocol::{Encoder, Protocol};
use telemetry::metrics::Metrics;

use self::subcommands::Subcommand;
use super::{caller::Caller, flow::Flow};
use crate::runtime::shutdown::Reason;

/// The function of a built-in, which writes the reply and returns the session's next step.
type Run = fn(&Call<'_>, &Caller<'_>, &mut Encoder) -> Flow;

/// The declaration of a built-in.
struct Builtin {
    name: &'static str,
    usage: &'static str,
    access: AccessLevel,
    help: &'static str,
    run: Run,
    subcommands: &'static [Subcommand],
}

/// All built-ins. A new one is a row here, and a file beside this one if it has more than a few
/// lines.
const ALL: [Builtin; 20] = [
    Builtin {
        name: "auth",
        usage: "NAME_OR_KEY [KEY]",
        access: AccessLevel::Anyone,
        help: "Logs in with a key.",
        run: auth::run,
        subcommands: &[],
    },
    Builtin {
        name: "client",
        usage: "SUBCOMMAND [ARGUMENT..]",
        access: AccessLevel::Known,
        help: "Shows, names, cancels or ends sessions.",
        run: client::run,
        subcommands: &client::SUBCOMMANDS,
    },
    Builtin {
        name: "close",
        usage: "",
        access: AccessLevel::Anyone,
        help: "Ends this session.",
        run: close,
        subcommands: &[],
    },
    Builtin {
        name: "command",
        usage: "[SUBCOMMAND] [ARGUMENT..]",
        access: AccessLevel::Known,
        help: "Describes the commands.",
        run: command::run,
        subcommands: &command::SUBCOMMANDS,
    },
    Builtin {
        name: "discard",
        usage: "",
        access: AccessLevel::Known,
        help: "Ends a transaction; none of its commands runs.",
        run: transaction::discard,
        subcommands: &[],
    },
    Builtin {
        name: "exec",
        usage: "",
        access: AccessLevel::Known,
        help: "Runs the commands of a transaction, and replies all replies.",
        run: transaction::exec,
        subcommands: &[],
    },
    Builtin {
        name: "fleet",
        usage: "[SUBCOMMAND] [ARGUMENT..]",
        access: AccessLevel::Admin,
        help: fleet::HELP,
        run: fleet::run,
        subcommands: &fleet::SUBCOMMANDS,
    },
    Builtin {
        name: "hello",
        usage: "[VERSION] [OPTION..]",
        access: AccessLevel::Anyone,
        help: "Chooses the protocol and greets.",
        run: hello::run,
        subcommands: &[],
    },
    Builtin {
        name: "info",
        usage: "[SECTION..]",
        access: AccessLevel::Known,
        help: "Tells facts and counters of the host, as Redis does.",
        run: info::run,
        subcommands: &[],
    },
    Builtin {
        name: "ks",
        usage: "",
        access: AccessLevel::Admin,
        help: "Shuts the server down: notifies every client, ends every session, exits.",
        run: ks,
        subcommands: &[],
    },
    Builtin {
        name: "loglevel",
        usage: "[LEVEL]",
        access: AccessLevel::Admin,
        help: "Shows the log level, or sets it.",
        run: loglevel::run,
        subcommands: &[],
    },
    Builtin {
        name: "multi",
        usage: "",
        access: AccessLevel::Known,
        help: "Begins a transaction: commands are queued until EXEC.",
        run: transaction::multi,
        subcommands: &[],
    },
    Builtin {
        name: "ping",
        usage: "[MESSAGE]",
        access: AccessLevel::Known,
        help: "Answers PONG, or the message.",
        run: ping,
        subcommands: &[],
    },
    Builtin {
        name: "plugin",
        usage: "SUBCOMMAND [NAME] [force]",
        access: AccessLevel::Admin,
        help: plugin::HELP,
        run: plugin::run,
        subcommands: &plugin::SUBCOMMANDS,
    },
    Builtin {
        name: "quit",
        usage: "",
        access: AccessLevel::Anyone,
        help: "Ends this session.",
        run: close,
        subcommands: &[],
    },
    Builtin {
        name: "reset",
        usage: "",
        access: AccessLevel::Anyone,
        help: "Puts this session into its initial state.",
        run: reset,
        subcommands: &[],
    },
    Builtin {
        name: "select",
        usage: "INDEX",
        access: AccessLevel::Known,
        help: "Chooses a database; there is only 0.",
        run: select,
        subcommands: &[],
    },
    Builtin {
        name: "stats",
        usage: "[COMMANDS]",
        access: AccessLevel::Admin,
        help: "Shows the host's counters, or those of each command.",
        run: stats::run,
        subcommands: &[],
    },
    Builtin {
        name: "unwatch",
        usage: "",
        access: AccessLevel::Known,
        help: "Does nothing: keys cannot be watched.",
        run: transaction::unwatch,
        subcommands: &[],
    },
    Builtin {
        name: "watch",
        usage: "KEY..",
        access: AccessLevel::Known,
        help: "Is refused: keys cannot be watched.",
        run: transaction::watch,
        subcommands: &[],
    },
];

/// Returns the built-ins, for the registry.
pub fn commands(metrics: &Metrics) -> Vec<Arc<Command>> {
    let command = |(number, builtin): (usize, &Builtin)| {
        let (name, usage) = (builtin.name.to_owned(), builtin.usage.to_owned());
        let help = builtin.help.to_owned();
        let facts = CommandFacts { name, usage, help, ..CommandFacts::default() };
        let command = Command::new(facts, None, metrics, Target::Builtin(number));
        Arc::new(command.with_access(builtin.access))
    };
    ALL.iter().enumerate().map(command).collect()
}

/// Returns the subcommands of the built-in of this name; most have none.
fn subcommands_of(name: &str) -> &'static [Subcommand] {
    ALL.iter().find(|builtin| builtin.name == name).map_or(&[], |builtin| builtin.subcommands)
}

/// Returns whether a built-in has this name.
pub fn is_builtin(name: &str) -> bool {
    ALL.iter().any(|builtin| builtin.name == name)
}

/// Runs the built-in that the registry knows by this number.
#[inline]
pub fn run(number: usize, call: &Call<'_>, caller: &Caller<'_>, reply: &mut Encoder) -> Flow {
    (ALL[number].run)(call, caller, reply)
}

/// Returns what becomes of the built-in of this number between MULTI and EXEC.
pub fn in_transaction(number: usize, subcommand: Option<&[u8]>) -> InTransaction {
    InTransaction::of(ALL[number].name, subcommand.unwrap_or_default())
}

fn close(_: &Call<'_>, _: &Caller<'_>, reply: &mut Encoder) -> Flow {
    reply.ok();
    Flow::Close
}

fn ks(_: &Call<'_>, caller: &Caller<'_>, reply: &mut Encoder) -> Flow {
    reply.ok();
    caller.shared.shutdown.request(Reason::Client(caller.session.peer));
    Flow::Next
}

fn ping(call: &Call<'_>, _: &Caller<'_>, reply: &mut Encoder) -> Flow {
    match call.argument(0) {
        Some(message) => reply.text(message),
        None => reply.status("PONG"),
    }
    Flow::Next
}

fn reset(_: &Call<'_>, caller: &Caller<'_>, reply: &mut Encoder) -> Flow {
    caller.session.rename(|names| names.session.clear());
    if reply.protocol() == Protocol::Resp3 {
        reply.set_protocol(Protocol::Resp2);
    }
    reply.status("RESET");
    Flow::Reset
}

fn select(call: &Call<'_>, _: &Caller<'_>, reply: &mut Encoder) -> Flow {
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
fn watch(caller: &Caller<'_>, topic: Topic, reply: &mut Encoder) -> Flow {
    if reply.protocol() != Protocol::Resp3 {
        reply.error("ERR", b"watching takes RESP3: send HELLO 3 first");
        return Flow::Next;
    }
    match caller.shared.events.subscribe() {
        Ok(subscription) => {
            reply.ok();
            Flow::Subscribe(topic, Some(Box::new(subscription)))
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

#[cfg(test)]
mod tests {
    use plugin_api::Usage;

    use super::*;

    #[test]
    fn the_usage_line_of_every_builtin_is_understood() {
        for Builtin { name, usage, subcommands, .. } in ALL {
            assert!(Usage::parse(usage).is_ok(), "{name} {usage}");
            for Subcommand { name, usage, .. } in subcommands {
                assert!(Usage::parse(usage).is_ok(), "{name} {usage}");
            }
            assert!(plugin_api::is_command_name(name));
        }
        assert_eq!(commands(&Metrics::default()).len(), ALL.len());
    }
}
