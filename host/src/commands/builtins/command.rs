//! `command`: describes the registry, in the form that Redis clients take hints from.

use std::collections::HashSet;

use plugin_api::Argument;
use plugin_engine::{call::Call, events::Topic, registry::Command};
use protocol::Encoder;

use super::subcommands::{self, Subcommand};
use crate::commands::{caller::Caller, flow::Flow};

pub(super) const KNOWN: &str = "COUNT, DOCS, INFO, LIST, UNWATCH, WATCH";

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
    let known =
        |name: &[u8]| registry.get(name).filter(|command| identity.may_run(command.wanted()));
    let subcommand = call.argument(0).unwrap_or_default();
    let named = || call.arguments().skip(1);
    match subcommand.to_ascii_uppercase().as_slice() {
        b"" if call.spans.len() == 1 => {
            let commands = registry.commands(identity);
            reply.list(commands.len());
            commands.iter().for_each(|command| info(command, reply));
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
            // As in Redis a reply for each name: clients match them by position. What is said of a
            // command here has always the same few bytes, so that duplicates do no harm.
            reply.list(call.spans.len() - 2);
            for name in named() {
                match known(name) {
                    Some(command) => info(command, reply),
                    None => reply.null(),
                }
            }
        }
        b"INFO" => {
            let commands = registry.commands(identity);
            reply.list(commands.len());
            commands.iter().for_each(|command| info(command, reply));
        }
        b"DOCS" => {
            let commands: Vec<_> = if call.spans.len() > 2 {
                // A map has each key once, however often it was asked for.
                let mut seen = HashSet::new();
                let found = named().filter_map(known);
                found.filter(|command| seen.insert(command.name.as_str())).collect()
            } else {
                registry.commands(identity)
            };
            reply.map(commands.len());
            commands.iter().for_each(|command| docs(command, reply));
        }
        _ => super::unknown_subcommand("command", subcommand, KNOWN, reply),
    }
}

/// Name, arity, flags, first key, last key, step, categories, tips, key specifications,
/// subcommands: <https://redis.io/docs/latest/commands/command/>.
fn info(command: &Command, reply: &mut Encoder) {
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

/// <https://redis.io/docs/latest/commands/command-docs/>
fn docs(command: &Command, reply: &mut Encoder) {
    let subcommands = match command.plugin {
        Some(_) => &[],
        None => subcommands::of(&command.name),
    };
    let group = command.plugin.as_deref().unwrap_or("host");
    let arguments = command.arguments.arguments();
    reply.text(command.name.as_bytes());
    reply.map(3 + usize::from(!arguments.is_empty()) + usize::from(!subcommands.is_empty()));
    about(reply, &command.help, group, arguments);
    if !subcommands.is_empty() {
        reply.text(b"subcommands");
        reply.map(subcommands.len());
        subcommands.iter().for_each(|subcommand| part(&command.name, subcommand, reply));
    }
}

/// A subcommand, named as Redis names it: with its command's name before it.
fn part(command: &str, (name, usage, help): &Subcommand, reply: &mut Encoder) {
    let usage = subcommands::arguments(usage);
    let arguments = usage.arguments();
    reply.text(format!("{command}|{name}").as_bytes());
    reply.map(if arguments.is_empty() { 3 } else { 4 });
    about(reply, help, "host", arguments);
}

/// Three entries of a map, and one more where there are arguments.
fn about(reply: &mut Encoder, help: &str, group: &str, arguments: &[Argument]) {
    text(reply, "summary", help);
    text(reply, "since", "0.1.0");
    text(reply, "group", group);
    if !arguments.is_empty() {
        reply.text(b"arguments");
        reply.list(arguments.len());
        arguments.iter().for_each(|argument| describe(argument, reply));
    }
}

fn describe(argument: &Argument, reply: &mut Encoder) {
    let flags = [(argument.optional, "optional"), (argument.repeated, "multiple")];
    let flags: Vec<_> = flags.iter().filter(|(set, _)| *set).collect();
    reply.map(if flags.is_empty() { 3 } else { 4 });
    text(reply, "name", &argument.name);
    text(reply, "type", "string");
    text(reply, "display_text", &argument.name);
    if !flags.is_empty() {
        reply.text(b"flags");
        reply.list(flags.len());
        flags.iter().for_each(|(_, flag)| reply.status(flag));
    }
}

fn text(reply: &mut Encoder, key: &str, value: &str) {
    reply.text(key.as_bytes());
    reply.text(value.as_bytes());
}
