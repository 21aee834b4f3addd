//! Libraries that are added, changed and removed while the host runs.

mod bad_bytes;
mod bad_files;
mod batches;
mod blocked_threads;
mod compatibility;
mod configuration;
mod flow;
pub(crate) mod folder;
mod handover;
mod handover_failures;
mod last_saves;
mod operator;
mod probes;
mod replacing;
pub(crate) mod restart;
mod slow_writers;
#[cfg(any(target_os = "linux", windows))]
mod threads;
mod unloading;
mod waiting;
mod watching;

use std::fs;

use dropin_tests::{
    Host, Setup, built, files,
    reload::{marked, place},
};

/// Returns a host with long time limits for plugins, so that a machine that stands still fails no
/// test.
fn setup() -> Setup {
    Setup::new().flags(&["--probe-timeout", "60", "--handover-timeout", "30"])
}

/// Returns such a host with a fixture of this mark, and the text plugin.
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

/// Writes another version of a fixture into the plugins folder.
fn replace(host: &Host, package: &str, mark: &str) {
    host.place(package, &marked(package, mark));
}

/// Replaces the plugins folder by a new one with this library alone.
fn replace_folder(host: &Host, package: &str, library: &[u8]) {
    let beside = |name: &str| {
        let paths = (1..).map(|number| host.state_dir().join(format!("{name}-{number}")));
        paths.into_iter().find(|path| !path.exists()).unwrap()
    };
    let new = beside("new");
    fs::create_dir(&new).unwrap();
    place(&new, &built::library_name(package), library);
    files::rename(host.plugins_folder(), beside("before"));
    files::rename(&new, host.plugins_folder());
}
