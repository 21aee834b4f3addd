//! The command-line client of the Dropin command server.

mod cli;
mod conversation;
mod error;
mod output;
mod places;
mod program;
mod prompt;
mod reply;
mod script;
mod units;

use std::{ffi::OsString, process::ExitCode};

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    ExitCode::from(cli::run::run(&words))
}
