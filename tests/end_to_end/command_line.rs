//! Flags, environment and exit statuses.

use std::fs;

use dropin_tests::{Lines, Setup, built, setup::run_host, system::unused_port};

#[test]
fn help_explains_every_flag() {
    let ended = run_host(&["--help"]);
    assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""));
    for word in [
        "--port",
        "--plugins",
        "--bind",
        "--state-dir",
        "--grace",
        "--save-timeout",
        "--durability",
        "--snapshot-interval",
        "--journal-sync",
        "--probe-timeout",
        "--max-argument",
        "--max-arguments",
        "--max-request",
        "--keepalive",
        "--write-timeout",
        "--log-level",
        "--allow-insecure-plugins",
        "--plugin-key",
        "--isolate",
        "check",
        "state",
        "DROPIN_PORT",
        "DROPIN_PLUGINS",
        "default: 5000",
        "Exit status",
        "host --port 5000 --plugins ./plugins",
    ] {
        assert!(ended.stdout.contains(word), "{word}");
    }
}

#[test]
fn version_flag_prints_version() {
    let ended = run_host(&["--version"]);
    assert_eq!(ended.status, Some(0));
    assert_eq!(ended.stdout, format!("host {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_usage_has_own_exit_status() {
    for arguments in [
        &["--nonsense"][..],
        &["nonsense"],
        &["check"],
        &["state", "export"],
        &["state", "check", "../store"],
        &["--port"],
        &["--bind", "localhost"],
        &["--grace", "soon"],
        &["--grace=-1"],
        &["--log-level", "loud"],
        &["--isolate", "Store"],
        &["--durability", "on"],
        &["--snapshot-interval", "60s"],
        &["--journal-sync", "no"],
        &["--port", "5000", "check", "x"],
    ] {
        let ended = run_host(arguments);
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(ended.stderr.starts_with("error: "), "{ended:?}");
    }
}

#[test]
fn flags_override_environment() {
    let (one, other) = (unused_port(), unused_port());
    let host = Setup::new().default_port().variable("DROPIN_PORT", &one.to_string()).start();
    assert_eq!(host.port(), one);
    let host = Setup::new().port(other).variable("DROPIN_PORT", "80").start();
    assert_eq!(host.port(), other);
    let ended = Setup::new().default_port().variable("DROPIN_PORT", "80").run();
    assert_eq!(ended.status, Some(2));
    assert!(ended.stderr.contains("port 80 is one of the system's own"), "{ended:?}");
}

#[test]
fn the_log_level_is_a_flag() {
    let start = |level| Setup::new().plugins(&["facts"]).log_level(level).start();
    for (level, warned, informed) in [("error", false, false), ("warn", true, false)] {
        let mut host = start(level);
        let mut client = Lines::connect(&host);
        for said in ["error", "warn", "info"] {
            assert_eq!(client.ask(&format!("say {said} 'the word at {said}'")), "OK");
        }
        assert_eq!(host.ks(), Some(0));
        assert!(host.logged("the word at error").is_some());
        assert_eq!(host.logged("the word at warn").is_some(), warned);
        assert_eq!(host.logged("the word at info").is_some(), informed);
    }
}

#[test]
fn two_hosts_cannot_share_state_directory() {
    let (root, port) = (tempfile::tempdir().unwrap(), unused_port());
    let share = |port, ip| {
        Setup::new().port(port).flags(&["--bind", ip]).state_dir(&root.path().join("state"))
    };
    let first = share(port, "127.0.0.1").start();
    let ended = share(port, "::1").run();
    assert_eq!(ended.status, Some(1));
    let part = root.path().join("state").join(port.to_string());
    let said = format!("another host is using the state directory {}; end it", part.display());
    assert!(ended.stderr.contains(&said), "{ended:?}");
    // Under another port it has a part of its own.
    assert_eq!(share(unused_port(), "::1").start().ks(), Some(0));
    assert_eq!(Lines::connect(&first).ask("ping"), "PONG");
}

#[test]
fn killed_host_releases_its_state_directory() {
    let (root, port) = (tempfile::tempdir().unwrap(), unused_port());
    let start =
        || Setup::new().plugins(&["text"]).port(port).state_dir(&root.path().join("state")).start();
    let copies = root.path().join("state").join(port.to_string()).join("copies");
    let first = start();
    // Dropping kills it, so that nothing is cleaned up.
    drop(first);
    assert!(copies.exists());
    let left = copies.join(built::library_name("left"));
    fs::write(&left, "a copy").unwrap();
    let second = start();
    assert_eq!(Lines::connect(&second).ask("echo again"), "again");
    assert!(!left.exists(), "the next host clears away what was left");
}

#[test]
fn uncreatable_state_directory_is_a_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "in the way").unwrap();
    let ended = Setup::new().state_dir(&file).run();
    assert_eq!((ended.status, ended.stdout.as_str()), (Some(1), ""));
    assert!(ended.stderr.contains(&format!("cannot make {}", file.display())), "{ended:?}");
}
