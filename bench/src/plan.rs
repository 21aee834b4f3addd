//! The plan: sections of cells, each of which compares some contestants under one load.

use serde::{Deserialize, Serialize};

use crate::server::{Placement, Program};

/// A part of the benchmark that can be run by itself.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    clap::ValueEnum,
)]
pub enum Section {
    /// From 1 client to 10,000.
    Clients,
    /// Batches of 1, 16 and 64 requests.
    Pipelines,
    /// From 16 bytes to 1 MiB, in both directions.
    Payloads,
    /// From 15 commands to 10,000 in the host's registry.
    Tables,
    /// Clients that send short commands, beside others whose worker blocks.
    Blocking,
    /// Workers that need a processor for long.
    Burning,
    /// The cost of idle sessions.
    Idle,
    /// Busy clients beside many idle ones.
    BesideIdle,
    /// The cost of a request, piece by piece.
    Boundary,
    /// Reloads.
    Reload,
    /// Plugins in other processes.
    Isolation,
    /// Journals and snapshots.
    Durability,
    /// Commands of other hosts.
    Fleet,
}

/// A measured program, and which of its commands is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Contestant {
    /// The host's plugin.
    HostPlugin,
    /// The same, with threads that serve many sessions.
    HostShared,
    /// The host itself.
    HostBuiltin,
    /// The host's plugin, its sessions in the usual scheduling class.
    HostNormal,
    /// The host's plugin, among 1,000 commands.
    HostOf1000,
    /// The host's plugin, among 10,000 commands.
    HostOf10000,
    /// Redis's module.
    RedisModule,
    /// Redis's module, by a blocked client and a thread for each call.
    RedisThread,
    /// Redis itself.
    RedisBuiltin,
    /// Valkey's module, which is Redis's.
    ValkeyModule,
    /// Python.
    Original,
}

/// The requested work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// Nothing but a reply.
    Nop,
    /// An echo of this many bytes.
    Echo(usize),
    /// Processor work of this many microseconds.
    Burn(u64),
    /// A reply to `ping`, while 5 other clients are in a worker that sleeps this many milliseconds.
    PingBesideSleep(u64),
    /// Nothing but a reply, while so many other clients are connected and idle.
    NopBesideIdle(usize),
}

/// One load for several contestants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The section of the cell.
    pub section: Section,
    /// The requested work.
    pub ask: Ask,
    /// Number of concurrent clients.
    pub clients: u32,
    /// Number of requests that each client sends before it waits.
    pub pipeline: u32,
    /// The processors.
    pub placement: Placement,
    /// The contestants.
    pub contestants: Vec<Contestant>,
}

/// Number of clients in a worker that blocks.
pub const BLOCKED: u32 = 5;

/// Number of busy clients beside idle ones.
pub const BUSY: u32 = 100;

/// Number of idle clients beside busy ones.
pub const IDLE: usize = 19_000;

const MAIN: [Contestant; 8] = [
    Contestant::HostPlugin,
    Contestant::HostShared,
    Contestant::HostBuiltin,
    Contestant::HostNormal,
    Contestant::RedisModule,
    Contestant::RedisBuiltin,
    Contestant::ValkeyModule,
    Contestant::Original,
];

/// Both modes of the host, and Redis.
const MODES: [Contestant; 3] =
    [Contestant::HostPlugin, Contestant::HostShared, Contestant::RedisModule];

const BESIDE_LONG_CALLS: [Contestant; 5] = [
    Contestant::HostPlugin,
    Contestant::HostShared,
    Contestant::HostNormal,
    Contestant::RedisModule,
    Contestant::RedisThread,
];

/// Python is omitted above this number of clients: it adds nothing new and is slow.
const MOST_FOR_ORIGINAL: u32 = 500;

