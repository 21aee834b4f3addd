//! Named places, with the host: a key, a pinned fingerprint and a port behind one name.

use std::{fs, process::Output};

use dropin_tests::{Host, LIMIT, SHIPPED, Setup, keys::add_key, tool, wait_until};

use crate::client_program::client;

/// Runs the client of a user with this configuration directory.
fn run_as_user(home: &tempfile::TempDir, arguments: &[&str]) -> Output {
    let mut command = client(&[], arguments);
    tool::run(command.env("XDG_CONFIG_HOME", home.path()).env("APPDATA", home.path()), b"")
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn place_keeps_fingerprint_and_key() {
    let host = Setup::new().plugins(&["text"]).flags(&["--trust", "none"]).start();
    let home = tempfile::tempdir().unwrap();
    let key_file = home.path().join("home.key");
    fs::write(&key_file, add_key(&host, "alice", &[])).unwrap();
    let (port, fingerprint) = (host.port().to_string(), host.fingerprint());
    let key = ["--key-file", key_file.to_str().unwrap()];
    let flags = ["--lan", "127.0.0.1", "--port", &port, "--fingerprint", &fingerprint];
    let added = run_as_user(&home, &[&["add", "home"], &flags[..], &key].concat());
    assert_eq!(added.status.code(), Some(0), "{added:?}");
    wait_until("the host knows the key", LIMIT, || {
        said(&run_as_user(&home, &["home", "upper", "hello"]).stdout) == "HELLO\n"
    });
    let known = home.path().join("dropin/known_hosts");
    assert!(!known.exists(), "the fingerprint of the settings file is proof enough");
    let wrong = ["home", "--fingerprint", &fingerprint.replace("SHA256:", "SHA256:00"), "ping"];
    let refused = run_as_user(&home, &wrong);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(said(&refused.stderr).contains("IDENTIFICATION HAS CHANGED"), "{refused:?}");
    let listed = said(&run_as_user(&home, &["places", "--csv"]).stdout);
    assert!(listed.contains(&format!("home,lan,127.0.0.1,{port},true,")), "{listed}");
}

#[test]
fn many_places_are_many_hosts() {
    let home = tempfile::tempdir().unwrap();
    let hosts = [Host::start(&SHIPPED), Host::start(&SHIPPED)];
    for (name, host) in ["one", "two"].iter().zip(&hosts) {
        let port = host.port().to_string();
        let added = run_as_user(&home, &["add", name, "--same", "--port", &port]);
        assert_eq!(added.status.code(), Some(0), "{added:?}");
        assert_eq!(said(&run_as_user(&home, &[name, "set", "name", name]).stdout), "OK\n");
    }
    for name in ["one", "two"] {
        assert_eq!(said(&run_as_user(&home, &[name, "get", "name"]).stdout), format!("{name}\n"));
    }
    assert_eq!(run_as_user(&home, &["remove", "one"]).status.code(), Some(0));
    let gone = run_as_user(&home, &["one", "get", "name"]);
    assert_eq!(gone.status.code(), Some(2), "{gone:?}");
    assert!(said(&gone.stderr).contains("two"), "{gone:?}");
}
