//! A test program and its report.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::wine::Wine;
use crate::error::TaskError;

/// A test program.
pub struct Program {
    /// Its package's folder, its kind and its name.
    pub name: String,
    path: PathBuf,
    /// The folder in which cargo would start it.
    folder: PathBuf,
}

/// The results of a test program.
pub struct Report {
    pub passed: usize,
    pub failed: Vec<String>,
    /// True if it ran to its end.
    pub complete: bool,
    pub output: String,
}

impl Program {
    /// Returns the test program that a message of cargo's names.
    pub fn of(message: &str) -> Option<Self> {
        let message: serde_json::Value = serde_json::from_str(message).ok()?;
        let path = message.get("executable")?.as_str()?.into();
        if !message.get("profile")?.get("test")?.as_bool()? {
            return None;
        }
        let folder = Path::new(message.get("manifest_path")?.as_str()?).parent()?.to_owned();
        let target = message.get("target")?;
        let name = format!(
            "{} {} {}",
            folder.file_name()?.to_string_lossy(),
            target.get("kind")?.get(0)?.as_str()?,
            target.get("name")?.as_str()?
        );
        Some(Self { name, path, folder })
    }

    /// Runs it to its end, with this time limit.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn run(
        &self,
        wine: &Wine,
        arguments: &[&str],
        time: Duration,
    ) -> Result<Report, TaskError> {
        let ended = wine.run(&self.path, arguments, &self.folder, time)?;
        Ok(Report::new(ended.output, ended.success))
    }
}

impl Report {
    /// Reads a report. `success` is `None` if the program was killed.
    fn new(output: String, success: Option<bool>) -> Self {
        let outcome =
            |line: &str, end: &str| Some(line.strip_prefix("test ")?.strip_suffix(end)?.to_owned());
        let named = |end: &'static str| {
            output.lines().filter_map(move |line| outcome(line, end)).collect::<Vec<_>>()
        };
        let (passed, failed) = (named(" ... ok").len(), named(" ... FAILED"));
        // A program that crashes at its very end has already reported success.
        let ended_well = success == Some(true) || (success.is_some() && !failed.is_empty());
        let complete = ended_well && output.contains("\ntest result: ");
        Self { passed, failed, complete, output }
    }

    /// Returns the output of a failed test.
    pub fn output_of(&self, test: &str) -> String {
        let head = format!("---- {test} stdout ----");
        let is_head = |line: &&str| line.trim_end() == head;
        let is_end = |line: &&str| {
            let line = line.trim_end();
            line == "failures:" || (line.starts_with("---- ") && line.ends_with(" stdout ----"))
        };
        let after = self.output.lines().skip_while(|line| !is_head(line)).skip(1);
        after.take_while(|line| !is_end(line)).map(|line| format!("{line}\n")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
running 3 tests
test a::fails ... FAILED
test a::works ... ok
test a::fails_too ... FAILED

failures:

---- a::fails stdout ----

thread 'a::fails' panicked at tests/a.rs:1:1:
assertion failed: one
note: run with `RUST_BACKTRACE=1`

---- a::fails_too stdout ----
cannot start the probe: Internal error. (os error 1359)


failures:
    a::fails
    a::fails_too

test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out
";

    #[test]
    fn output_of_each_failure_is_its_own() {
        let report = Report::new(OUTPUT.into(), Some(false));
        assert_eq!((report.passed, report.complete), (1, true));
        assert_eq!(report.failed, ["a::fails", "a::fails_too"]);
        assert!(report.output_of("a::fails").contains("assertion failed: one"));
        assert!(!report.output_of("a::fails").contains("os error 1359"));
        assert!(report.output_of("a::fails_too").contains("os error 1359"));
        assert!(!report.output_of("a::fails_too").contains("a::fails"), "that is the list of them");
        assert_eq!(report.output_of("a::works"), "");
    }

    #[test]
    fn killed_or_cut_program_is_incomplete() {
        assert!(!Report::new(OUTPUT.into(), None).complete);
        let cut = OUTPUT.split("test result").next().unwrap();
        assert!(!Report::new(cut.into(), Some(false)).complete);
        assert!(!Report::new("test a ... ok\ntest result: ok.".into(), Some(false)).complete);
    }

    #[test]
    fn program_is_named_by_folder_kind_and_target() {
        let message = r#"{"manifest_path":"/a/client/Cargo.toml","target":{"kind":["test"],
            "name":"latency"},"profile":{"test":true},"executable":"/a/latency.exe"}"#;
        let program = Program::of(message).unwrap();
        assert_eq!(program.name, "client test latency");
        assert!(Program::of(&message.replace("true", "false")).is_none());
    }
}
