//! The built-in `command`, which describes the registry in Redis's format.

use std::collections::HashSet;

use plugin_api::Argument;
use plugin_engine::{call::Call, events::Topic, registry::Command};
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
            commands.iter().for_each(|command| write_info(command, reply));
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
                    Some(command) => write_info(command, reply),
                    None => reply.null(),
                }
            }
        }
        b"INFO" => {
            let commands = registry.commands(identity);
            reply.list(commands.len());
            commands.iter().for_each(|command| write_info(command, reply));
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
            commands.iter().for_each(|command| write_docs(command, reply));
        }
        _ => subcommands::refuse("command", &SUBCOMMANDS, subcommand, reply),
    }
}

/// Writes name, arity, flags, first key, last key, step, categories, tips, key specifications and
/// subcommands: <https://redis.io/docs/latest/commands/command/>.
fn write_info(command: &Command, reply: &mut Encoder) {
    let least = i64::try_from(command.least + 1).unwrap_or(i64::MAX);
    let exact = command.least == command.most;
    reply.list(10);
    reply.text(command.name.as_bytes());
    reply.integer(if exact { least } else { -least });
    reply.list(0);
    for _ in 0..3 {
        reply.integer(0);
    }
    for _ in 0..4 {
        reply.list(0);
    }
}

/// Writes a command's documentation: <https://redis.io/docs/latest/commands/command-docs/>.
fn write_docs(command: &Command, reply: &mut Encoder) {
    let subcommands = match command.plugin {
        Some(_) => &[],
        None => super::subcommands_of(&command.name),
    };
    let group = command.plugin.as_deref().unwrap_or("host");
    let arguments = command.arguments.arguments();
    reply.text(command.name.as_bytes());
    reply.map(3 + usize::from(!arguments.is_empty()) + usize::from(!subcommands.is_empty()));
    write_summary(reply, &command.help, group, arguments);
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
