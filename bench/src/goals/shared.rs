//! The goals of the host with threads that serve many clients.

use crate::{
    beside_idle,
    goals::{
        Aim, Goal,
        common::{self, Wanted},
        pair::{Pair, cpu, p99},
    },
    plan::{BUSY, Contestant, IDLE, Section},
    results::Results,
    server::Placement,
    statistics::{grouped, short},
    threads::Threads,
};

/// The most memory of an idle session, kernel included but for the socket, in KiB.
const MEMORY: f64 = 2.0;

/// The longest median of a reload under load, in milliseconds.
const RELOAD: f64 = 60.0;

/// The least rate beside idle clients, to that without: they must not matter, and two turns of one
/// server differ by less than this tolerance of 5 %.
const BESIDE_IDLE: f64 = 0.95;

/// Returns the goals, and what was measured for them.
pub fn goals(results: &Results) -> Vec<Goal> {
    let mut goals = beside_redis(results);
    goals.extend([memory(results), beside_idle_clients(results), reload(results)]);
    for goal in &mut goals {
        goal.threads = Some(Threads::Shared);
    }
    goals
}

fn beside_redis(results: &Results) -> Vec<Goal> {
    use Aim::{AtLeast, AtMost};
    let pair = |section| Pair::with_redis(Contestant::HostShared, section);
    let mut goals = Vec::new();
    let mut add = |figure: &str, aim: Aim, pair: Pair| {
        goals.push(Goal::of(figure, aim, pair.compare(results)));
    };
    let apart = |clients| Pair { clients, placement: Placement::Apart, ..pair(Section::Clients) };
    for (clients, least) in
        [(1, 1.3), (10, 1.0), (50, 1.2), (500, 1.15), (5000, 1.0), (10_000, 1.1)]
    {
        let figure = format!("rate, clients: {}, apart", grouped(clients.into()));
        add(&figure, AtLeast(least), apart(clients));
    }
    for (clients, most) in [(50, 0.85), (500, 0.8), (10_000, 0.9)] {
        let figure = format!("CPU per request, clients: {}, apart", grouped(clients.into()));
        add(&figure, AtMost(most), Pair { figure: cpu, ..apart(clients) });
    }
    for clients in [50, 500] {
        let figure = format!("p99, clients: {clients}, apart");
        add(&figure, AtMost(1.0), Pair { figure: p99, ..apart(clients) });
    }
    let wanted =
        Wanted { rates: [(16, 1.1), (64, 1.8)], cpu: [(16, 0.7), (64, 0.4)], burning: 1.6 };
    goals.extend(common::goals(Contestant::HostShared, &wanted, results));
    for bytes in [64 << 10, 1 << 20] {
        let figure = format!("rate, {} bytes there and back", grouped(bytes as i64));
        let payloads = Pair { clients: 50, payload: Some(bytes), ..pair(Section::Payloads) };
        let apart = Pair { placement: Placement::Apart, ..payloads };
        goals.push(Goal::of(&figure, AtLeast(1.0), apart.compare(results)));
    }
    goals
}

fn memory(results: &Results) -> Goal {
    let idle = results.idle_of(Contestant::HostShared);
    let all = idle.map(|idle| idle.memory + idle.kernel);
    Goal {
        figure: "memory of an idle session with what the kernel keeps, but for the socket".into(),
        threads: None,
        wanted: format!("{MEMORY} KiB or less"),
        measured: idle.zip(all).map(|(idle, all)| {
            format!("{} KiB, of which the kernel keeps {}", short(all), short(idle.kernel))
        }),
        met: all.is_some_and(|all| all <= MEMORY),
    }
}

fn beside_idle_clients(results: &Results) -> Goal {
    let figure = format!(
        "rate of {} clients beside {} idle ones, to that without (tolerance {:.0} %)",
        BUSY,
        grouped(IDLE as i64),
        (1.0 - BESIDE_IDLE) * 100.0
    );
    let measured = beside_idle::compare(results, Contestant::HostShared, IDLE);
    Goal::of(&figure, Aim::AtLeast(BESIDE_IDLE), measured)
}

fn reload(results: &Results) -> Goal {
    let reload = results.reload_shared.as_ref();
    let median = reload.and_then(|reload| reload.median_under_load());
    Goal {
        figure: "median of a reload under load on all processors, ms".into(),
        threads: None,
        wanted: format!("{RELOAD} or less"),
        measured: median.map(short),
        met: median.is_some_and(|median| median <= RELOAD),
    }
}
