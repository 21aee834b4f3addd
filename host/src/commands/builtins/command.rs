//! The built-in `command`, which describes the registry in Redis's format.

use std::collections::HashSet;

use plugin_api::Argument;
use plugin_engine::{
    call::Call,
    events::Topic,
    registry::{Command, Registry},
};
use protocol::Encoder;

use super::subcommands::{self, Subcommand};
use crate::commands::{caller::Caller, flow::Flow};

/// The subcommands.
pub(super) const SUBCOMMANDS: [Subcommand; 6] = [
    Subcommand { name: "count", usage: "", help: "Shows how many commands you may run." },
    Subcommand {
        name: "docs",
        usage: "[COMMAND..]",
        help: "Shows the help and the arguments of commands.",
    },
    Subcommand { name: "info", usage: "[COMMAND..]", help: "Shows commands in Redis's format." },
    Subcommand {
        name: "list",
        usage: "",
        help: "Shows the names of the commands that you may run.",
    },
    Subcommand {
        name: "unwatch",
        usage: "",
        help: "Stops the notifications about changed commands.",
    },
    Subcommand {
        name: "watch",
        usage: "",
        help: "Notifies this session when the commands change; takes RESP3.",
    },
];

pub(super) fn run(call: &Call<'_>, caller: &Caller<'_>, reply: &mut Encoder) -> Flow {
    let subcommand = call.argument(0).unwrap_or_default();
    if subcommand.eq_ignore_ascii_case(b"watch") {
        return super::watch(caller, Topic::Commands, reply);
    }
    if subcommand.eq_ignore_ascii_case(b"unwatch") {
        return super::unwatch(Topic::Commands, reply);
    }
    answer(call, caller, reply);
    Flow::Next
}

fn answer(call: &Call<'_>, caller: &Caller<'_>, reply: &mut Encoder) {
    let (registry, identity) = (caller.registry, caller.identity);
    let known = |name: &[u8]| {
        registry.get(name).filter(|command| identity.can_run(command.required_access()))
    };
    let subcommand = call.argument(0).unwrap_or_default();
    let named = || call.arguments().skip(1);
    match subcommand.to_ascii_uppercase().as_slice() {
        b"" if call.spans.len() == 1 => {
            let commands = registry.commands(identity);
            reply.list(commands.len());
            commands.iter().for_each(|command| write_info(command, registry, reply));
        }
        b"COUNT" => {
            let count = registry.commands(identity).len();
            reply.integer(i64::try_from(count).unwrap_or(i64::MAX));
        }
        b"LIST" => {
            let commands = registry.commands(identity);
            reply.list(commands.len());
            commands.iter().for_each(|command| reply.text(command.name.as_bytes()));
        }
        b"INFO" if call.spans.len() > 2 => {
            // One item for each name, as in Redis: clients match them by position. An item has a
            // few bytes only, so duplicates do no harm.
            reply.list(call.spans.len() - 2);
            for name in named() {
                match known(name) {
                    Some(command) => write_info(command, registry, reply),
                    None => reply.null(),
                }
            }
        }
        b"INFO" => {
            let commands = registry.commands(identity);
            reply.list(commands.len());
            commands.iter().for_each(|command| write_info(command, registry, reply));
        }
        b"DOCS" => {
            let commands: Vec<_> = if call.spans.len() > 2 {
                // A map has each key once, even if the request repeats it.
                let mut seen = HashSet::new();
                let found = named().filter_map(known);
                found.filter(|command| seen.insert(command.name.as_str())).collect()
            } else {
                registry.commands(identity)
            };
            reply.map(commands.len());
            commands.iter().for_each(|command| write_docs(command, registry, reply));
        }
        _ => subcommands::refuse("command", &SUBCOMMANDS, subcommand, reply),
    }
}

/// Writes name, arity, flags, first key, last key, step, categories, tips, key specifications and
/// subcommands: <https://redis.io/docs/latest/commands/command/>.
fn write_info(command: &Command, registry: &Registry, reply: &mut Encoder) {
    let least = i64::try_from(command.least + 1).unwrap_or(i64::MAX);
    let exact = command.least == command.most;
    reply.list(10);
    reply.text(command.name.as_bytes());
    reply.integer(if exact { least } else { -least });
    write_flags(flag(command, registry), reply);
    for _ in 0..3 {
        reply.integer(0);
    }
    for _ in 0..4 {
        reply.list(0);
    }
}

/// Returns the command's flag in Redis's words: `write`, or `readonly` if its plugin declares other
/// commands as those that write. `None` for a built-in, and if the plugin declares none.
fn flag(command: &Command, registry: &Registry) -> Option<&'static str> {
    let plugin = command.plugin.as_deref()?;
    if command.writes {
        return Some("write");
    }
    registry.declares_writes(plugin).then_some("readonly")
}

fn write_flags(flag: Option<&str>, reply: &mut Encoder) {
    reply.list(usize::from(flag.is_some()));
    if let Some(flag) = flag {
        reply.status(flag);
    }
}

