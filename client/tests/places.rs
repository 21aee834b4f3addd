//! Named places: add, list, use, remove.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod fake;
#[cfg(unix)]
mod pty;
mod run;

use std::{fs, path::PathBuf};

use fake::{client, server};
use run::{Run, assert_fails, assert_run, echo, run};

/// A user's own configuration directory.
struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("dropin/client.toml")
    }

    /// Runs the client with these arguments.
    fn client(&self, words: &[&str]) -> Run {
        let mut command = client(1);
        command
            .env_remove("DROPIN_PORT")
            .env("XDG_CONFIG_HOME", self.folder.path())
            .env("APPDATA", self.folder.path())
            .args(words);
        run(command, b"")
    }
}

#[test]
fn place_is_added_used_and_removed() {
    let home = Home::new();
    let server = server(echo);
    let port = server.to_string();
    let run = home.client(&["add", "home", "--lan", "127.0.0.1", "--port", &port, "--plain"]);
    assert_run(&run, 0, "", "client: `client home` talks to that host from now on\n");
    assert_run(&home.client(&["home", "echo", "-n", "x"]), 0, "-n|x\n", "");
    assert_run(&home.client(&["remove", "-q", "home"]), 0, "", "");
    assert_fails(
        &home.client(&["home", "echo"]),
        2,
        &["'home' is no connection type and no place"],
    );
    assert_eq!(fs::read_to_string(home.file()).unwrap(), "");
}

#[test]
fn options_override_a_place() {
    let home = Home::new();
    home.client(&["add", "home", "--lan", "192.0.2.1", "--port", "1"]);
    let server = server(echo);
    let port = server.to_string();
    let words =
        ["--port", &port, "home", "--address", "127.0.0.1", "--plain", "--json", "echo", "x"];
    assert_run(&home.client(&words), 0, "\"x\"\n", "");
}

#[test]
fn places_are_listed_in_every_form() {
    let home = Home::new();
    let none = home.client(&["places"]);
    assert_run(
        &none,
        0,
        "",
        "client: there are no places yet; `client add NAME --lan HOST` makes one\n",
    );
    assert_run(&home.client(&["places", "-q", "--json"]), 0, "[]\n", "");
    home.client(&["add", "work", "--internet", "host.example.org", "--key", "secret"]);
    home.client(&["add", "here", "--same", "--port", "6000"]);
    assert_run(
        &home.client(&["places"]),
        0,
        "name: here, type: same, address: (null), port: 6000, tls: false, key: (null)\n\
         name: work, type: internet, address: host.example.org, port: (null), tls: true, key: kept\n",
        "",
    );
    assert_run(
        &home.client(&["--csv", "places"]),
        0,
        "name,type,address,port,tls,key\nhere,same,,6000,false,\n\
         work,internet,host.example.org,,true,kept\n",
        "",
    );
    let run = home.client(&["places", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(listed[0]["port"], 6000);
    assert_eq!(listed[1]["address"], "host.example.org");
    assert!(!run.out.contains("secret"), "{run:?}");
}

#[test]
fn reserved_names_are_rejected() {
    let home = Home::new();
    for name in ["s", "lan", "add", "places", "completion", "man", "help", "S", "a/b"] {
        assert_fails(
            &home.client(&["add", name, "--same"]),
            2,
            &[&format!("'{name}' cannot name a place")],
        );
    }
    assert!(!home.file().exists());
}

#[test]
fn place_is_replaced_only_on_request() {
    let home = Home::new();
    home.client(&["add", "home", "--lan", "192.0.2.1"]);
    assert_fails(&home.client(&["add", "home", "--same"]), 2, &["--replace", "client places"]);
    assert_run(&home.client(&["add", "-q", "home", "--same", "--replace"]), 0, "", "");
    assert_eq!(fs::read_to_string(home.file()).unwrap(), "[places.home]\ntype = \"same\"\n");
}

#[test]
fn mistakes_are_reported_with_advice() {
    let home = Home::new();
    home.client(&["add", "home", "--same"]);
    for (words, part) in [
        (&["hoem", "x"][..], "did you mean 'home'? There are s (same machine)"),
        (&["remove", "hoem"], "did you mean 'home'? The list is in `client places`"),
        (&["add", "x"], "--internet <HOST>"),
        (&["add", "x", "--lan", "a:1"], "--port"),
        (&["add", "x", "--same", "--key-file", "/nonexistent"], "no such file"),
        (&["add", "x", "--same", "--latency"], "--latency has no meaning for `client add`"),
        (&["places", "home"], "unexpected argument 'home'"),
        (&["--config", "/nonexistent/c.toml", "home", "x"], "--config"),
    ] {
        assert_fails(&home.client(words), 2, &[part]);
    }
}

#[cfg(unix)]
#[test]
fn unwritable_settings_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    // No right keeps the system's administrator from writing; a file in the way of a folder does.
    let blocked = folder.path().join("file");
    fs::write(&blocked, "").unwrap();
    let path = blocked.join("client.toml");
    let path = path.to_str().unwrap();
    let run = Home::new().client(&["add", "x", "--same", "--config", path]);
    assert_fails(&run, 2, &["cannot write the settings", path, "--config"]);
}

#[cfg(unix)]
#[test]
fn place_can_answer_the_type_question() {
    let home = Home::new();
    let port = server(echo);
    home.client(&["add", "home", "--same", "--port", &port.to_string()]);
    let file = home.file();
    let mut terminal = pty::Terminal::start(1, &["--config", file.to_str().unwrap()]);
    terminal.expect("i (internet), or a place (home): ");
    terminal.type_text("hoem\n");
    terminal.expect("Please answer s, l, i or the name of a place.");
    terminal.type_text("home\n");
    terminal.expect(&format!("127.0.0.1:{port}> "));
    terminal.type_text("echo x\r");
    terminal.expect("\r\nx\r\n");
    // Between two prompts it would be the terminal's to read.
    terminal.expect("> ");
    terminal.type_text("\x04");
    terminal.ends_with(0);
}

#[test]
fn key_file_is_read_at_each_use() {
    let home = Home::new();
    let key_file = home.folder.path().join("key");
    fs::write(&key_file, "3f9a\n").unwrap();
    let server = server(|talk| {
        assert_eq!(talk.command().unwrap(), ["HELLO", "3", "AUTH", "default", "3f9a"]);
        talk.send(b"%0\r\n");
        echo_on(talk);
    });
    let port = server.to_string();
    let key = ["--key-file", key_file.to_str().unwrap()];
    home.client(&[&["add", "home", "--same", "--port", &port], &key[..]].concat());
    assert_run(&home.client(&["home", "echo", "x"]), 0, "x\n", "");
    fs::remove_file(&key_file).unwrap();
    let run = home.client(&["home", "echo", "x"]);
    assert_fails(&run, 2, &["cannot read the key", key_file.to_str().unwrap(), "--key-file"]);
}

fn echo_on(talk: &mut fake::Peer) {
    while let Some(command) = talk.command() {
        talk.send_text(&command[1..].join("|"));
    }
}
