//! Configuration: a plugin's own table from `NAME.toml` beside its library. An error in it keeps
//! the old values, or the old version, in force.

use std::{fs, path::PathBuf};

use dropin_tests::{Frame, Host, LIMIT, Lines, Resp, Setup, files, reload::place, wait_until};

use super::{compatibility, replace, setup, with_version};

fn file(host: &Host) -> PathBuf {
    host.plugins_folder().join("setting.toml")
}

/// Writes the plugin's file: under a temporary name, then renamed.
fn put(host: &Host, text: &str) {
    place(&host.plugins_folder(), "setting.toml", text.as_bytes());
}

fn start_with(setup: Setup, toml: &str) -> Host {
    with_version(setup.file("setting.toml", toml.as_bytes()), "setting", "1").start()
}

/// Starts a host whose plugin has the word `one`.
fn host() -> Host {
    let host = start_with(setup(), "word = 'one'");
    assert_eq!(Lines::connect(&host).ask("setting"), "one");
    host
}

fn configuration(host: &Host) -> String {
    match host.info("setting").get("configuration") {
        Some(Frame::Text(text)) => String::from_utf8_lossy(text).into_owned(),
        other => panic!("{other:?}"),
    }
}

/// Checks that the last file was rejected for this reason, and that the word is still `one`.
#[track_caller]
fn assert_old_values(host: &Host, why: &str) {
    let line = host.wait_for_log(why);
    assert!(line.contains(" ERROR "), "{line}");
    assert!(line.contains("plugin setting: generation 1 refused, setting.toml ("), "{line}");
    assert!(line.ends_with("; the old values stay in force"), "{line}");
    assert_eq!(Lines::connect(host).ask("setting"), "one");
    wait_until("the failure is reported", LIMIT, || {
        let info = host.info("setting");
        let failure = info.get("last-failure");
        matches!(failure, Some(Frame::Text(text)) if String::from_utf8_lossy(text).contains(why))
    });
}

#[test]
fn plugin_is_configured_at_start_and_on_change() {
    let host = host();
    let line = host.logged("plugin setting: generation 1 loaded, ").unwrap();
    assert!(line.ends_with(", configured by setting.toml"), "{line}");
    let said = configuration(&host);
    assert!(said.starts_with("setting.toml applied ") && said.ends_with(" s ago"), "{said}");
    put(&host, "word = 'two'");
    host.wait_for_answer("setting", "two");
    let line = host.wait_for_log("plugin setting: generation 1 configured, setting.toml (");
    assert!(line.contains(" INFO "), "{line}");
    files::write(file(&host), "word = 'three'");
    host.wait_for_answer("setting", "three");
    files::remove(file(&host));
    host.wait_for_answer("setting", "none");
    host.wait_for_log("it has no configuration any more, the defaults are in force");
    let said = configuration(&host);
    assert!(said.starts_with("the defaults, there being no setting.toml, applied "), "{said}");
    put(&host, "word = 'four'");
    host.wait_for_answer("setting", "four");
    // An emptied file is not mistaken for one that is still being written.
    files::write(file(&host), "");
    host.wait_for_answer("setting", "none");
    assert_eq!(host.figure("setting", "generation"), 1, "it was not loaded again for that");
}

#[test]
fn without_events_configuration_changes_are_noticed() {
    let host = start_with(setup().flags(&["--watch", "poll"]), "word = 'one'");
    for (text, word) in [("word = 'two'", "two"), ("", "none"), ("word = 'three'", "three")] {
        put(&host, text);
        host.wait_for_answer("setting", word);
    }
    files::remove(file(&host));
    host.wait_for_answer("setting", "none");
}

/// No event reports the end of the writing: the file is not closed, as if it had been truncated by
/// its name.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_is_truncated_is_applied() {
    let host = host();
    let open = fs::File::options().write(true).open(file(&host)).unwrap();
    open.set_len(0).unwrap();
    host.wait_for_answer("setting", "none");
}

