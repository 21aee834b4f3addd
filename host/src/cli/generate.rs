//! The subcommands `host completion` and `host man`, generated from the command line's definition.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Command;
use clap_complete::Shell;

use crate::config;

/// A manual page that cannot be written: its path, and the cause.
#[derive(Debug)]
struct PageError(PathBuf, io::Error);

/// Prints the shell's completion script for this program, under the name that it was started by.
pub(crate) fn completion(shell: Shell) -> ExitCode {
    let (whole, name) = (config::command(), program::own());
    // The generators do not leave out hidden subcommands.
    let visible = whole.get_subcommands().filter(|below| !below.is_hide_set()).cloned();
    let mut command = Command::new(name)
        .version(plugin_engine::VERSION)
        .args(whole.get_arguments().cloned())
        .subcommands(visible);
    // The script for bash does not complete subcommands of a program whose name has a hyphen. The
    // real name matters only in the line that registers the completion.
    let plain = if shell == Shell::Bash { name.replace('-', "_") } else { name.to_owned() };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, plain.as_str(), &mut script);
    let script = String::from_utf8_lossy(&script);
    let script = script.replace(&format!("-o default {plain}\n"), &format!("-o default {name}\n"));
    print(script.as_bytes())
}

/// Prints the manual page, or writes it and one for each subcommand into a directory.
pub(crate) fn man(to: Option<&Path>) -> ExitCode {
    // The program's name is part of the title, the synopsis and the subcommands' names.
    let mut command = config::command().disable_help_subcommand(true);
    command.build();
    let Some(folder) = to else {
        return print(&render_page(&command));
    };
    match write_all(&command, folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(PageError(path, error)) => {
            eprintln!("{}: cannot write {}: {error}", program::own(), path.display());
            ExitCode::FAILURE
        }
    }
}

fn render_page(command: &Command) -> Vec<u8> {
    let mut text = Vec::new();
    // Writing to memory cannot fail.
    let _ = clap_mangen::Man::new(command.clone()).render(&mut text);
    text
}

/// Writes a page for this command and, as `NAME-SUBCOMMAND`, for each of its subcommands.
fn write_all(command: &Command, folder: &Path) -> Result<(), PageError> {
    fs::create_dir_all(folder).map_err(|error| PageError(folder.to_owned(), error))?;
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let path = folder.join(format!("{name}.1"));
    let titled = command.clone().name(name);
    fs::write(&path, render_page(&titled)).map_err(|error| PageError(path, error))?;
    let below = command.get_subcommands().filter(|below| !below.is_hide_set());
    below.into_iter().try_for_each(|below| write_all(below, folder))
}

fn print(bytes: &[u8]) -> ExitCode {
    match io::stdout().write_all(bytes).and_then(|()| io::stdout().flush()) {
        // A reader such as `head` may close the pipe early, which is no failure.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("{}: cannot write to standard output: {error}", program::own());
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}
