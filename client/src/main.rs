//! The command-line client of the Dropin command server.

mod access;
mod args;
mod batch;
mod codec;
mod colour;
mod commands;
mod config;
mod connection;
mod danger;
mod dial;
mod editor;
mod error;
mod event;
mod frame;
mod helper;
mod history;
mod known_hosts;
mod line;
mod live;
mod progress;
mod question;
mod quoting;
mod render;
mod repl;
mod reply;
mod route;
mod run;
mod screen;
mod session;
mod shell;
mod signals;
mod table;
mod terminal;
mod text;
mod tls;

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(run::run(args::Args::parse()))
}
