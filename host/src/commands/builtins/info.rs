//! `info`: the host's facts and counters as text, in the form that Redis gives them.

use std::{fmt::Write, process};

use plugin_engine::{VERSION, call::Call};
use protocol::Encoder;
use telemetry::metrics::Reading;

use crate::commands::{caller::Caller, flow::Flow};

/// A section: its name, whether it is shown where none is asked for, and its lines.
type Section = (&'static str, bool, fn(&Caller<'_>) -> String);

/// In the order of Redis, whatever the order of the arguments.
const SECTIONS: [Section; 7] = [
    ("Server", true, server),
    ("Clients", true, clients),
    ("Persistence", true, |_| "loading:0\r\n".to_owned()),
    ("Stats", true, stats),
    ("Replication", true, |_| "role:master\r\nconnected_slaves:0\r\n".to_owned()),
    ("Commandstats", false, command_stats),
    // Only plugins have keys.
    ("Keyspace", true, |_| String::new()),
];

pub(super) fn run(call: &Call<'_>, caller: &Caller<'_>, reply: &mut Encoder) -> Flow {
    let wanted = SECTIONS.iter().filter(|(name, default, _)| is_wanted(call, name, *default));
    let sections: Vec<String> =
        wanted.map(|(name, _, lines)| format!("# {name}\r\n{}", lines(caller))).collect();
    reply.text(sections.join("\r\n").as_bytes());
    Flow::Next
}

/// Returns whether a section is among those that are asked for. Unknown names select nothing.
fn is_wanted(call: &Call<'_>, name: &str, by_default: bool) -> bool {
    let is_named = |word: &[u8]| {
        let is = |other: &str| word.eq_ignore_ascii_case(other.as_bytes());
        is(name) || is("all") || is("everything") || (by_default && is("default"))
    };
    if call.spans.len() == 1 { by_default } else { call.arguments().any(is_named) }
}

fn server(caller: &Caller<'_>) -> String {
    let about =
        format!("redis_version:{VERSION}\r\nserver_name:dropin\r\nredis_mode:standalone\r\n");
    if !may_see_stats(caller) {
        return about;
    }
    let port = caller.session.stream.local_addr().map_or(0, |address| address.port());
    let (id, uptime) = (process::id(), caller.shared.started.elapsed().as_secs());
    let days = uptime / (24 * 60 * 60);
    format!(
        "{about}process_id:{id}\r\ntcp_port:{port}\r\nuptime_in_seconds:{uptime}\r\n\
         uptime_in_days:{days}\r\n"
    )
}

fn clients(caller: &Caller<'_>) -> String {
    if !may_see_stats(caller) {
        return String::new();
    }
    format!("connected_clients:{}\r\n", caller.shared.sessions.len())
}

fn stats(caller: &Caller<'_>) -> String {
    if !may_see_stats(caller) {
        return String::new();
    }
    let (sessions, metrics) = (&caller.shared.sessions, &caller.shared.metrics);
    let calls: u64 = metrics.read().iter().map(|reading| reading.calls).sum();
    format!(
        "total_connections_received:{}\r\ntotal_commands_processed:{calls}\r\n\
         rejected_connections:{}\r\nevicted_clients:{}\r\n",
        sessions.started(),
        metrics.rejected.get(),
        metrics.evicted.get()
    )
}

/// Returns a line for each command that was called and that this client may run.
fn command_stats(caller: &Caller<'_>) -> String {
    let mut lines = String::new();
    for Reading { plugin, command, calls, errors, times } in caller.shared.metrics.read() {
        let served = caller.registry.get(command.as_bytes());
        let is_visible = served.is_some_and(|served| {
            served.plugin == plugin && caller.identity.can_run(served.required_access())
        });
        if calls == 0 || !is_visible {
            continue;
        }
        // Most calls of a pipelined batch are not timed: the others stand for them.
        let mean = times.mean().as_secs_f64() * 1e6;
        let usec = (mean * calls as f64).round();
        // Writing to a string cannot fail. A call that is rejected counts as failed.
        let _ = write!(
            lines,
            "cmdstat_{command}:calls={calls},usec={usec},usec_per_call={mean:.2},\
             rejected_calls=0,failed_calls={errors}\r\n"
        );
    }
    lines
}

/// Returns whether this client may see the host's counters, as `stats` shows them.
fn may_see_stats(caller: &Caller<'_>) -> bool {
    let stats = caller.registry.get(b"stats");
    stats.is_some_and(|stats| caller.identity.can_run(stats.required_access()))
}