impl Section {
    /// Returns its cells.
    pub fn cells(self, quick: bool) -> Vec<Cell> {
        use Placement::{Apart, Free};
        let cell = |ask, clients, pipeline, placement, contestants: &[Contestant]| Cell {
            section: self,
            ask,
            clients,
            pipeline,
            placement,
            contestants: contestants.to_vec(),
        };
        let main = |clients, pipeline, placement| {
            let mut contestants = MAIN.to_vec();
            contestants.retain(|one| {
                *one != Contestant::Original || (clients <= MOST_FOR_ORIGINAL && placement == Free)
            });
            cell(Ask::Nop, clients, pipeline, placement, &contestants)
        };
        match self {
            Self::Clients => {
                let (apart, crowds, free): (&[u32], &[u32], &[u32]) = if quick {
                    (&[1, 50, 500], &[], &[50])
                } else {
                    (&[1, 10, 50, 500], &[5000, 10_000], &[50, 500])
                };
                let of_all = |counts: &'static [u32], placement| {
                    counts.iter().map(move |count| main(*count, 1, placement))
                };
                // A crowd takes minutes, so fewer meet it.
                let of_modes = crowds.iter().map(|count| cell(Ask::Nop, *count, 1, Apart, &MODES));
                of_all(apart, Apart).chain(of_modes).chain(of_all(free, Free)).collect()
            }
            Self::Pipelines => {
                let sizes: &[u32] = if quick { &[1, 16] } else { &[1, 16, 64] };
                let at = |placement| sizes.iter().map(move |size| main(50, *size, placement));
                at(Free).chain(at(Apart)).collect()
            }
            Self::Payloads => {
                let sizes: &[usize] =
                    if quick { &[16, 64 << 10] } else { &[16, 1 << 10, 64 << 10, 1 << 20] };
                let of = |size: &usize| cell(Ask::Echo(*size), 50, 1, Apart, &MODES);
                sizes.iter().map(of).collect()
            }
            Self::Tables => {
                let sizes =
                    [Contestant::HostPlugin, Contestant::HostOf1000, Contestant::HostOf10000];
                vec![cell(Ask::Nop, 50, 1, Apart, &sizes), cell(Ask::Nop, 50, 64, Apart, &sizes)]
            }
            Self::Blocking => {
                vec![cell(Ask::PingBesideSleep(50), 45, 1, Free, &BESIDE_LONG_CALLS)]
            }
            Self::Burning => {
                vec![cell(Ask::Burn(100), 50, 1, Free, &BESIDE_LONG_CALLS)]
            }
            Self::BesideIdle => {
                let idle = if quick { 2000 } else { IDLE };
                // Without the host that has a thread for each client: it would need four memory
                // mappings for each, and Linux allows 65,530 of them.
                let both = [Contestant::HostShared, Contestant::RedisModule];
                let asks = [Ask::Nop, Ask::NopBesideIdle(idle)];
                asks.map(|ask| cell(ask, BUSY, 1, Apart, &both)).to_vec()
            }
            Self::Idle
            | Self::Boundary
            | Self::Reload
            | Self::Isolation
            | Self::Durability
            | Self::Fleet => Vec::new(),
        }
    }
}

impl Contestant {
    /// Returns its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::HostPlugin => "host, plugin",
            Self::HostShared => "host, plugin, shared threads",
            Self::HostBuiltin => "host, built-in",
            Self::HostNormal => "host, plugin, normal scheduling",
            Self::HostOf1000 => "host, plugin, 1,000 commands more",
            Self::HostOf10000 => "host, plugin, 10,000 commands more",
            Self::RedisModule => "Redis, module",
            Self::RedisThread => "Redis, module with threads",
            Self::RedisBuiltin => "Redis, built-in",
            Self::ValkeyModule => "Valkey, module",
            Self::Original => "Python, a thread per client",
        }
    }

    /// Returns the program that serves it.
    pub fn program(self) -> Program {
        match self {
            Self::HostPlugin | Self::HostBuiltin => Program::Host,
            Self::HostShared => Program::HostShared,
            Self::HostNormal => Program::HostNormal,
            Self::HostOf1000 => Program::HostOf1000,
            Self::HostOf10000 => Program::HostOf10000,
            Self::RedisModule | Self::RedisThread | Self::RedisBuiltin => Program::Redis,
            Self::ValkeyModule => Program::Valkey,
            Self::Original => Program::Original,
        }
    }

    /// Returns the command, without a payload.
    pub fn command(self, ask: Ask) -> Vec<String> {
        let name = |command: &str| match self {
            Self::RedisModule | Self::ValkeyModule => format!("bench.{command}"),
            Self::RedisThread => format!("bench.{command}-in-thread"),
            _ => command.to_owned(),
        };
        match ask {
            Ask::Nop | Ask::NopBesideIdle(_)
                if matches!(self, Self::HostBuiltin | Self::RedisBuiltin) =>
            {
                vec!["ping".into()]
            }
            Ask::Nop | Ask::NopBesideIdle(_) => vec![name("nop")],
            Ask::Echo(_) => vec![name("echo")],
            Ask::Burn(micros) => vec![name("burn"), micros.to_string()],
            Ask::PingBesideSleep(_) => vec!["ping".into()],
        }
    }

    /// Returns the command that other clients send meanwhile.
    pub fn beside(self, ask: Ask) -> Option<Vec<String>> {
        let Ask::PingBesideSleep(millis) = ask else { return None };
        let name = match self {
            Self::RedisModule | Self::ValkeyModule => "bench.sleep",
            Self::RedisThread => "bench.sleep-in-thread",
            _ => "sleep",
        };
        Some(vec![name.into(), millis.to_string()])
    }
}

impl Ask {
    /// Returns the size of the echoed payload, in bytes.
    pub fn payload(self) -> Option<usize> {
        if let Self::Echo(bytes) = self { Some(bytes) } else { None }
    }
}
