//! `host completion` and `host man`, made from the command line's own definition.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Command;
use clap_complete::Shell;

use crate::config;

/// What stops a page from being written.
#[derive(Debug)]
struct PageError(PathBuf, io::Error);

/// Prints what the shell has to know for completing this program, under the name that it was
/// started by.
pub(crate) fn completion(shell: Shell) -> ExitCode {
    let (whole, name) = (config::command(), program::own());
    // Generators take up hidden subcommands, too.
    let visible = whole.get_subcommands().filter(|below| !below.is_hide_set()).cloned();
    let mut command = Command::new(name)
        .version(plugin_engine::VERSION)
        .args(whole.get_arguments().cloned())
        .subcommands(visible);
    // In what is generated for bash, subcommands of a program whose name has a hyphen are not found
    // again. The name matters only where the completion is tied to it.
    let plain = if shell == Shell::Bash { name.replace('-', "_") } else { name.to_owned() };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, plain.as_str(), &mut script);
    let script = String::from_utf8_lossy(&script);
    let tied = script.replace(&format!("-o default {plain}\n"), &format!("-o default {name}\n"));
    print(tied.as_bytes())
}

/// Prints the manual page, or writes it and one for each subcommand into a directory.
pub(crate) fn man(to: Option<&Path>) -> ExitCode {
    // Its name is part of the title, of the synopsis and of the subcommands' names.
    let mut command = config::command().disable_help_subcommand(true);
    command.build();
    let Some(folder) = to else {
        return print(&page(&command));
    };
    match write_all(&command, folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(PageError(path, error)) => {
            eprintln!("{}: cannot write {}: {error}", program::own(), path.display());
            ExitCode::FAILURE
        }
    }
}

fn page(command: &Command) -> Vec<u8> {
    let mut text = Vec::new();
    // Writing to memory cannot fail.
    let _ = clap_mangen::Man::new(command.clone()).render(&mut text);
    text
}

/// A page for this command and, under `NAME-SUBCOMMAND`, for all below.
fn write_all(command: &Command, folder: &Path) -> Result<(), PageError> {
    fs::create_dir_all(folder).map_err(|error| PageError(folder.to_owned(), error))?;
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let path = folder.join(format!("{name}.1"));
    let titled = command.clone().name(name);
    fs::write(&path, page(&titled)).map_err(|error| PageError(path, error))?;
    let below = command.get_subcommands().filter(|below| !below.is_hide_set());
    below.into_iter().try_for_each(|below| write_all(below, folder))
}

fn print(bytes: &[u8]) -> ExitCode {
    match io::stdout().write_all(bytes).and_then(|()| io::stdout().flush()) {
        // Who has seen enough, `head` say, is no failure.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("{}: cannot write to standard output: {error}", program::own());
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}
