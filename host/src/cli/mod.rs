//! The program's command line, and its subcommands.

mod check;
mod config;
mod dev;
mod generate;
mod key;

use std::{env, process::ExitCode};

use plugin_engine::live::probe;

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
            Action::Dev(_) | Action::Completion { .. } | Action::Man { .. } | Action::Probe { .. }
        )
    ) {
        misspelt_variables().iter().for_each(|warning| eprintln!("{}: {warning}", program::own()));
    }
    match arguments.action {
        Some(Action::Check { file, probe_timeout, trust, .. }) => {
            check::run(&file, probe_timeout, &trust)
        }
        Some(Action::Config { serve, .. }) => {
            print!("{}", config::describe(&settings, &tables, serve.state_root().as_deref()));
            ExitCode::SUCCESS
        }
        Some(Action::Completion { shell }) => generate::completion(shell),
        Some(Action::Man { to }) => generate::man(to.as_deref()),
        Some(Action::Key(action)) => key::run(action),
        Some(Action::Fingerprint { tls_cert, place }) => key::fingerprint(tls_cert, place),
        Some(Action::Probe { file, report }) => {
            ExitCode::from(u8::from(!probe::run_child(&file, &report)))
        }
        Some(Action::Dev(dev)) => dev::run(dev),
        None => serve(arguments.serve, |_| Ok(())),
    }
}
