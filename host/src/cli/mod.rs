//! The program's command line, and its subcommands.

mod check;
mod config;
mod dev;
mod generate;
mod key;
mod state;

use std::{env, ffi::OsString, path::Path, process::ExitCode};

#[cfg(unix)]
use plugin_engine::process::executable;
use plugin_engine::{live::probe, process::native::worker};

use crate::{
    config::{Action, Resolved},
    serve::{misspelt_variables, serve},
};

/// Runs the program with this process's arguments, and returns its exit code.
pub fn main() -> ExitCode {
    program::started_by(env::args_os().next());
    let Resolved { arguments, settings, tables } = match crate::config::resolve(env::args_os()) {
        Ok(resolved) => resolved,
        Err(error) => error.exit(),
    };
    if !matches!(
        arguments.action,
        None | Some(
            Action::Dev(_)
                | Action::Completion { .. }
                | Action::Man { .. }
                | Action::Probe { .. }
                | Action::Worker
                | Action::Exec { .. }
        )
    ) {
        misspelt_variables().iter().for_each(|warning| eprintln!("{}: {warning}", program::own()));
    }
    match arguments.action {
        Some(Action::Check { file, probe_timeout, trust, plugin_tables, .. }) => {
            check::run(&file, probe_timeout, &trust, &plugin_tables)
        }
        Some(Action::Config { serve, .. }) => {
            print!("{}", config::describe(&settings, &tables, serve.state_root().as_deref()));
            ExitCode::SUCCESS
        }
        Some(Action::Completion { shell }) => generate::completion(shell),
        Some(Action::Man { to }) => generate::man(to.as_deref()),
        Some(Action::Key(action)) => key::run(action),
        Some(Action::State(action)) => state::run(action),
        Some(Action::Fingerprint { tls_cert, place }) => key::fingerprint(tls_cert, place),
        Some(Action::Probe { file, report }) => {
            ExitCode::from(u8::from(!probe::run_child(&file, &report)))
        }
        Some(Action::Worker) => worker(),
        Some(Action::Exec { parent, limits, data_dir, words }) => {
            exec(parent, &limits, &data_dir, &words)
        }
        Some(Action::Dev(dev)) => dev::run(dev),
        None => serve(arguments.serve, |_| Ok(())),
    }
}

/// Runs the worker process of a plugin, which ends by itself unless it cannot start.
fn worker() -> ExitCode {
    #[cfg(unix)]
    if env::var_os(plugin_engine::process::native::launcher::BACKTRACE).is_some() {
        crate::crash::trace::install();
    }
    if let Err(error) = worker::run() {
        eprintln!("{}: cannot run as a worker process: {error}", program::own());
    }
    ExitCode::FAILURE
}

/// Becomes an executable plugin; returns only if that fails.
fn exec(parent: u32, limits: &str, data_dir: &Path, words: &[OsString]) -> ExitCode {
    /// The exit status of shells for a file that cannot be executed.
    const CANNOT_EXECUTE: u8 = 126;
    #[cfg(unix)]
    {
        let error = executable::become_program(parent, limits, data_dir, words);
        let program = words.first().map(|word| word.to_string_lossy().into_owned());
        eprintln!("cannot run {}: {error}", program.unwrap_or_default());
    }
    #[cfg(not(unix))]
    let _ = (parent, limits, data_dir, words);
    ExitCode::from(CANNOT_EXECUTE)
}
