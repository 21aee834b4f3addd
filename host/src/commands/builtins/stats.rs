//! The built-in `stats`, which shows the host's counters.

use std::{cmp::Reverse, time::Duration};

use plugin_engine::VERSION;
use plugin_engine::{call::Call, events::EventKind};
use protocol::Encoder;
use telemetry::metrics::Reading;

use super::subcommands::{self, Subcommand};
use crate::commands::{caller::Caller, flow::Flow};

/// The number of commands in the reply without arguments.
const TOP: usize = 5;

/// The only part that the reply can be limited to.
const PART: Subcommand = Subcommand { name: "commands", usage: "", help: "" };

pub(super) fn run(call: &Call<'_>, caller: &Caller<'_>, reply: &mut Encoder) -> Flow {
    match call.argument(0) {
        None => write_figures(caller, reply),
        Some(part) if part.eq_ignore_ascii_case(b"commands") => {
            let busiest = busiest_commands(caller);
            reply.list(busiest.len());
            busiest.iter().for_each(|reading| write_command(reading, reply));
        }
        Some(part) => subcommands::refuse("stats", &[PART], part, reply),
    }
    Flow::Next
}

fn write_figures(caller: &Caller<'_>, reply: &mut Encoder) {
    let (shared, busiest) = (caller.shared, busiest_commands(caller));
    let (metrics, published_count) = (&shared.metrics, |event| shared.events.published(event));
    let system = platform::usage();
    let sum = |count: fn(&Reading) -> u64| busiest.iter().map(count).sum::<u64>();
    let numbers = [
        ("uptime-seconds", Some(shared.started.elapsed().as_secs())),
        ("sessions", Some(shared.sessions.len() as u64)),
        ("sessions-started", Some(shared.sessions.started())),
        ("sessions-turned-away", Some(metrics.rejected.get())),
        ("sessions-evicted", Some(metrics.evicted.get())),
        ("calls", Some(sum(|reading| reading.calls))),
        ("errors", Some(sum(|reading| reading.errors))),
        ("unknown-commands", Some(metrics.unknown.get())),
        ("denied-requests", Some(metrics.denied.get())),
        ("malformed-requests", Some(metrics.malformed.get())),
        ("plugins", Some(caller.registry.plugins(caller.identity).len() as u64)),
        ("plugins-loaded", Some(published_count(EventKind::Loaded))),
        ("plugins-reloaded", Some(published_count(EventKind::Swapped))),
        ("plugins-refused", Some(published_count(EventKind::Refused))),
        ("plugins-withdrawn", Some(published_count(EventKind::Withdrawn))),
        ("plugins-crashed", Some(published_count(EventKind::Crashed))),
        ("plugins-quarantined", Some(published_count(EventKind::Quarantined))),
        ("generations-draining", Some(metrics.draining.get())),
        ("generations-lingering", Some(metrics.lingering.get())),
        ("memory-bytes", system.resident),
        ("threads", system.threads),
        ("open-files", system.files),
    ];
    reply.map(numbers.len() + 2);
    write_text(reply, "version", VERSION);
    for (name, value) in numbers {
        reply.text(name.as_bytes());
        match value {
            Some(value) => reply.integer(to_integer(value)),
            None => reply.null(),
        }
    }
    let top = busiest.get(..TOP).unwrap_or(&busiest);
    reply.text(b"top-commands");
    reply.list(top.len());
    top.iter().for_each(|reading| write_command(reading, reply));
}

/// Returns the commands that were called, the most called first.
fn busiest_commands(caller: &Caller<'_>) -> Vec<Reading> {
    let mut all = caller.shared.metrics.read();
    all.retain(|reading| reading.calls > 0);
    all.sort_by_key(|reading| Reverse(reading.calls));
    all
}

fn write_command(reading: &Reading, reply: &mut Encoder) {
    let Reading { plugin, command, calls, errors, times } = reading;
    reply.map(7);
    write_text(reply, "command", command);
    write_text(reply, "plugin", plugin.as_deref().unwrap_or_default());
    reply.text(b"calls");
    reply.integer(to_integer(*calls));
    reply.text(b"errors");
    reply.integer(to_integer(*errors));
    for (name, time) in [
        ("mean-us", times.mean()),
        ("p50-us", times.quantile(0.5)),
        ("p99-us", times.quantile(0.99)),
    ] {
        reply.text(name.as_bytes());
        reply.float(micros(time));
    }
}

/// Returns microseconds, rounded to a tenth.
fn micros(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e7).round() / 10.0
}

fn write_text(reply: &mut Encoder, key: &str, value: &str) {
    reply.text(key.as_bytes());
    reply.text(value.as_bytes());
}

fn to_integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
