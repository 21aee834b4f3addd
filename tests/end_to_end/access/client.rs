//! The command-line client on another machine: automatic TLS, a key, a pinned fingerprint.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use dropin_tests::{
    Host, LIMIT, Lines, Setup, built,
    cable::{Cable, HOST},
    keys::add_key,
    tool, wait_until,
};

/// Runs the client with this settings file, beside which it keeps fingerprints.
fn client(started_by: &[&str], settings: &Path, port: u16, arguments: &[&str]) -> Output {
    let program = built::program("client").into_os_string();
    let mut words = started_by.iter().map(Into::into).chain([program]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args(["--port", &port.to_string(), "--config"]);
    command.arg(settings.join("client.toml")).args(arguments);
    for name in ["PORT", "ADDRESS", "LAN_ADDRESS", "INTERNET_ADDRESS", "CONFIG", "KEY"] {
        command.env_remove(format!("DROPIN_{name}"));
    }
    tool::run(&mut command, b"")
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn settings(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("client.toml"), text).unwrap();
    folder
}

#[test]
#[cfg_attr(not(all(tool = "ip", right = "namespaces")), ignore = "needs ip and network namespaces")]
fn key_logs_in_and_host_is_pinned() {
    let cable = Cable::create();
    let host = Setup::new().plugins(&["text"]).started_by(&cable.host_end()).start();
    let key = add_key(&host, "alice", &[]);
    wait_until("the host knows the key", LIMIT, || {
        let mut near = Lines::from_connection(cable.connect_locally(host.v4()));
        near.ask(&format!("auth {key}")) == "OK"
    });
    let folder = settings(&format!("[internet]\nkey = \"{key}\"\n"));
    let far = |arguments: &[&str]| {
        let arguments = [&["--address", HOST], arguments].concat();
        client(&cable.client_end(), folder.path(), host.port(), &arguments)
    };
    let first = far(&["i", "echo", "hello"]);
    assert_eq!(said(&first.stdout), "hello\n", "{first:?}");
    assert!(said(&first.stderr).contains(&host.fingerprint()), "it is shown at first sight");
    let again = far(&["i", "echo", "hello"]);
    assert_eq!((said(&again.stdout), said(&again.stderr)), ("hello\n".into(), String::new()));
    let long = "x".repeat(100_000);
    assert_eq!(said(&far(&["i", "echo", &long]).stdout), format!("{long}\n"));
    let keyless = far(&["l", "echo", "hello"]);
    assert!(said(&keyless.stderr).contains("NOAUTH Authentication required"), "{keyless:?}");
    let plain = far(&["--plain", "i", "echo", "hello"]);
    assert!(said(&plain.stderr).contains("over TLS only"), "{plain:?}");
    assert_eq!(plain.status.code(), Some(2));
    let careless = far(&["--key", &key, "s", "echo", "hello"]);
    assert!(said(&careless.stderr).contains("over TLS only"), "{careless:?}");
    assert!(!host.log().contains(&key));
}

#[test]
fn changed_fingerprint_is_rejected_before_sending() {
    let host = Setup::new().plugins(&["text"]).start();
    let folder = settings("");
    let name = format!("127.0.0.1:{}", host.port());
    let other = "SHA256:00:11";
    let known = folder.path().join("known_hosts");
    fs::write(&known, format!("{name} {other}\n")).unwrap();
    let key = "0".repeat(64);
    let near = |arguments: &[&str]| client(&[], folder.path(), host.port(), arguments);
    let refused = near(&["--tls", "--key", &key, "s", "echo", "x"]);
    let message = said(&refused.stderr);
    assert_eq!((refused.status.code(), said(&refused.stdout)), (Some(2), String::new()));
    for part in ["IDENTIFICATION HAS CHANGED", other, &host.fingerprint(), "known_hosts"] {
        assert!(message.contains(part), "{message}");
    }
    assert!(host.logged("failed login").is_none(), "the key was not sent");
    let refused = near(&["--tls", "--fingerprint", other, "s", "echo", "x"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let refused = near(&["--fingerprint", other, "s", "echo", "x"]);
    assert_eq!(refused.status.code(), Some(2), "a proof that is asked for needs TLS: {refused:?}");
    let right = near(&["--tls", "--fingerprint", &host.fingerprint(), "s", "echo", "x"]);
    assert_eq!(said(&right.stdout), "x\n", "{right:?}");
    fs::remove_file(&known).unwrap();
    assert_eq!(said(&near(&["--tls", "s", "echo", "x"]).stdout), "x\n");
    assert!(fs::read_to_string(&known).unwrap().contains(&host.fingerprint()));
}

#[test]
#[cfg_attr(not(all(tool = "ip", right = "namespaces")), ignore = "needs ip and network namespaces")]
fn client_trusts_named_certificate_file() {
    let cable = Cable::create();
    let host = Setup::new().plugins(&["text"]).flags(&["--trust", "lan"]);
    let host = host.started_by(&cable.host_end()).start();
    let (folder, file) = (settings(""), host.state_dir().join("tls-cert.pem"));
    let arguments = ["--ca", &file.to_string_lossy(), "--address", HOST, "l", "echo", "x"];
    let output = client(&cable.client_end(), folder.path(), host.port(), &arguments);
    assert_eq!(said(&output.stdout), "x\n", "{output:?}");
    assert!(!folder.path().join("known_hosts").exists(), "nothing is left to be pinned");
}

#[test]
fn a_certificate_can_be_named_instead() {
    let (host, other) = (Setup::new().plugins(&["text"]).start(), Setup::new().start());
    let folder = settings("");
    let with = |authority: &Host| {
        let file = authority.state_dir().join("tls-cert.pem").to_string_lossy().into_owned();
        client(&[], folder.path(), host.port(), &["--tls", "--ca", &file, "s", "echo", "x"])
    };
    let right = with(&host);
    assert_eq!(said(&right.stdout), "x\n", "{right:?}");
    let wrong = with(&other);
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
    assert!(said(&wrong.stderr).contains("no TLS with"), "{wrong:?}");
}
