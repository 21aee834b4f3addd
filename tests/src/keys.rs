//! Keys of a host, created by its own command.

use std::{path::Path, process::Command};

use crate::{Host, built, setup::Ended};

/// Runs `host key` for this state directory. Returns its result.
///
/// # Panics
/// The program cannot be started.
#[must_use]
pub fn key_command(state_dir: &Path, arguments: &[&str]) -> Ended {
    let mut command = Command::new(built::program("host"));
    command.arg("key").args(arguments).arg("--state-dir").arg(state_dir);
    command.env_remove("DROPIN_STATE_DIR");
    let output = command.output();
    output.unwrap_or_else(|error| panic!("the host cannot be started: {error}")).into()
}

/// Creates a key with these flags, and returns it.
///
/// # Panics
/// The key cannot be created.
#[must_use]
#[track_caller]
pub fn add_key(host: &Host, name: &str, flags: &[&str]) -> String {
    let arguments: Vec<&str> = ["add", name].iter().chain(flags).copied().collect();
    let added = key_command(host.state_dir(), &arguments);
    assert_eq!(added.status, Some(0), "{added:?}");
    added.stdout.trim_end().to_owned()
}
