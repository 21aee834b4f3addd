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

/// A host with a fixture of this mark, and the text plugin.
#[track_caller]
fn host_with(package: &str, mark: &str) -> Host {
    setup_with(package, mark).start()
}

fn setup_with(package: &str, mark: &str) -> Setup {
    Setup::new().plugins(&["text"]).file(&built::library_name(package), &marked(package, mark))
}

/// Puts another version of a fixture into the plugins folder.
fn replace(host: &Host, package: &str, mark: &str) {
    host.place(package, &marked(package, mark));
}
