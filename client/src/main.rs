//! The command-line client of the Dropin command server.

mod access;
mod args;
mod batch;
mod codec;
mod command_line;
mod completion;
mod config;
mod connection;
mod dial;
mod editor;
mod error;
mod frame;
mod help;
mod known_hosts;
mod latency;
mod manual;
mod output;
mod place;
mod places;
mod question;
mod quoting;
mod render;
mod repl;
mod reply;
mod run;
mod screen;
mod session;
mod settings;
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
