//! The last save: an orderly shutdown keeps all state, or the exit status says that it did not.

use std::fs;

use dropin_tests::{Host, Lines, built::library_name, reload::variant, system};

use super::restart::SuccessiveHosts;
use crate::shutdown::request_again;

/// Keeps a text, and saves it by an orderly shutdown.
fn keep(host: &mut Host, text: &str) {
    assert_eq!(Lines::connect(host).ask(&format!("keep {text}")), "OK");
    assert_eq!(host.ks(), Some(0));
}

fn kept(host: &Host) -> String {
    Lines::connect(host).ask("kept")
}

#[test]
fn a_slow_save_outlasts_the_grace() {
    let succession = SuccessiveHosts::new();
    // Its `save` takes 2.6 s. Sessions need a part of the grace to end.
    let mut host = succession.keeper_with("1 save-slow", &["--grace", "2"]);
    keep(&mut host, "pearls");
    assert_eq!(succession.kept("keeper.state"), "pearls");
    let said = host.logged("still saving: plugin keeper: in `save`");
    assert!(said.is_some(), "{}", host.log());
    drop(host);
    assert_eq!(kept(&succession.keeper("1")), "pearls");
}

#[test]
fn too_slow_save_has_own_exit_status() {
    let succession = SuccessiveHosts::new();
    keep(&mut succession.keeper("1"), "pearls");
    let mut host = succession.keeper_with("1 save-hangs", &["--save-timeout", "0.3"]);
    assert_eq!(Lines::connect(&host).ask("keep shells"), "OK");
    assert_eq!(host.ks(), Some(4));
    let line = host.wait_for_log("plugin keeper: state not saved: its `save` ");
    assert!(line.contains(succession.file("keeper.state").to_str().unwrap()), "{line}");
    assert_eq!(succession.kept("keeper.state"), "pearls");
}

#[test]
fn an_unwritable_folder_has_its_own_status() {
    let succession = SuccessiveHosts::new();
    let mut host = succession.keeper("1");
    assert_eq!(Lines::connect(&host).ask("keep pearls"), "OK");
    let file = succession.file("keeper.state");
    let folder = file.parent().unwrap();
    fs::write(folder, "no folder").unwrap();
    assert_eq!(host.ks(), Some(4));
    let line = host.wait_for_log("plugin keeper: state not saved: cannot write ");
    assert!(line.contains(" ERROR ") && line.contains(file.to_str().unwrap()), "{line}");
    host.wait_for_log("ended without the state of every plugin saved");
}

#[test]
fn a_second_signal_ends_a_save_at_once() {
    let mut host = SuccessiveHosts::new().keeper("1 save-hangs");
    host.interrupt();
    host.wait_for_log("shutting down");
    request_again(&mut host);
    assert_eq!(host.exit(), Some(3));
}

#[test]
fn a_flipped_bit_refuses_that_plugin_alone() {
    let succession = SuccessiveHosts::new();
    for text in ["pearls", "shells"] {
        keep(&mut succession.keeper("1"), text);
    }
    let (file, before) = (succession.file("keeper.state"), succession.file("keeper.state.1"));
    let mut damaged = fs::read(&file).unwrap();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(&file, &damaged).unwrap();
    let mut host = succession.keeper("1");
    let line = host.wait_for_log(&format!("its saved state {} is damaged", file.display()));
    let what_to_do = format!("move {}, the state before it, there", before.display());
    assert!(line.contains(" ERROR ") && line.contains(&what_to_do), "{line}");
    assert_eq!(Lines::connect(&host).ask("echo fine"), "fine");
    assert_eq!(host.ks(), Some(0));
    assert_eq!(fs::read(&file).unwrap(), damaged, "nothing is overwritten");
    fs::rename(&before, &file).unwrap();
    assert_eq!(kept(&succession.keeper("1")), "pearls");
}

#[cfg(target_os = "linux")]
#[test]
fn full_disk_keeps_state_and_no_draft() {
    let succession = SuccessiveHosts::new();
    let start = |limit: &str| {
        // With XFSZ ignored, a write fails at the limit instead of ending the writer.
        let shell = format!("trap '' XFSZ; ulimit -f {limit}; exec \"$0\" \"$@\"");
        let library = library_name("store");
        let setup = succession.setup().flags(&["--durability", "off"]).log_level("info");
        let setup = setup.file(&library, &variant("store", 1));
        setup.started_by(&["sh", "-c", &shell]).start()
    };
    let mut host = start("unlimited");
    assert_eq!(Lines::connect(&host).ask("set key small"), "OK");
    assert_eq!(host.ks(), Some(0));
    let saved = fs::read(succession.file("store.state")).unwrap();
    // In units of 512 bytes: 32 MiB, more than any other file has.
    let mut host = start("65536");
    let mut client = Lines::connect(&host);
    let value = "x".repeat(1_000_000);
    for number in 0..35 {
        assert_eq!(client.ask(&format!("set key-{number} {value}")), "OK");
    }
    assert_eq!(host.ks(), Some(4));
    let line = host.wait_for_log("plugin store: state not saved: cannot write ");
    assert!(line.contains(succession.file("store.state").to_str().unwrap()), "{line}");
    assert_eq!(fs::read(succession.file("store.state")).unwrap(), saved);
    assert!(!succession.file("store.draft").exists());
}

#[test]
fn the_start_names_where_state_lies() {
    let succession = SuccessiveHosts::new();
    let mut host = succession.keeper("1");
    let own = fs::canonicalize(host.own_dir()).unwrap();
    host.wait_for_log(&format!("state is kept in {}", own.display()));
    assert!(host.logged("is new and has no saved state").is_none());
    keep(&mut host, "pearls");
    // The same state directory, but another port.
    let other = succession.setup().port(system::unused_port()).start();
    let line = other.wait_for_log("is new and has no saved state, while there is some in ");
    assert!(line.contains(" WARN ") && line.contains(own.to_str().unwrap()), "{line}");
}
