//! External tools that not every machine has.
//!
//! A test that needs one has `#[cfg_attr(not(tool = ".."), ignore = "needs ..")]`: it is ignored
//! where the build script has not found the tool, and fails if it runs anyway.

use std::{
    io::{Read, Write},
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread,
    time::Duration,
};

use crate::wait::{LIMIT, wait_for, wait_until};

/// Runs a tool to its end, with this input.
///
/// # Panics
/// The tool cannot be started or does not end.
#[must_use]
pub fn run(command: &mut Command, input: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = start(command);
    let mut stdin = child.stdin.take().expect("its input is a pipe");
    thread::scope(|scope| {
        scope.spawn(move || {
            // A tool that ends early does not read the rest.
            let _ = stdin.write_all(input);
        });
        child.wait_with_output().expect("the tool ends")
    })
}

fn start(command: &mut Command) -> Child {
    let child = command.spawn();
    child.unwrap_or_else(|error| panic!("cannot start {:?}: {error}", command.get_program()))
}

/// A running tool. Dropping it ends the tool.
pub struct Running(Child);

impl Running {
    /// Starts a tool with a pipe as its input that stays open.
    ///
    /// # Panics
    /// The tool cannot be started.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(start(command))
    }

    /// Writes to the tool's input.
    ///
    /// # Panics
    /// The tool does not read it.
    pub fn type_in(&mut self, text: &str) {
        let stdin = self.0.stdin.as_mut().expect("its input is a pipe");
        stdin.write_all(text.as_bytes()).and_then(|()| stdin.flush()).expect("the tool listens");
    }

    /// Waits for the tool's end, and returns its output.
    ///
    /// # Panics
    /// The tool does not end.
    #[must_use]
    pub fn finish(self) -> String {
        self.end().1
    }

    /// Waits for its end, and returns its status and all that it has said.
    ///
    /// # Panics
    /// It has not ended after the limit.
    #[must_use]
    pub fn end(self) -> (ExitStatus, String) {
        self.end_within(LIMIT)
    }

    /// Does as [`end`](Self::end), with another limit.
    ///
    /// # Panics
    /// It has not ended by then.
    #[must_use]
    pub fn end_within(mut self, limit: Duration) -> (ExitStatus, String) {
        let status = wait_for("the tool has ended", limit, || {
            self.0.try_wait().expect("its status can be asked for")
        });
        let mut said = String::new();
        for pipe in [
            self.0.stdout.as_mut().map(|pipe| pipe as &mut dyn Read),
            self.0.stderr.as_mut().map(|pipe| pipe as &mut dyn Read),
        ] {
            pipe.expect("its output is a pipe").read_to_string(&mut said).expect("it is text");
        }
        (status, said)
    }

    /// Kills the tool, as the system does when it has no memory left.
    ///
    /// # Panics
    /// The tool does not end.
    pub fn kill(mut self) {
        self.0.kill().expect("the tool can be killed");
        wait_until("the tool has ended", LIMIT, || {
            self.0.try_wait().is_ok_and(|end| end.is_some())
        });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails if the tool has just ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
