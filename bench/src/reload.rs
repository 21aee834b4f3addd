//! Reloads: the figures of `cargo xtask soak`, in its own output.

use std::{fs::File, io::Read as _, io::Seek as _, path::Path, process::Command, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    error::{BenchError, failed},
    program::Running,
    threads::Threads,
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

impl Reload {
    /// Returns the median time of a reload under load, in milliseconds.
    pub fn median_under_load(&self) -> Option<f64> {
        let mut lines = self.said.lines();
        let line = lines.find_map(|line| line.strip_prefix("a reload under load"))?;
        line.split_once("median ")?.1.split_once(" ms")?.0.parse().ok()
    }
}

/// Runs the soak on this host, whose sessions have these threads.
pub fn measure(
    xtask: &Path,
    host: &Path,
    threads: Threads,
    quick: bool,
) -> Result<Reload, BenchError> {
    let (reloads, timed) = if quick { ("20", "20") } else { ("200", "100") };
    let counts = ["--reloads", reloads, "--timed", timed];
    let arguments =
        [&["soak", "--figures-only", "--threads", threads.name()], &counts[..]].concat();
    let mut said: File = tempfile::tempfile().map_err(failed("make a file for", "the soak"))?;
    let copy = || said.try_clone().map_err(failed("share", "the soak's output"));
    let mut command = Command::new(xtask);
    command.args(&arguments).stdout(copy()?).stderr(copy()?);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_under_load_is_read_from_the_output() {
        let reload = |said: &str| Reload { command: String::new(), said: said.into(), held: true };
        let said = "\
failed requests         0 (must be 0)
a reload under load     median 59.877 ms, p99 374.684 ms, worst 411.447 ms (n = 400)
text                    median 9.506 ms, p99 21.725 ms, worst 21.725 ms (n = 100)";
        assert_eq!(reload(said).median_under_load(), Some(59.877));
        assert_eq!(reload("text   median 9.506 ms, p99 21.725 ms").median_under_load(), None);
    }
}