#[test]
fn bad_configuration_keeps_old_values() {
    let host = host();
    for (text, why) in [
        ("\nword = 5", "line 2, column 8: invalid type: integer `5`, expected a string, in `word`"),
        ("wort = 'two'", "line 1, column 1: unknown field `wort`"),
        ("word = ", "line 1, column 8: "),
        ("wrong = 'fails'", "the word is out of order"),
        ("wrong = 'panics'", "'configure' panicked: a word too many"),
    ] {
        put(&host, text);
        assert_old_values(&host, why);
        let said = configuration(&host);
        let start = said.starts_with("setting.toml refused ");
        assert!(start && said.contains(why), "{said}");
    }
    files::write(file(&host), b"word = '\xff'");
    assert_old_values(&host, "it is not UTF-8: byte 8 begins no character");
    files::write(file(&host), "#".repeat((1 << 20) + 1));
    assert_old_values(&host, "it is longer than 1048576 bytes");
    put(&host, "word = 'two'");
    host.wait_for_answer("setting", "two");
    assert_eq!(host.figure("setting", "generation"), 1);
}

#[cfg(windows)]
#[test]
fn locked_configuration_is_applied_when_released() {
    use std::{io::Write, os::windows::fs::OpenOptionsExt};

    use dropin_tests::wait_for;
    let host = host();
    let held = || fs::File::options().write(true).truncate(true).share_mode(0).open(file(&host));
    let mut held = wait_for("nobody reads the file", LIMIT, || held().ok());
    held.write_all(b"word = 'two'").unwrap();
    assert_old_values(&host, "cannot open it: ");
    drop(held);
    host.wait_for_answer("setting", "two");
}

#[cfg(unix)]
#[test]
fn configuration_writable_by_others_is_rejected() {
    use std::os::unix::fs::PermissionsExt;
    let host = host();
    let beside = host.plugins_folder().join("beside");
    fs::write(&beside, "word = 'two'").unwrap();
    fs::set_permissions(&beside, PermissionsExt::from_mode(0o664)).unwrap();
    files::rename(&beside, file(&host));
    let run = format!("run: chmod go-w {}", file(&host).display());
    assert_old_values(&host, &run);
    fs::set_permissions(file(&host), PermissionsExt::from_mode(0o644)).unwrap();
    host.wait_for_answer("setting", "two");
}

#[test]
fn a_configure_that_hangs_harms_nobody() {
    let setup = Setup::new().flags(&["--probe-timeout", "60", "--handover-timeout", "3"]);
    let mut host = start_with(setup, "word = 'one'");
    put(&host, "wrong = 'hangs'");
    let line = host.wait_for_log("its `configure` took longer than 3 s");
    assert!(line.ends_with("; the values in force are unknown"), "{line}");
    assert_eq!(Lines::connect(&host).ask("setting"), "one");
    put(&host, "word = 'two'");
    assert_old_values(&host, "an earlier `configure` of it has not returned yet");
    // A new version starts with the current file; the old one is never unloaded.
    replace(&host, "setting", "2");
    host.wait_for_answer("setting.version", "2");
    assert_eq!(Lines::connect(&host).ask("setting"), "two");
    assert_eq!(host.figure("setting", "draining"), 1);
    assert_eq!(host.ks(), Some(3), "the host ends all the same, and says that something did not");
}

#[test]
fn plugin_starts_once_its_configuration_is_corrected() {
    let host = start_with(setup(), "word = 5");
    let path = file(&host).display().to_string();
    let line = host.wait_for_log(&format!("its configuration {path} is refused: line 1, column 8"));
    assert!(line.contains(" ERROR "), "{line}");
    assert!(line.ends_with("; correct it, and it is tried again"), "{line}");
    let mut client = Lines::connect(&host);
    assert_eq!(client.ask("upper fine"), "FINE");
    assert!(client.ask("setting").starts_with("error: unknown command"));
    assert!(client.ask("plugin reload setting").starts_with("error: its configuration "));
    put(&host, "word = 'two'");
    host.wait_for_answer("setting", "two");
}

