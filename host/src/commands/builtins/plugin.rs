//! The built-in `plugin`, which manages plugins.

use plugin_engine::{
    call::Call,
    events::Topic,
    plugin_control::{Info, Request, Response},
    process::status::ProcessStatus,
};
use protocol::Encoder;

use super::subcommands::{self, Subcommand};
use crate::commands::{caller::Caller, flow::Flow};

pub(super) const HELP: &str = "Manages plugins: info, save, reload, restart, rollback, disable or enable NAME; watch, unwatch.";

/// The subcommands.
pub(super) const SUBCOMMANDS: [Subcommand; 9] = [
    Subcommand {
        name: "disable",
        usage: "PLUGIN [force]",
        help: "Withdraws its commands until it is enabled or the host ends.",
    },
    Subcommand { name: "enable", usage: "PLUGIN", help: "Serves it again." },
    Subcommand { name: "info", usage: "PLUGIN", help: "Shows its status." },
    Subcommand {
        name: "reload",
        usage: "PLUGIN [force]",
        help: "Loads its file again, even if it is unchanged.",
    },
    Subcommand {
        name: "restart",
        usage: "PLUGIN",
        help: "Starts its processes again, and ends a quarantine.",
    },
    Subcommand {
        name: "rollback",
        usage: "PLUGIN [force]",
        help: "Serves the previous code again.",
    },
    Subcommand { name: "save", usage: "PLUGIN", help: "Takes a snapshot of its state now." },
    Subcommand { name: "unwatch", usage: "", help: "Stops the notifications about plugins." },
    Subcommand {
        name: "watch",
        usage: "",
        help: "Notifies this session of plugin events; takes RESP3.",
    },
];

pub(super) fn run(call: &Call<'_>, caller: &Caller<'_>, reply: &mut Encoder) -> Flow {
    let subcommand = call.argument(0).unwrap_or_default();
    let force = call.argument(2).is_some_and(|word| word.eq_ignore_ascii_case(b"force"));
    let request = match subcommand.to_ascii_uppercase().as_slice() {
        b"INFO" => Request::Info,
        b"SAVE" => Request::Save,
        b"RELOAD" => Request::Reload { force },
        b"RESTART" => Request::Restart,
        b"ROLLBACK" => Request::Rollback { force },
        b"DISABLE" => Request::Disable { force },
        b"ENABLE" => Request::Enable,
        b"WATCH" => return super::watch(caller, Topic::Plugins, reply),
        b"UNWATCH" => return super::unwatch(Topic::Plugins, reply),
        _ => {
            subcommands::refuse("plugin", &SUBCOMMANDS, subcommand, reply);
            return Flow::Next;
        }
    };
    let takes_force = matches!(
        request,
        Request::Reload { .. } | Request::Rollback { .. } | Request::Disable { .. }
    );
    let is_fine = call.argument(2).is_none() || (takes_force && force);
    let Some(name) = call.argument(1).filter(|_| is_fine) else {
        subcommands::refuse("plugin", &SUBCOMMANDS, subcommand, reply);
        return Flow::Next;
    };
    match caller.shared.plugin_control.ask(request, &String::from_utf8_lossy(name)) {
        Ok(Response::Done(what)) => reply.text(what.as_bytes()),
        Ok(Response::Info(info)) => write_info(&info, reply),
        Err(problem) => reply.error("ERR", problem.as_bytes()),
    }
    Flow::Next
}

fn write_info(info: &Info, reply: &mut Encoder) {
    reply.map(30);
    write_text(reply, "name", &info.name);
    write_text(reply, "status", info.status);
    write_text(reply, "version", &info.version);
    write_text(reply, "file", &info.file);
    write_number(reply, "generation", Some(info.generation));
    write_text(reply, "hash", &info.hash);
    reply.text(b"commands");
    reply.list(info.commands.len());
    info.commands.iter().for_each(|command| reply.text(command.as_bytes()));
    write_number(reply, "state-bytes", info.state_bytes);
    write_durability(info, reply);
    write_number(reply, "calls", Some(info.calls));
    write_number(reply, "errors", Some(info.errors));
    write_number(reply, "draining", Some(info.draining as u64));
    write_number(reply, "lingering", Some(info.lingering as u64));
    write_optional(reply, "configuration", info.configuration.as_deref());
    write_optional(reply, "waiting", info.waiting.as_deref());
    reply.text(b"can-roll-back");
    reply.boolean(info.can_roll_back);
    reply.text(b"last-failure");
    match &info.last_failure {
        Some((what, ago)) => reply.text(format!("{ago} s ago: {what}").as_bytes()),
        None => reply.null(),
    }
    write_process(info, reply);
}

/// Writes the facts about the way in which a plugin's state is kept.
fn write_durability(info: &Info, reply: &mut Encoder) {
    let kept = info.durability.as_ref();
    write_optional(reply, "durability", kept.map(|kept| kept.mode.as_str()));
    write_number(reply, "journal-bytes", kept.and_then(|kept| kept.journal_bytes));
    write_number(reply, "journal-records", kept.and_then(|kept| kept.journal_records));
    let problem = kept.and_then(|kept| kept.problem.as_deref());
    write_optional(reply, "journal-problem", problem);
    write_number(reply, "snapshots", kept.map(|kept| kept.snapshots));
    let age = kept.and_then(|kept| kept.snapshot_age);
    write_number(reply, "snapshot-seconds-ago", age.map(|age| age.as_secs()));
    let problem = kept.and_then(|kept| kept.snapshot_problem.as_deref());
    write_optional(reply, "snapshot-problem", problem);
}

/// Writes the facts about a plugin's processes.
fn write_process(info: &Info, reply: &mut Encoder) {
    let nowhere = ProcessStatus { place: "host", ..ProcessStatus::default() };
    let process = info.process.as_ref().unwrap_or(&nowhere);
    write_text(reply, "place", process.place);
    reply.text(b"pids");
    reply.list(process.pids.len());
    process.pids.iter().for_each(|pid| reply.integer(i64::from(*pid)));
    write_number(reply, "uptime-seconds", info.process.as_ref().map(|one| one.uptime.as_secs()));
    write_number(reply, "restarts", info.process.as_ref().map(|one| one.restarts));
    reply.text(b"last-exit");
    match &process.last_exit {
        Some((what, ago)) => reply.text(format!("{} s ago: {what}", ago.as_secs()).as_bytes()),
        None => reply.null(),
    }
    write_number(reply, "memory-bytes", process.memory);
    reply.text(b"limits");
    match &info.process {
        Some(process) => reply.text(describe_limits(process).as_bytes()),
        None => reply.null(),
    }
}

fn describe_limits(process: &ProcessStatus) -> String {
    let limits = sandbox::describe(&process.limits);
    let Some(timeout) = process.call_timeout else { return limits };
    let timeout = format!("call-timeout {} s", timeout.as_secs_f64());
    if limits == "none" { timeout } else { format!("{limits}, {timeout}") }
}

fn write_text(reply: &mut Encoder, key: &str, value: &str) {
    reply.text(key.as_bytes());
    reply.text(value.as_bytes());
}

fn write_optional(reply: &mut Encoder, key: &str, value: Option<&str>) {
    reply.text(key.as_bytes());
    match value {
        Some(value) => reply.text(value.as_bytes()),
        None => reply.null(),
    }
}

fn write_number(reply: &mut Encoder, key: &str, value: Option<u64>) {
    reply.text(key.as_bytes());
    match value {
        Some(value) => reply.integer(i64::try_from(value).unwrap_or(i64::MAX)),
        None => reply.null(),
    }
}
