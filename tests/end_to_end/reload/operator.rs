//! `plugin info`, `reload`, `rollback`, `disable` and `enable`: their effects and their errors.

use std::fs;

use dropin_tests::{Frame, LIMIT, Lines, Resp, built::library_name, files, wait_until};

use super::{host_with, replace, setup};

#[test]
fn info_tells_all_there_is_to_know() {
    let host = host_with("chameleon", "1");
    let mut client = Lines::connect(&host);
    (0..3).for_each(|_| assert_eq!(client.ask("colour"), "1"));
    assert_eq!(client.ask("colour.fail"), "error: no colour today");
    let info = host.info("chameleon");
    let expected = [
        ("name", "chameleon".into()),
        ("status", "serving".into()),
        ("version", env!("CARGO_PKG_VERSION").into()),
        ("file", Frame::text(library_name("chameleon"))),
        ("generation", 1.into()),
        ("commands", Frame::texts(&["colour", "colour.fail", "colour.hold", "colour.panic"])),
        ("state-bytes", Frame::Null),
        ("calls", 4.into()),
        ("errors", 1.into()),
        ("draining", 0.into()),
        ("lingering", 0.into()),
        ("can-roll-back", Frame::Boolean(false)),
        ("last-failure", Frame::Null),
    ];
    for (key, value) in expected {
        assert_eq!(info.get(key), Some(&value), "{key}");
    }
    let first = info.get("hash").unwrap().as_str().to_owned();
    assert!(first.len() == 64 && first.bytes().all(|c| c.is_ascii_hexdigit()), "{first}");
    replace(&host, "chameleon", "2");
    host.wait_for_answer("colour", "2");
    let info = host.info("chameleon");
    assert_ne!(info.get("hash").unwrap().as_str(), first);
    assert_eq!(info.get("can-roll-back"), Some(&Frame::Boolean(true)));
}

#[test]
fn info_counts_the_calls_of_all_generations() {
    let host = host_with("chameleon", "1");
    let mut client = Lines::connect(&host);
    (0..5).for_each(|_| assert_eq!(client.ask("colour"), "1"));
    assert_eq!(client.ask("colour.fail"), "error: no colour today");
    replace(&host, "chameleon", "2");
    host.wait_for_log("plugin chameleon: generation 2 swapped, ");
    // The calls of the generation that has just been replaced are counted at all times.
    wait_until("the old generation is gone", LIMIT, || {
        assert_eq!(host.figure("chameleon", "calls"), 6);
        assert_eq!(host.figure("chameleon", "errors"), 1);
        host.logged("plugin chameleon: generation 1 unloaded, ").is_some()
    });
    assert_eq!(client.ask("colour"), "2");
    assert_eq!(host.figure("chameleon", "calls"), 7);
}

#[test]
fn info_knows_what_was_served_last() {
    let host = host_with("chameleon", "1");
    let hash = host.info("chameleon").get("hash").unwrap().as_str().to_owned();
    files::remove(host.library("chameleon"));
    host.wait_until_unknown("colour");
    let info = host.info("chameleon");
    assert_eq!(info.get("status"), Some(&"withdrawn".into()));
    assert_eq!(info.get("hash"), Some(&hash.as_str().into()), "{info:?}");
}

#[test]
fn reload_loads_the_same_file_anew() {
    let host = host_with("keeper", "1");
    let mut client = Lines::connect(&host);
    assert_eq!(client.ask("keep pearls"), "OK");
    for generation in 2..5 {
        let said = format!("plugin 'keeper' serves generation {generation}");
        assert_eq!(client.ask("plugin reload keeper"), said);
        assert_eq!(client.ask("kept"), "pearls");
    }
    host.wait_for_log("plugin keeper: generation 3 unloaded, ");
}

