//! The host as a service.

#[cfg(unix)]
mod defaults;
mod logs;
mod metrics;
#[cfg(unix)]
mod packaged;
mod pages;
mod settings;
#[cfg(unix)]
mod systemd;

use std::{path::Path, process::Command};

use dropin_tests::{Ended, built, setup::hide_user_settings, tool};

/// Runs the host's program in this folder, to its end.
#[track_caller]
fn host_in(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    let mut command = Command::new(built::program("host"));
    command.args(arguments).current_dir(folder);
    hide_user_settings(&mut command, folder);
    command.envs(variables.iter().copied());
    let output = tool::run(&mut command, b"");
    let text = |bytes| String::from_utf8(bytes).expect("it is text");
    Ended { status: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}
