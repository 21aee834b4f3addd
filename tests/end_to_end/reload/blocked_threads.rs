//! Threads that do not end, since the drop of a plugin's thread-local blocks: they delay only the
//! unloading of that plugin's code.
#![cfg(target_os = "linux")]

use std::fs;

use dropin_tests::{Host, Lines, reload::variant};

use super::{setup, with_version};

/// Starts a host whose keeper keeps "pearls", beside the plugin that blocks.
fn host(flags: &[&str]) -> Host {
    let host = with_version(setup().flags(flags), "keeper", "1").plugins(&["blocks"]).start();
    assert_eq!(Lines::connect(&host).ask("keep pearls"), "OK");
    host
}

/// Makes the plugin block some thread until there is a file of this name in the host's folder.
fn block(host: &Host, command: &str, name: &str) -> std::path::PathBuf {
    let release = host.state_dir().join(name);
    let asked = format!("{command} '{}'", release.display());
    assert_eq!(Lines::connect(host).ask(&asked), "OK");
    release
}

/// Checks that the host ends in time, without the blocked thread, and that the keeper's state is
/// saved.
fn ends_with_state(mut host: Host) {
    assert_eq!(host.ks(), Some(3), "a thread is left");
    let saved = fs::read(host.own_dir().join("state/keeper.state")).unwrap();
    assert!(saved.ends_with(b"pearls"), "{saved:?}");
}

#[test]
fn a_blocked_save_thread_holds_up_nothing() {
    let host = host(&["--grace", "2"]);
    let release = block(&host, "blocks.save", "release");
    host.place("blocks", &variant("blocks", 1));
    let line = host.wait_for_log("plugin blocks: the thread of its `save` has not ended");
    assert!(line.contains(" WARN "), "{line}");
    host.wait_for_log("plugin blocks: generation 2 swapped, ");
    assert_eq!(host.figure("keeper", "generation"), 1);
    assert_eq!(host.logged("plugin blocks: generation 1 unloaded"), None);
    assert_eq!(host.mapped("blocks").len(), 2);
    fs::write(release, "").unwrap();
    host.wait_for_log("plugin blocks: generation 1 unloaded, ");
    block(&host, "blocks.save", "never");
    host.place("blocks", &variant("blocks", 2));
    host.wait_for_log("plugin blocks: generation 3 swapped, ");
    ends_with_state(host);
}

#[test]
fn a_blocked_unload_thread_holds_up_nothing() {
    let host = host(&["--grace", "2"]);
    block(&host, "blocks.end", "never");
    host.place("blocks", &variant("blocks", 1));
    host.wait_for_log("plugin blocks: generation 1 drained, ");
    let line = host.wait_for_log("plugin blocks: the end of generation 1 has taken 2 s so far");
    assert!(line.contains(" WARN "), "{line}");
    assert_eq!(host.figure("keeper", "generation"), 1);
    ends_with_state(host);
}

#[test]
fn a_blocked_session_thread_holds_up_nothing() {
    let host = host(&["--grace", "1"]);
    block(&host, "blocks.here", "never");
    ends_with_state(host);
}
