//! The cost of a request, piece by piece: the output of the program `boundary`.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use serde::Deserialize;

use crate::{
    error::{BenchError, failed},
    results::Results,
};

/// The part of the instructions file that is used here.
#[derive(Deserialize)]
struct Kept {
    instructions: BTreeMap<String, f64>,
}

/// Measures times, and reads instructions from their file.
pub fn measure(built: &Path, instructions: &Path, results: &mut Results) -> Result<(), BenchError> {
    let program = built.join("boundary");
    let timed = Command::new(&program)
        .arg("time")
        .arg("--plugin")
        .arg(built.join("libbench_plugin.so"))
        .output()
        .map_err(failed("start", &program))?;
    results.pieces = serde_json::from_slice(&timed.stdout).map_err(|error| {
        let said = String::from_utf8_lossy(&timed.stderr).into_owned();
        let text = format!("cannot parse the output of boundary: {error}\n{said}");
        BenchError::Caused(text, error.into())
    })?;
    let text = fs::read_to_string(instructions).map_err(failed("read", instructions))?;
    let kept: Kept = toml::from_str(&text).map_err(|error| {
        let text = format!("cannot parse {}: {error}", instructions.display());
        BenchError::Caused(text, error.into())
    })?;
    results.instructions = kept.instructions;
    Ok(())
}