#[test]
fn version_rejecting_configuration_leaves_old_one_serving() {
    let host = with_version(setup(), "setting", "1").start();
    let mut client = Lines::connect(&host);
    assert_eq!(client.ask("setting"), "none", "without a file it has its defaults");
    replace(&host, "setting", "2 strict");
    let path = file(&host).display().to_string();
    let why = format!("it does not start without {path}: there is no `word`; write it, and");
    host.wait_for_log(&why);
    assert_eq!(client.ask("setting.version"), "1");
    let failure = host.info("setting").get("last-failure").unwrap().as_str().to_owned();
    assert!(failure.contains(&why), "{failure}");
    put(&host, "word = 'two'");
    host.wait_for_answer("setting.version", "2");
    assert_eq!(client.ask("setting"), "two");
    // From now on it needs a file, too.
    files::remove(file(&host));
    host.wait_for_log("there is no `word`; the old values stay in force");
    assert_eq!(client.ask("setting"), "two");
}

#[test]
fn plugin_is_created_then_configured_then_restored() {
    let host = host();
    let mut client = Lines::connect(&host);
    assert_eq!(client.ask("setting.steps"), "create configure");
    assert!(client.ask("plugin reload setting").starts_with("plugin 'setting' serves"));
    assert_eq!(client.ask("setting.steps"), "create configure restore");
    put(&host, "word = 'two'");
    host.wait_for_answer("setting", "two");
    assert_eq!(client.ask("setting.steps"), "create configure restore configure");
}

#[test]
fn a_reload_reads_the_file_again() {
    let host = host();
    let mut client = Lines::connect(&host);
    for word in ["two", "three"] {
        put(&host, &format!("word = '{word}'"));
        assert!(client.ask("plugin reload setting").starts_with("plugin 'setting' serves"));
        assert_eq!(client.ask("setting"), word);
    }
}

#[test]
fn unchanged_rewritten_configuration_is_not_applied_again() {
    let host = host();
    put(&host, "word = 'one'");
    host.wait_for_log("setting.toml was touched but is the same");
    put(&host, "word = 'two'");
    host.wait_for_log("generation 1 configured, ");
    assert_eq!(host.log().matches("generation 1 configured, ").count(), 1);
}

#[test]
fn subscribers_get_configuration_events() {
    let host = host();
    let mut watcher = Resp::connect3(&host);
    assert_eq!(watcher.ask(&["plugin", "watch"]), Frame::ok());
    put(&host, "word = 'two'");
    let event = |words: [&str; 5]| Frame::Push(words.map(Into::into).to_vec());
    let said = "its new configuration is in force";
    assert_eq!(watcher.frame(), event(["plugin", "configured", "setting", "1", said]));
    put(&host, "wrong = 'fails'");
    let said = "its configuration: the word is out of order; the old values stay in force";
    assert_eq!(watcher.frame(), event(["plugin", "refused", "setting", "1", said]));
}

#[test]
#[cfg_attr(not(tool = "cargo"), ignore = "needs cargo")]
fn configuration_for_plugin_without_settings_is_only_logged() {
    let older = compatibility::older();
    let library = dropin_tests::built::library_name("older");
    let setup = setup().plugins(&["text"]).file(&library, &older).file("text.toml", b"x = 1");
    let host = setup.file("older.toml", b"x = 1").start();
    for plugin in ["text", "older"] {
        let file = host.plugins_folder().join(format!("{plugin}.toml"));
        let said =
            format!("plugin {plugin}: {} has no effect, since the plugin takes no", file.display());
        let line = host.logged(&said).unwrap();
        assert!(line.contains(" WARN "), "{line}");
        assert_eq!(host.info(plugin).get("configuration"), Some(&Frame::Null));
    }
    place(&host.plugins_folder(), "nobody.toml", b"x = 1");
    host.wait_for_log("no plugin 'nobody' is served for now");
}