#[test]
fn reload_says_why_it_cannot() {
    let host = host_with("chameleon", "1");
    let mut client = Lines::connect(&host);
    assert_eq!(client.ask("plugin reload nobody"), "error: there is no plugin 'nobody'");
    // A file outside the folder is unknown.
    let elsewhere = host.plugins_folder().parent().unwrap().join(library_name("elsewhere"));
    fs::copy(host.library("text"), &elsewhere).unwrap();
    for name in [elsewhere.to_str().unwrap(), &format!("../{}", library_name("elsewhere"))] {
        let said = client.ask(&format!("plugin reload '{name}'"));
        assert_eq!(said, format!("error: there is no plugin '{name}'"));
    }
    host.place("chameleon", b"no library at all");
    host.wait_for_log("refused");
    let said = client.ask("plugin reload chameleon");
    assert!(said.starts_with("error: the system's loader does not take it: "), "{said}");
    assert_eq!(client.ask("colour"), "1");
    // A file that was never loaded is known by its name.
    host.place("bad", b"no library at all");
    host.wait_for_log(&format!("refused {}", library_name("bad")));
    let said = client.ask(&format!("plugin reload {}", library_name("bad")));
    assert!(said.starts_with("error: the system's loader does not take it: "), "{said}");
    files::remove(host.library("chameleon"));
    host.wait_until_unknown("colour");
    let said = client.ask("plugin reload chameleon");
    assert_eq!(said, format!("error: {} is not there", host.library("chameleon").display()));
}

#[test]
fn repeated_rollback_alternates_and_keeps_state() {
    let host = host_with("keeper", "1");
    let mut client = Lines::connect(&host);
    let said = "error: plugin 'keeper' has no generation before this one";
    assert_eq!(client.ask("plugin rollback keeper"), said);
    assert_eq!(client.ask("keep pearls"), "OK");
    replace(&host, "keeper", "2");
    host.wait_for_answer("keeper.version", "2");
    for (generation, version) in [(3, "1"), (4, "2"), (5, "1"), (6, "2"), (7, "1")] {
        let said = format!("plugin 'keeper' serves generation {generation}, the code before");
        assert_eq!(client.ask("plugin rollback keeper"), said);
        assert_eq!(client.ask("keeper.version"), version);
        assert_eq!(client.ask("kept"), "pearls");
    }
    // It lasts only while the file is the same.
    host.process_changes("text", 1);
    assert_eq!(client.ask("keeper.version"), "1");
    replace(&host, "keeper", "3");
    host.wait_for_answer("keeper.version", "3");
    assert_eq!(client.ask("kept"), "pearls");
}

#[test]
fn rollback_skips_reloads_of_same_code() {
    let host = host_with("chameleon", "1");
    replace(&host, "chameleon", "2");
    host.wait_for_answer("colour", "2");
    let mut client = Lines::connect(&host);
    assert!(client.ask("plugin reload chameleon").starts_with("plugin 'chameleon' serves"));
    assert!(client.ask("plugin disable chameleon").ends_with("disabled"));
    assert!(client.ask("plugin enable chameleon").starts_with("plugin 'chameleon' serves"));
    assert_eq!(client.ask("colour"), "2");
    assert!(client.ask("plugin rollback chameleon").ends_with(", the code before"));
    assert_eq!(client.ask("colour"), "1");
}

#[test]
fn rollback_needs_no_file() {
    let host = host_with("chameleon", "1");
    replace(&host, "chameleon", "2");
    host.wait_for_answer("colour", "2");
    host.place("chameleon", b"no library at all");
    host.wait_for_log("refused");
    let mut client = Lines::connect(&host);
    assert!(client.ask("plugin rollback chameleon").ends_with(", the code before"));
    assert_eq!(client.ask("colour"), "1");
}

