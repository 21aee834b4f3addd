//! The cost of one request in the host, piece by piece: instructions and nanoseconds.
//!
//! valgrind counts the instructions. The counts do not depend on the load of the machine, so they
//! are recorded in a file and compared: `boundary check`. Times are only printed: `boundary time`.

mod counted;
mod counts;
mod error;
mod fixture;
mod pieces;
mod served;
mod valgrind;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::{error::BoundaryError, fixture::Fixture, pieces::Piece};

/// Measures the cost of one request in the host, piece by piece.
#[derive(Parser)]
#[command(name = "boundary")]
struct Arguments {
    #[command(subcommand)]
    action: Action,
    /// The built plugin of the benchmark.
    #[arg(
        long,
        value_name = "FILE",
        global = true,
        default_value = "target/release/libbench_plugin.so"
    )]
    plugin: PathBuf,
}

#[derive(Subcommand)]
enum Action {
    /// Run one piece this many times.
    Run {
        /// The piece.
        piece: Piece,
        /// The number of runs.
        times: u64,
    },
    /// Print the time of each piece, in nanoseconds, as JSON.
    Time,
    /// Count the instructions of each piece and compare them with the file.
    Check {
        /// The file with the recorded counts.
        #[arg(long, value_name = "FILE", default_value = "bench/instructions.toml")]
        counts: PathBuf,
        /// Record the new counts, unchecked.
        #[arg(long)]
        bless: bool,
    },
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("boundary: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), BoundaryError> {
    let plugin = &arguments.plugin;
    match &arguments.action {
        Action::Run { piece, times } => {
            pieces::run(*piece, &Fixture::new(plugin)?, *times).map(|_| ())
        }
        Action::Time => {
            let times = pieces::time_all(&Fixture::new(plugin)?)?;
            println!("{}", serde_json::to_string_pretty(&times)?);
            Ok(())
        }
        Action::Check { counts, bless } => counts::check(plugin, counts, *bless),
    }
}
