//! What one request costs the host, piece by piece: instructions and nanoseconds.
//!
//! Instructions are counted by valgrind and are the same whatever else the machine does, so that they
//! can be kept in a file and compared: `boundary check`. Times are only told: `boundary time`.

mod counts;
mod error;
mod fixture;
mod pieces;
mod served;
mod valgrind;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::{error::BoundaryError, fixture::Fixture, pieces::Piece};

/// What one request costs the host, piece by piece.
#[derive(Parser)]
#[command(name = "boundary")]
struct Arguments {
    #[command(subcommand)]
    action: Action,
    /// The plugin of the benchmark, as it has been built.
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
    /// Do one piece so many times.
    Run {
        /// Which.
        piece: Piece,
        /// How many times.
        times: u64,
    },
    /// Print what each piece takes, in nanoseconds, as JSON.
    Time,
    /// Count the instructions of each piece and compare them with those in the file.
    Check {
        /// Where the counts are kept.
        #[arg(long, value_name = "FILE", default_value = "bench/instructions.toml")]
        counts: PathBuf,
        /// Keep the new counts, whatever they are.
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
