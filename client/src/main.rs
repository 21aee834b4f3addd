//! The command-line client of the Dropin command server.

mod access;
mod args;
mod batch;
mod cancelling;
mod codec;
mod colour;
mod command_line;
mod commands;
mod completion;
mod config;
mod confirm;
mod connection;
mod dial;
mod editor;
mod error;
mod event;
mod folders;
mod frame;
mod help;
mod helper;
mod history;
mod host_state;
mod known_hosts;
mod latency;
mod line;
mod manual;
mod output;
mod place;
mod places;
mod program;
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
mod settings;
mod shell;
mod signals;
mod table;
mod terminal;
mod text;
mod tls;
mod units;

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    ExitCode::from(run::run(&words))
}
