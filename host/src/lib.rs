//! The Dropin host: a command server that is extended by dropping a library into a folder.
//!
//! ARCHITECTURE.md, beside the workspace's Cargo.toml, says how it hangs together. Modules import
//! downwards in this list.

pub mod builtins;
mod check;
pub mod config;
pub mod input;
pub mod listen;
pub mod logging;
mod managing;
pub mod news;
pub mod platform;
pub mod plugins;
pub mod server;
pub mod session;
pub mod sessions;
pub mod shared;
pub mod shutdown;
pub mod state_dir;
pub mod table;
pub mod transport;
pub mod wire;

use std::{
    fmt, io,
    net::TcpListener,
    process::{self, ExitCode},
    sync::Arc,
    time::Instant,
};

use arc_swap::ArcSwap;
use clap::Parser;

use crate::{
    config::{Action, Arguments, Serve},
    listen::ListenError,
    managing::Managing,
    plugins::{order::Desk, probe},
    server::Outcome,
    sessions::Sessions,
    shared::{Shared, VERSION},
    shutdown::{Reason, Shutdown},
    state_dir::{StateDir, StateDirError},
};

/// The exit status when the host cannot start.
const FAILED: u8 = 1;
/// The exit status when a worker outlasted the grace.
const STUCK: i32 = 3;

/// The program: arguments to exit code.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.action {
        Some(Action::Check { file, probe_timeout }) => check::run(&file, probe_timeout),
        Some(Action::Probe { file, verdict }) => {
            ExitCode::from(u8::from(!probe::run_child(&file, &verdict)))
        }
        None => {
            logging::start(arguments.serve.log_level);
            let config = arguments.serve;
            let run = listen::listen(&config.bind, config.port)
                .map_err(StartError::Listen)
                .and_then(|listeners| run(config, listeners));
            match run {
                Ok(Outcome::Orderly) => ExitCode::SUCCESS,
                // Threads still run in plugins; to return would pull the code from under them.
                Ok(Outcome::Stuck(_)) => process::exit(STUCK),
                Err(error) => {
                    eprintln!("host: {error}");
                    ExitCode::from(FAILED)
                }
            }
        }
    }
}

/// Serves on these listeners until the host is asked to end.
///
/// # Errors
/// Why the host cannot start.
pub fn run(config: Serve, listeners: Vec<TcpListener>) -> Result<Outcome, StartError> {
    let started = Instant::now();
    let addresses = listeners
        .iter()
        .map(TcpListener::local_addr)
        .collect::<io::Result<Vec<_>>>()
        .map_err(|error| StartError::System("ask where it listens", error))?;
    let port = addresses.first().map_or(config.port, std::net::SocketAddr::port);
    let state_dir = StateDir::lock(config.state_root(), port).map_err(StartError::StateDir)?;
    let (shutdown, stop) = Shutdown::new(config.grace);
    let shutdown = Arc::new(shutdown);
    handle_signals(&shutdown)?;
    let (desk, orders) = Desk::new();
    let shared = Arc::new(Shared {
        config,
        table: ArcSwap::default(),
        sessions: Sessions::default(),
        newsroom: Arc::default(),
        desk,
        shutdown,
        started,
        state_dir: state_dir.path().to_owned(),
    });
    let managing = Managing::start(&shared, orders)?;

    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    println!("dropin {VERSION} listening on {}", addresses.join(" and "));
    let outcome = server::serve(&shared, listeners, &stop)
        .map_err(|error| StartError::System("start a thread to accept clients", error))?;
    let outcome = managing.end(&shared, outcome);
    match outcome {
        Outcome::Orderly => log::info!("ended"),
        Outcome::Stuck(threads) => {
            log::error!("ended without {threads} thread(s) that outlasted the grace");
        }
    }
    Ok(outcome)
}

/// Ends the host in order at the first SIGINT, SIGTERM or closed console, at once at the second.
fn handle_signals(shutdown: &Arc<Shutdown>) -> Result<(), StartError> {
    let shutdown = Arc::clone(shutdown);
    ctrlc::set_handler(move || {
        if !shutdown.request(Reason::System) {
            log::error!("asked to end a second time: ending at once");
            process::exit(STUCK);
        }
    })
    .map_err(|error| StartError::System("listen for signals", io::Error::other(error)))
}

/// Why the host cannot start.
#[derive(Debug)]
pub enum StartError {
    /// An address cannot be served on.
    Listen(ListenError),
    /// There is no state directory to work in.
    StateDir(StateDirError),
    /// The system refused something.
    System(&'static str, io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(error) => error.fmt(out),
            Self::StateDir(error) => error.fmt(out),
            Self::System(operation, error) => write!(out, "the host cannot {operation}: {error}"),
        }
    }
}

impl std::error::Error for StartError {}
