//! The command-line client of the Dropin command server.
//!
//! Modules import one way, downwards in this list: `cli`; `prompt`; `script`; `conversation`;
//! `places`; `output`; `reply`; `error`; `program`; `duration`. No two files import each other.

mod cli;
mod conversation;
mod duration;
mod error;
mod output;
mod places;
mod program;
mod prompt;
mod reply;
mod script;

use std::{ffi::OsString, process::ExitCode};

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    ExitCode::from(cli::run::run(&words))
}