#[test]
fn failed_rollback_is_logged_and_changes_nothing() {
    let host = host_with("keeper", "1");
    let mut client = Lines::connect(&host);
    assert_eq!(client.ask("keep pearls"), "OK");
    replace(&host, "keeper", "2 save-fails");
    host.wait_for_answer("keeper.version", "2");
    let why = "its state could not be handed over: save has no ink";
    assert_eq!(client.ask("plugin rollback keeper"), format!("error: {why}"));
    assert_eq!(client.ask("keeper.version"), "2");
    assert_eq!(client.ask("kept"), "pearls");
    assert!(host.info("keeper").get("last-failure").unwrap().as_str().ends_with(why));
    host.wait_for_log(why);
}

#[test]
fn disable_removes_commands_and_enable_restores_them() {
    let host = host_with("keeper", "1");
    let mut client = Lines::connect(&host);
    assert_eq!(client.ask("keep pearls"), "OK");
    assert_eq!(client.ask("plugin disable keeper"), "plugin 'keeper' is disabled");
    assert!(client.ask("kept").starts_with("error: unknown command 'kept'"));
    assert_eq!(host.info("keeper").get("status"), Some(&"disabled".into()));
    let refused = "error: plugin 'keeper' is disabled; enable it";
    assert_eq!(client.ask("plugin reload keeper"), refused);
    assert_eq!(client.ask("plugin rollback keeper"), refused);
    assert_eq!(client.ask("plugin disable keeper"), "plugin 'keeper' is disabled");
    // A new file does not enable the plugin, but is loaded once it is enabled.
    replace(&host, "keeper", "2");
    host.wait_for_log("is not loaded, since the plugin is disabled");
    assert!(client.ask("kept").starts_with("error: unknown command 'kept'"));
    assert_eq!(client.ask("plugin enable keeper"), "plugin 'keeper' serves generation 2");
    assert_eq!(client.ask("keeper.version"), "2");
    assert_eq!(client.ask("kept"), "pearls");
    assert_eq!(client.ask("plugin enable keeper"), "plugin 'keeper' is serving already");
}

#[test]
fn enable_says_why_it_cannot() {
    let host = host_with("chameleon", "1");
    let mut client = Lines::connect(&host);
    for order in ["disable", "enable", "info", "rollback"] {
        let said = client.ask(&format!("plugin {order} nobody"));
        assert_eq!(said, "error: there is no plugin 'nobody'", "{order}");
    }
    // A file that was never loaded can be reloaded, but not enabled.
    host.place("bad", b"no library at all");
    host.wait_for_log("refused");
    let bad = library_name("bad");
    let said = client.ask(&format!("plugin enable {bad}"));
    assert_eq!(said, format!("error: there is no plugin '{bad}'"));
    assert_eq!(client.ask("plugin disable chameleon"), "plugin 'chameleon' is disabled");
    files::remove(host.library("chameleon"));
    let said = client.ask("plugin enable chameleon");
    assert_eq!(said, format!("error: {} is not there", host.library("chameleon").display()));
    replace(&host, "chameleon", "2");
    host.wait_for_answer("colour", "2");
}

#[test]
fn unknown_plugin_request_lists_the_known_ones() {
    let host = setup().plugins(&["text"]).start();
    let mut client = Resp::connect(&host);
    let known = "DISABLE, ENABLE, INFO, RELOAD, RESTART, ROLLBACK, SAVE, UNWATCH, WATCH";
    let said = format!("ERR unknown subcommand 'polish', 'plugin' has: {known}");
    assert_eq!(client.ask(&["plugin", "polish", "text"]), Frame::error(&said));
    for order in ["disable", "enable", "info", "reload", "rollback"] {
        let force = if matches!(order, "enable" | "info") { "" } else { " [force]" };
        let said = format!(
            "ERR wrong number of arguments for 'plugin|{order}' command, usage: plugin {order} \
             PLUGIN{force}"
        );
        assert_eq!(client.ask(&["plugin", order]), Frame::error(&said));
        assert_eq!(client.ask(&["plugin", order, "text", "soon"]), Frame::error(&said));
    }
    assert!(matches!(client.ask(&["plugin"]), Frame::Error(_)));
    assert_eq!(client.ask(&["echo", "fine"]), "fine".into());
}
