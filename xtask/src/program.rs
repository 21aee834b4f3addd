//! Programs that a task runs.

use std::{
    path::PathBuf,
    process::{Command, ExitStatus},
};

use crate::error::TaskError;

/// Runs a program, which must succeed.
pub fn succeed(command: &mut Command) -> Result<(), TaskError> {
    let status = command.status();
    let status = status.map_err(|error| TaskError::Io("start", path(command), error))?;
    check(command, status)
}

/// Fails if the program of this command has failed.
pub fn check(command: &Command, status: ExitStatus) -> Result<(), TaskError> {
    if status.success() {
        return Ok(());
    }
    let name = path(command).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let arguments: Vec<_> = command.get_args().map(|part| part.to_string_lossy()).collect();
    Err(TaskError::Failed(format!("{name} {}", arguments.join(" "))))
}

/// Returns the path of a command's program.
pub fn path(command: &Command) -> PathBuf {
    PathBuf::from(command.get_program())
}
