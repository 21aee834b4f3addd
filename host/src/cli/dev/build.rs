//! One run of `cargo build`, and the library that it makes.

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

/// A `cargo build` that is under way. It ends when this drops, with whatever it has started.
pub(super) struct Build {
    cargo: Group,
    /// Ends with cargo's word that it is done, or with its output.
    reader: Option<JoinHandle<()>>,
    found: Receiver<Option<PathBuf>>,
    started: Instant,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Built {
    /// The package's library is there.
    Library(PathBuf),
    /// The package builds, but gives no library that a host can load.
    NoLibrary,
    /// It does not build; cargo has said why.
    Failed,
}

/// How long the end of a given up build's output is waited for.
const PARTING: Duration = Duration::from_secs(1);

/// What cargo says of something that it has built, as far as it matters here.
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
    /// Starts it in the package's folder. What cargo says goes to where this program's errors go.
    pub(super) fn start(folder: &Path, arguments: &[&str]) -> io::Result<Self> {
        let manifest = folder.canonicalize()?.join("Cargo.toml");
        let mut command = Command::new("cargo");
        command
            .args(["build", "--message-format=json-render-diagnostics"])
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        // A signal of the terminal's is the host's to act upon.
        let mut cargo = Group::spawn(&mut command, Terminal::Shared)?;
        let (tell, found) = bounded(1);
        let stdout = cargo.child.stdout.take();
        let reader = thread::Builder::new().name("cargo".into()).spawn(move || {
            // Nobody listens any more where the build has been given up.
            let _ = tell.send(stdout.and_then(|output| library(output, &manifest)));
        });
        let mut build = Self { cargo, reader: None, found, started: Instant::now() };
        build.reader = Some(reader?);
        Ok(build)
    }

    /// Tells that cargo is done, when `finish` does not take long.
    pub(super) fn ended(&self) -> &Receiver<Option<PathBuf>> {
        &self.found
    }

    /// How it ended, and how long it took.
    pub(super) fn finish(mut self, found: Option<PathBuf>) -> io::Result<(Built, Duration)> {
        let status = self.cargo.child.wait()?;
        // A server of compilers, such as sccache's.
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
        // Where cargo did not get to its word, what it has left running may keep its output open.
        let silent = self.found.recv_timeout(PARTING) == Err(RecvTimeoutError::Timeout);
        if let Some(reader) = self.reader.take().filter(|_| !silent) {
            let _ = reader.join();
        }
    }
}

/// The library among what cargo says it has built for the package of this manifest.
fn library(output: impl Read, manifest: &Path) -> Option<PathBuf> {
    // What is no message has been printed by something that cargo ran.
    let lines = BufReader::new(output).lines().map_while(Result::ok);
    let messages = lines.filter_map(|line| serde_json::from_str::<Message>(&line).ok());
    // Its last word, not its output's end: whatever it has started, such as a server of compilers,
    // may keep that open.
    let messages = messages.take_while(|message| message.reason != "build-finished");
    messages.filter_map(|message| library_of(message, manifest)).last()
}

fn library_of(message: Message, manifest: &Path) -> Option<PathBuf> {
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
        let found = |line: String| library(line.replace('\n', "").as_bytes(), manifest);
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
        assert_eq!(library(said.chain(Open), Path::new("/p/Cargo.toml")), None);
    }
}
