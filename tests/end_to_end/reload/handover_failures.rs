//! Failures of a state handover: the old version keeps serving with its state intact.

use dropin_tests::{Frame, Host, LIMIT, Lines, Load, Setup, files, wait_until};

use super::{replace, with_version};

/// Starts a keeper of this mark that keeps "pearls", with a limit of 3 s for its handover.
fn keeper(mark: &str) -> Host {
    let flags = ["--probe-timeout", "60", "--handover-timeout", "3", "--save-timeout", "3"];
    let setup = Setup::new().flags(&flags);
    let host = with_version(setup, "keeper", mark).start();
    assert_eq!(Lines::connect(&host).ask("keep pearls"), "OK");
    host
}

/// Checks that the keeper serves unchanged, and that both the log and `plugin info` give the
/// reason.
#[track_caller]
fn serves_on(host: &Host, why: &str) {
    let why = format!("its state could not be handed over: {why}");
    let line = host.wait_for_log(&why);
    assert!(line.contains(" ERROR ") && line.contains("plugin keeper: refused "), "{line}");
    wait_until("the failure is reported", LIMIT, || {
        let info = host.info("keeper");
        let failure = info.get("last-failure");
        matches!(failure, Some(Frame::Text(text)) if String::from_utf8_lossy(text).contains(&why))
    });
    let mut client = Lines::connect(host);
    assert_eq!(client.ask("keeper.version"), "1");
    assert_eq!(client.ask("kept"), "pearls");
    assert_eq!(client.ask("keep shells"), "OK");
    assert_eq!(client.ask("kept"), "shells");
    assert_eq!(host.info("keeper").get("status"), Some(&"serving".into()));
}

/// Checks that a new version without faults is loaded after all that.
#[track_caller]
fn recovers(host: &Host) {
    replace(host, "keeper", "3");
    host.wait_for_answer("keeper.version", "3");
    assert_eq!(Lines::connect(host).ask("kept"), "shells");
}

/// Replaces a good keeper, under load, by one whose `restore` fails.
#[track_caller]
fn assert_restore_failure(mark: &str, why: &str) {
    let host = keeper("1");
    let load = Load::new()
        .client(&host, &["keeper.version"], 1, |reply| *reply == "1".into())
        .client(&host, &["echo", "hello"], 16, |reply| *reply == "hello".into());
    replace(&host, "keeper", mark);
    serves_on(&host, why);
    load.flow();
    load.stop();
    recovers(&host);
}

#[test]
fn a_restore_that_fails() {
    assert_restore_failure("2 restore-fails", "restore has no ink");
}

#[test]
fn a_restore_that_panics() {
    assert_restore_failure("2 restore-panics", "'restore' panicked: restore broke its pen");
}

#[test]
fn a_restore_that_hangs() {
    assert_restore_failure("2 restore-hangs", "its `restore` took longer than 3 s");
}

/// Replaces a keeper whose `save` fails.
#[track_caller]
fn assert_save_failure(mark: &str, why: &str) -> Host {
    let host = keeper(mark);
    let load = Load::new()
        .client(&host, &["keeper.version"], 1, |reply| *reply == "1".into())
        .client(&host, &["echo", "hello"], 16, |reply| *reply == "hello".into());
    replace(&host, "keeper", "2");
    serves_on(&host, why);
    load.flow();
    load.stop();
    host
}

#[test]
fn a_save_that_fails() {
    assert_save_failure("1 save-fails", "save has no ink");
}

#[test]
fn a_save_that_panics() {
    assert_save_failure("1 save-panics", "'save' panicked: save broke its pen");
}

#[test]
fn a_save_that_hangs() {
    let mut host = assert_save_failure("1 save-hangs", "its `save` took longer than 3 s");
    let said = Lines::connect(&host).ask("plugin reload keeper");
    assert!(said.ends_with("an earlier `save` of it has not returned yet"), "{said}");
    assert_eq!(host.ks(), Some(4), "the host ends all the same");
    let said = host.wait_for_log("plugin keeper: state not saved: ");
    assert!(said.contains(" ERROR "), "{said}");
}

#[test]
fn removed_plugin_serves_while_save_fails() {
    let host = keeper("1 save-fails");
    files::remove(host.library("keeper"));
    let line = host
        .wait_for_log("plugin keeper: still served, although its file is gone: save has no ink");
    assert!(line.contains(" ERROR "), "{line}");
    let mut client = Lines::connect(&host);
    assert_eq!(client.ask("kept"), "pearls");
    let info = host.info("keeper");
    assert!(info.get("last-failure").unwrap().as_str().ends_with("save has no ink"), "{info:?}");
    assert_eq!(client.ask("plugin disable keeper"), "error: save has no ink");
    assert_eq!(client.ask("kept"), "pearls");
}
