//! Libraries that come, change and go while the host runs.

mod bad_bytes;
mod bad_files;
mod batches;
mod compatibility;
mod flow;
mod folder;
mod handover;
mod handover_failures;
mod operator;
mod replacing;
mod restart;
mod slow_writers;
mod threads;
mod unloading;
mod watching;

use dropin_tests::{Host, Setup, built, reload::marked};

/// A host that is patient with plugins: a machine that stands still for a while fails nothing.
fn setup() -> Setup {
    Setup::new().flags(&["--probe-timeout", "60", "--handover-timeout", "30"])
}

/// A patient host with a fixture of this mark, and the text plugin.
fn setup_with(package: &str, mark: &str) -> Setup {
    with_version(setup(), package, mark)
}

fn with_version(setup: Setup, package: &str, mark: &str) -> Setup {
    setup.plugins(&["text"]).file(&built::library_name(package), &marked(package, mark))
}

#[track_caller]
fn host_with(package: &str, mark: &str) -> Host {
    setup_with(package, mark).start()
}

/// Puts another version of a fixture into the plugins folder.
fn replace(host: &Host, package: &str, mark: &str) {
    host.place(package, &marked(package, mark));
}
