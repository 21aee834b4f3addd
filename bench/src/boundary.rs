//! What a request costs, piece by piece: the words of the program `boundary`.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use serde::Deserialize;

use crate::{
    error::{BenchError, failed},
    results::Results,
};

/// What the file of instructions holds of interest here.
#[derive(Deserialize)]
struct Kept {
    instructions: BTreeMap<String, f64>,
}

/// Takes times now, and instructions from the file in which they are kept.
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
        let text = format!("cannot understand what boundary says: {error}\n{said}");
        BenchError::Caused(text, error.into())
    })?;
    let text = fs::read_to_string(instructions).map_err(failed("read", instructions))?;
    let kept: Kept = toml::from_str(&text).map_err(|error| {
        let text = format!("cannot understand {}: {error}", instructions.display());
        BenchError::Caused(text, error.into())
    })?;
    results.instructions = kept.instructions;
    Ok(())
}
