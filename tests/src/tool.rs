//! Tools and rights that not every machine has.
//!
//! A test that needs one says so twice: by `#[cfg_attr(not(tool = ".."), ignore = "needs ..")]`, so that
//! it counts as ignored where the build script has not found it, and by [`require`], which fails where
//! nothing may be left out.

use std::{
    env,
    io::{Read, Write},
    process::{Command, Output, Stdio},
    thread,
};

use crate::{
    found::find,
    wait::{LIMIT, wait_until},
};

/// Whether the tool is there. Where it is not, the test is left out with a word, unless
/// `DROPIN_TEST_ALL` says that nothing may be.
///
/// # Panics
/// Where the tool is missing and nothing may be left out.
#[must_use]
pub fn require(tool: &str) -> bool {
    allow(find(tool).is_some(), &format!("there is no {tool} here"))
}

/// As [`require`], for any condition.
///
/// # Panics
/// Where it does not hold and nothing may be left out.
#[must_use]
pub fn allow(holds: bool, why_not: &str) -> bool {
    if !holds {
        let strict = env::var_os("DROPIN_TEST_ALL").is_some_and(|value| value == "1");
        assert!(!strict, "{why_not}, and DROPIN_TEST_ALL lets nothing be left out");
        eprintln!("left out: {why_not}");
    }
    holds
}

/// Runs a tool to its end, with this input.
///
/// # Panics
/// Where it cannot be started or does not end.
#[must_use]
pub fn run(command: &mut Command, input: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the tool can be started");
    let mut stdin = child.stdin.take().expect("its input is a pipe");
    thread::scope(|scope| {
        scope.spawn(move || {
            // A tool that ends early does not want the rest.
            let _ = stdin.write_all(input);
        });
        child.wait_with_output().expect("the tool ends")
    })
}

/// A tool that runs on; it ends with this.
pub struct Running(std::process::Child);

impl Running {
    /// Starts it with a pipe for its input that stays open.
    ///
    /// # Panics
    /// Where it cannot be started.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().expect("the tool can be started"))
    }

    /// Types into it.
    ///
    /// # Panics
    /// Where it does not listen.
    pub fn type_in(&mut self, text: &str) {
        let stdin = self.0.stdin.as_mut().expect("its input is a pipe");
        stdin.write_all(text.as_bytes()).and_then(|()| stdin.flush()).expect("the tool listens");
    }

    /// Waits for its end, and returns all that it has said.
    ///
    /// # Panics
    /// Where it does not end.
    #[must_use]
    pub fn finish(mut self) -> String {
        wait_until("the tool has ended", LIMIT, || {
            self.0.try_wait().is_ok_and(|end| end.is_some())
        });
        let mut said = String::new();
        for pipe in [
            self.0.stdout.as_mut().map(|pipe| pipe as &mut dyn Read),
            self.0.stderr.as_mut().map(|pipe| pipe as &mut dyn Read),
        ] {
            pipe.expect("its output is a pipe").read_to_string(&mut said).expect("it is text");
        }
        said
    }

    /// Kills it, as the system does it that has no memory left.
    ///
    /// # Panics
    /// Where it does not die.
    pub fn kill(mut self) {
        self.0.kill().expect("the tool can be killed");
        wait_until("the tool is dead", LIMIT, || self.0.try_wait().is_ok_and(|end| end.is_some()));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Where it has ended, neither does anything.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
