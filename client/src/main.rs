//! The command-line client of the Dropin command server.

mod access;
mod args;
mod batch;
mod codec;
mod config;
mod connection;
mod dial;
mod editor;
mod error;
mod frame;
mod known_hosts;
mod question;
mod quoting;
mod render;
mod repl;
mod reply;
mod run;
mod screen;
mod session;
mod table;
mod terminal;
mod text;
mod tls;

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(run::run(args::Args::parse()))
}
