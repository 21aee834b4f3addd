//! Keys of a host, created by its own command.

use std::{path::Path, process::Command};

use crate::{Host, built};

/// Runs `host key` for this state directory. Returns whether it succeeded, and its two outputs.
///
/// # Panics
/// The program cannot be started.
#[must_use]
pub fn key_command(state_dir: &Path, arguments: &[&str]) -> (bool, String, String) {
    let mut command = Command::new(built::program("host"));
    command.arg("key").args(arguments).arg("--state-dir").arg(state_dir);
    command.env_remove("DROPIN_STATE_DIR");
    let output = command.output().expect("the host can be started");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

/// Creates a key with these flags, and returns it.
///
/// # Panics
/// The key cannot be created.
#[must_use]
#[track_caller]
pub fn add_key(host: &Host, name: &str, flags: &[&str]) -> String {
    let arguments: Vec<&str> = ["add", name].iter().chain(flags).copied().collect();
    let (worked, key, said) = key_command(host.state_dir(), &arguments);
    assert!(worked, "{said}");
    key.trim_end().to_owned()
}
