//! Named places: made, listed, used and removed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod fake;
#[cfg(unix)]
mod pty;
mod run;

use std::{fs, path::PathBuf};

use fake::{client, server};
use run::{Run, echo, fails, is, run};

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

    /// Runs the client with these words alone.
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
fn a_place_is_made_used_and_removed() {
    let home = Home::new();
    let server = server(echo);
    let port = server.to_string();
    let run = home.client(&["add", "home", "--lan", "127.0.0.1", "--port", &port, "--plain"]);
    is(&run, 0, "", "client: `client home` talks to that host from now on\n");
    is(&home.client(&["home", "echo", "-n", "x"]), 0, "-n|x\n", "");
    is(&home.client(&["remove", "-q", "home"]), 0, "", "");
    fails(&home.client(&["home", "echo"]), 2, &["'home' is no connection type and no place"]);
    assert_eq!(fs::read_to_string(home.file()).unwrap(), "");
}

#[test]
fn options_change_a_place_for_once() {
    let home = Home::new();
    home.client(&["add", "home", "--lan", "192.0.2.1", "--port", "1"]);
    let server = server(echo);
    let port = server.to_string();
    let words =
        ["--port", &port, "home", "--address", "127.0.0.1", "--plain", "--json", "echo", "x"];
    is(&home.client(&words), 0, "\"x\"\n", "");
}

#[test]
fn places_are_listed_in_every_form() {
    let home = Home::new();
    let none = home.client(&["places"]);
    is(&none, 0, "", "client: there are no places yet; `client add NAME --lan HOST` makes one\n");
    is(&home.client(&["places", "-q", "--json"]), 0, "[]\n", "");
    home.client(&["add", "work", "--internet", "host.example.org", "--key", "secret"]);
    home.client(&["add", "here", "--same", "--port", "6000"]);
    is(
        &home.client(&["places"]),
        0,
        "name: here, type: same, address: (null), port: 6000, tls: false, key: (null)\n\
         name: work, type: internet, address: host.example.org, port: (null), tls: true, key: kept\n",
        "",
    );
    is(
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
fn names_that_mean_something_else_are_refused() {
    let home = Home::new();
    for name in ["s", "lan", "add", "places", "completion", "man", "help", "S", "a/b"] {
        fails(
            &home.client(&["add", name, "--same"]),
            2,
            &[&format!("'{name}' cannot name a place")],
        );
    }
    assert!(!home.file().exists());
}

#[test]
fn a_place_that_is_there_is_replaced_only_on_request() {
    let home = Home::new();
    home.client(&["add", "home", "--lan", "192.0.2.1"]);
    fails(&home.client(&["add", "home", "--same"]), 2, &["--replace", "client places"]);
    is(&home.client(&["add", "-q", "home", "--same", "--replace"]), 0, "", "");
    assert_eq!(fs::read_to_string(home.file()).unwrap(), "[places.home]\ntype = \"same\"\n");
}

#[test]
fn mistakes_are_told_with_the_way_out() {
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
        fails(&home.client(words), 2, &[part]);
    }
}

#[cfg(unix)]
#[test]
fn a_settings_file_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    // No right keeps the system's administrator from writing; a file in the way of a folder does.
    let blocked = folder.path().join("file");
    fs::write(&blocked, "").unwrap();
    let path = blocked.join("client.toml");
    let path = path.to_str().unwrap();
    let run = Home::new().client(&["add", "x", "--same", "--config", path]);
    fails(&run, 2, &["cannot write the settings", path, "--config"]);
}

#[cfg(unix)]
#[test]
fn a_place_can_be_the_answer_to_the_question() {
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
fn a_key_file_is_read_when_it_is_used() {
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
    is(&home.client(&["home", "echo", "x"]), 0, "x\n", "");
    fs::remove_file(&key_file).unwrap();
    let run = home.client(&["home", "echo", "x"]);
    fails(&run, 2, &["cannot read the key", key_file.to_str().unwrap(), "--key-file"]);
}

fn echo_on(talk: &mut fake::Talk) {
    while let Some(command) = talk.command() {
        talk.send_text(&command[1..].join("|"));
    }
}