/// Writes a command's documentation: <https://redis.io/docs/latest/commands/command-docs/>. Redis
/// has no `flags` and no `hosts` there; they are added where the command has some, and where other
/// hosts answer it.
fn write_docs(command: &Command, registry: &Registry, reply: &mut Encoder) {
    let subcommands = match command.plugin {
        Some(_) => &[],
        None => super::subcommands_of(&command.name),
    };
    let group = command.plugin.as_deref().unwrap_or("host");
    let arguments = command.arguments.arguments();
    reply.text(command.name.as_bytes());
    let flag = flag(command, registry);
    let optional =
        [!arguments.is_empty(), flag.is_some(), command.hosts.is_some(), !subcommands.is_empty()];
    reply.map(3 + optional.iter().filter(|is_present| **is_present).count());
    write_summary(reply, &command.full_help(), group, arguments);
    if flag.is_some() {
        reply.text(b"flags");
        write_flags(flag, reply);
    }
    if let Some(hosts) = command.hosts {
        reply.text(b"hosts");
        reply.integer(i64::try_from(hosts).unwrap_or(i64::MAX));
    }
    if !subcommands.is_empty() {
        reply.text(b"subcommands");
        reply.map(subcommands.len());
        subcommands
            .iter()
            .for_each(|subcommand| write_subcommand(&command.name, subcommand, reply));
    }
}

/// Writes a subcommand's documentation, under Redis's name for it: `command|subcommand`.
fn write_subcommand(command: &str, subcommand: &Subcommand, reply: &mut Encoder) {
    let Subcommand { name, usage, help } = subcommand;
    let usage = subcommands::arguments(usage);
    let arguments = usage.arguments();
    reply.text(format!("{command}|{name}").as_bytes());
    reply.map(if arguments.is_empty() { 3 } else { 4 });
    write_summary(reply, help, "host", arguments);
}

/// Writes three entries of a map, and a fourth one if there are arguments.
fn write_summary(reply: &mut Encoder, help: &str, group: &str, arguments: &[Argument]) {
    write_text(reply, "summary", help);
    write_text(reply, "since", "0.1.0");
    write_text(reply, "group", group);
    if !arguments.is_empty() {
        reply.text(b"arguments");
        reply.list(arguments.len());
        arguments.iter().for_each(|argument| write_argument(argument, reply));
    }
}

fn write_argument(argument: &Argument, reply: &mut Encoder) {
    let flags = [(argument.optional, "optional"), (argument.repeated, "multiple")];
    let flags: Vec<_> = flags.iter().filter(|(set, _)| *set).collect();
    reply.map(if flags.is_empty() { 3 } else { 4 });
    write_text(reply, "name", &argument.name);
    write_text(reply, "type", "string");
    write_text(reply, "display_text", &argument.name);
    if !flags.is_empty() {
        reply.text(b"flags");
        reply.list(flags.len());
        flags.iter().for_each(|(_, flag)| reply.status(flag));
    }
}

fn write_text(reply: &mut Encoder, key: &str, value: &str) {
    reply.text(key.as_bytes());
    reply.text(value.as_bytes());
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use plugin_engine::{live::manifest::CommandFacts, registry::Target};
    use protocol::{Finished, Protocol};
    use telemetry::metrics::Metrics;

    use super::*;

    /// Returns a registry of commands: the name, the plugin, and whether the command writes.
    fn registry(commands: &[(&str, Option<&str>, bool)]) -> Registry {
        let metrics = Metrics::default();
        let command = |(name, plugin, writes): &(&str, Option<&str>, bool)| {
            let (name, writes) = ((*name).to_owned(), *writes);
            let facts = CommandFacts { name, writes, ..CommandFacts::default() };
            Arc::new(Command::new(facts, *plugin, &metrics, Target::Builtin(0)))
        };
        Registry::new(commands.iter().map(command).collect(), Vec::new())
    }

    fn written(write: impl FnOnce(&mut Encoder)) -> String {
        let mut reply = Encoder::new(Protocol::Resp3);
        reply.begin();
        write(&mut reply);
        assert_eq!(reply.finish(), Finished::Ok);
        String::from_utf8(reply.pending().to_vec()).unwrap()
    }

    #[test]
    fn flags_follow_declared_writes_of_plugin() {
        let registry = registry(&[
            ("get", Some("store"), false),
            ("set", Some("store"), true),
            ("echo", Some("text"), false),
            ("ping", None, false),
        ]);
        for (name, expected) in
            [("get", Some("readonly")), ("set", Some("write")), ("echo", None), ("ping", None)]
        {
            let command = registry.get(name.as_bytes()).unwrap();
            assert_eq!(flag(command, &registry), expected, "{name}");
            let flags = match expected {
                Some(flag) => format!("*1\r\n+{flag}\r\n"),
                None => "*0\r\n".to_owned(),
            };
            let info = written(|reply| write_info(command, &registry, reply));
            let start = format!("*10\r\n${}\r\n{name}\r\n:1\r\n{flags}:0\r\n", name.len());
            assert!(info.starts_with(&start), "{info}");
            let docs = written(|reply| {
                reply.map(1);
                write_docs(command, &registry, reply);
            });
            assert_eq!(docs.contains(&format!("$5\r\nflags\r\n{flags}")), expected.is_some());
            let pairs = format!("\r\n%{}\r\n", 3 + usize::from(expected.is_some()));
            assert!(docs.contains(&pairs), "{docs}");
        }
    }
}
