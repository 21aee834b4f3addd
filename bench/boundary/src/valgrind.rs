//! Instruction counts by valgrind's callgrind.

use std::{env, io, panic, path::Path, process::Command, thread};

use crate::{error::BoundaryError, pieces::Piece};

/// Returns the number of instructions of this piece per request.
///
/// It is the difference between a double and a single run, which excludes one-time work. Another
/// `try_number` moves the memory.
pub fn count(piece: Piece, plugin: &Path, try_number: usize) -> Result<f64, BoundaryError> {
    let times = piece.times();
    let collect = |times| collect(piece, plugin, times, try_number);
    // valgrind uses one processor.
    let (once, twice) = thread::scope(|scope| {
        let once = scope.spawn(|| collect(times));
        let twice = collect(2 * times);
        (once.join().unwrap_or_else(|panic| panic::resume_unwind(panic)), twice)
    });
    Ok((twice?.saturating_sub(once?)) as f64 / (times * piece.requests()) as f64)
}

fn collect(
    piece: Piece,
    plugin: &Path,
    times: u64,
    try_number: usize,
) -> Result<u64, BoundaryError> {
    let program = env::current_exe().map_err(|error| {
        BoundaryError::Io("find the program that is running", "boundary".into(), error)
    })?;
    let ran = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"])
        .arg("--toggle-collect=*boundary*counted*")
        .arg(&program)
        .args(["run", &piece.name(), &times.to_string(), "--plugin"])
        .arg(plugin)
        // The environment lies below the stack and moves it.
        .env("BOUNDARY_PADDING", "x".repeat(try_number * 336))
        .output()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => BoundaryError::NoValgrind,
            _ => BoundaryError::Io("start", "valgrind".into(), error),
        })?;
    let said = String::from_utf8_lossy(&ran.stderr);
    let collected = said.lines().find_map(|line| line.split_once("Collected : "));
    match collected.and_then(|(_, count)| count.trim().parse().ok()) {
        Some(count) if ran.status.success() && count > 0 => Ok(count),
        _ => Err(BoundaryError::Program(format!(
            "valgrind has not counted the instructions of {}:\n{said}",
            piece.name()
        ))),
    }
}
