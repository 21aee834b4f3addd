//! A run of `cargo build`, and the library that it makes.

use std::{
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use platform::{Group, LIBRARY_EXTENSION, Terminal};
use serde::Deserialize;

/// A running `cargo build`. Dropping it ends cargo and every process that cargo has started.
pub(super) struct Build {
    cargo: Group,
    /// Ends at cargo's message that the build is finished, or at the end of cargo's output.
    reader: Option<JoinHandle<()>>,
    found: Receiver<Option<PathBuf>>,
    started: Instant,
}

/// The outcome of a build.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Built {
    /// The path of the package's library.
    Library(PathBuf),
    /// The build succeeded, but made no library that a host can load.
    NoLibrary,
    /// The build failed; cargo has printed the reason.
    Failed,
}

/// The longest wait for the end of a cancelled build's output.
const OUTPUT_END_TIMEOUT: Duration = Duration::from_secs(1);

/// The fields of cargo's JSON message about a build artifact that are used here.
#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    manifest_path: PathBuf,
    #[serde(default)]
    filenames: Vec<PathBuf>,
    #[serde(default)]
    target: Target,
}

#[derive(Default, Deserialize)]
struct Target {
    #[serde(default)]
    crate_types: Vec<String>,
}

impl Build {
    /// Starts the build in the package's folder. Cargo's diagnostics go to standard error.
    pub(super) fn start(folder: &Path, arguments: &[&str]) -> io::Result<Self> {
        let manifest = folder.canonicalize()?.join("Cargo.toml");
        let mut command = Command::new("cargo");
        command
            .args(["build", "--message-format=json-render-diagnostics"])
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        // The host handles the terminal's signals.
        let mut cargo = Group::spawn(&mut command, Terminal::Shared)?;
        let (sender, found) = bounded(1);
        let stdout = cargo.child.stdout.take();
        let reader = thread::Builder::new().name("cargo".into()).spawn(move || {
            // The receiver is gone if the build was cancelled.
            let _ = sender.send(stdout.and_then(|output| find_library(output, &manifest)));
        });
        let mut build = Self { cargo, reader: None, found, started: Instant::now() };
        build.reader = Some(reader?);
        Ok(build)
    }

    /// Returns a channel that gets the library's path once cargo is done; then `finish` does not
    /// block for long.
    pub(super) fn ended(&self) -> &Receiver<Option<PathBuf>> {
        &self.found
    }

    /// Waits for cargo to exit, and returns the outcome and the build's duration.
    pub(super) fn finish(mut self, found: Option<PathBuf>) -> io::Result<(Built, Duration)> {
        let status = self.cargo.child.wait()?;
        // Cargo may have left a compiler server running, such as sccache's.
        self.cargo.release();
        let built = match found {
            _ if !status.success() => Built::Failed,
            Some(library) => Built::Library(library),
            None => Built::NoLibrary,
        };
        Ok((built, self.started.elapsed()))
    }
}

impl Drop for Build {
    fn drop(&mut self) {
        if !matches!(self.cargo.child.try_wait(), Ok(Some(_))) {
            self.cargo.kill();
        }
        // A process that cargo has started may keep its output open: then the reader is not joined.
        let silent = self.found.recv_timeout(OUTPUT_END_TIMEOUT) == Err(RecvTimeoutError::Timeout);
        if let Some(reader) = self.reader.take().filter(|_| !silent) {
            let _ = reader.join();
        }
    }
}

/// Reads cargo's messages, and returns the library of the package with this manifest.
fn find_library(output: impl Read, manifest: &Path) -> Option<PathBuf> {
    // A line that is no message was printed by a program that cargo ran.
    let lines = BufReader::new(output).lines().map_while(Result::ok);
    let messages = lines.filter_map(|line| serde_json::from_str::<Message>(&line).ok());
    // Reading stops at cargo's last message, not at the output's end: a compiler server that cargo
    // has started may keep the output open.
    let messages = messages.take_while(|message| message.reason != "build-finished");
    messages.filter_map(|message| select_library(message, manifest)).last()
}

fn select_library(message: Message, manifest: &Path) -> Option<PathBuf> {
    let own = message.manifest_path == manifest
        || message.manifest_path.canonicalize().is_ok_and(|path| path == manifest);
    let loadable = message.target.crate_types.iter().any(|kind| kind == "cdylib");
    let is_library = |file: &PathBuf| file.extension().is_some_and(|end| end == LIBRARY_EXTENSION);
    message.filenames.into_iter().find(|file| own && loadable && is_library(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_packages_own_loadable_library_is_chosen() {
        let manifest = Path::new("/p/Cargo.toml");
        let file = format!("/t/libp.{LIBRARY_EXTENSION}");
        let message = |manifest: &str, kind: &str, file: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"{manifest}",
                "target":{{"crate_types":["{kind}"]}},"filenames":["/t/p.d","{file}"]}}"#
            )
        };
        let found = |line: String| find_library(line.replace('\n', "").as_bytes(), manifest);
        assert_eq!(found(message("/p/Cargo.toml", "cdylib", &file)), Some(file.clone().into()));
        assert_eq!(found(message("/q/Cargo.toml", "cdylib", &file)), None);
        assert_eq!(found(message("/p/Cargo.toml", "proc-macro", &file)), None);
        assert_eq!(found(message("/p/Cargo.toml", "lib", "/t/libp.rlib")), None);
        for line in ["", "warning: no message", r#"{"reason":"build-finished","success":true}"#] {
            assert_eq!(found(line.into()), None, "{line}");
        }
    }

    #[test]
    fn build_finished_message_ends_the_reading() {
        struct Open;
        impl Read for Open {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                panic!("the output's end was waited for");
            }
        }
        let said = b"{\"reason\":\"build-finished\",\"success\":true}\n";
        assert_eq!(find_library(said.chain(Open), Path::new("/p/Cargo.toml")), None);
    }
}
