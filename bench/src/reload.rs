//! Reloads: the figures of `cargo xtask soak`, in its own output.

use std::{fs::File, io::Read as _, io::Seek as _, path::Path, process::Command, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    error::{BenchError, failed},
    program::Running,
};

/// Time limit of the soak.
const LIMIT: Duration = Duration::from_secs(300);

/// The output of the soak.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reload {
    /// Its command line.
    pub command: String,
    /// Its output.
    pub said: String,
    /// True if all its checks succeeded.
    pub held: bool,
}

/// Runs the soak on this host.
pub fn measure(xtask: &Path, host: &Path, quick: bool) -> Result<Reload, BenchError> {
    let (reloads, timed) = if quick { ("20", "20") } else { ("200", "100") };
    let arguments = ["soak", "--figures-only", "--reloads", reloads, "--timed", timed];
    let mut said: File = tempfile::tempfile().map_err(failed("make a file for", "the soak"))?;
    let copy = || said.try_clone().map_err(failed("share", "the soak's output"));
    let mut command = Command::new(xtask);
    command.args(arguments).stdout(copy()?).stderr(copy()?);
    if let Some(built) = host.parent() {
        command.arg("--built").arg(built);
    }
    let status = Running::start(&mut command)?.wait(LIMIT, &mut || {})?;
    let mut text = String::new();
    said.rewind()
        .and_then(|()| said.read_to_string(&mut text))
        .map_err(failed("read", "the soak's output"))?;
    let command = format!("cargo xtask {}", arguments.join(" "));
    Ok(Reload { command, said: text.trim().to_owned(), held: status.success() })
}
