//! The programs under the names that the Debian package gives them.
// Elsewhere there is no such package, and under Wine a program needs the libraries beside it.
#![cfg(unix)]

use std::{path::PathBuf, process::Command};

use dropin_tests::{Host, built, setup::hide_user_settings, tool};
use tempfile::TempDir;

/// Installs both programs as the package does, in a folder of their own.
fn installed() -> (TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let [host, client] =
        [("host", "dropin-host"), ("client", "dropin")].map(|(name, installed)| {
            let path =
                folder.path().join(installed).with_extension(std::env::consts::EXE_EXTENSION);
            built::install_program(name, &path);
            path
        });
    (folder, host, client)
}

/// Runs a program to its end and returns both outputs.
fn said(program: &PathBuf, folder: &TempDir, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder.path());
    hide_user_settings(&mut command, folder.path());
    let output = tool::run(&mut command, b"");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    text(output.stdout) + &text(output.stderr)
}

#[track_caller]
fn names_only_what_is_installed(text: &str) {
    let words = text.replace("dropin-host", "").replace("dropin", "");
    let is_wrong = |line: &&str| {
        let begins = ["host", "client"].iter().any(|name| {
            let rest = line.trim_start().strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(':') || rest.starts_with(" --"))
        });
        begins || ["`host ", "`client ", "<(client "].iter().any(|wrong| line.contains(wrong))
    };
    let left: Vec<_> = words.lines().filter(is_wrong).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn pages_name_the_installed_programs() {
    let (folder, host, client) = installed();
    for arguments in [
        &["--help"][..],
        &["key", "--help"],
        &["completion", "--help"],
        &["man"],
        &["man", "--help"],
        &["completion", "fish"],
        &["completion", "zsh"],
    ] {
        for (program, name) in [(&host, "dropin-host"), (&client, "dropin")] {
            let page = said(program, &folder, arguments);
            assert!(page.contains(name), "{page}");
            names_only_what_is_installed(&page);
        }
    }
    let page = said(&client, &folder, &["man"]);
    for part in [".TH dropin 1", "dropin \\- Sends", "dropin s echo hello", "\\fBdropin places\\fR"]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
}

#[test]
fn messages_name_the_installed_programs() {
    let (folder, host, client) = installed();
    let server = Host::start(&["text"]);
    let port = server.port().to_string();
    for (program, arguments, expected) in [
        (
            &client,
            &["s", "--tls", "--port", &port, "echo", "x"][..],
            "dropin: compare it with what `dropin-host fingerprint` says there",
        ),
        (&client, &["nowhere"], "dropin: 'nowhere' is no connection type"),
        (&client, &["remove", "x"], "see `dropin places`"),
        (&client, &["add", "x", "--same", "--fingerprint", "y"], "what `dropin-host fingerprint`"),
        (&client, &["add", "x", "--same"], "dropin: `dropin x` talks to that host from now on"),
        (&client, &["--help"], "Usage: dropin [OPTIONS] [TYPE]"),
        (
            &host,
            &["key", "revoke", "x"],
            "dropin-host: there is no key 'x'; `dropin-host key list`",
        ),
        (&host, &["check", "nothing"], "dropin-host: nothing would be refused"),
        (&host, &["--help"], "  dropin-host dev plugins/text"),
        (&host, &["--version"], "dropin-host "),
    ] {
        let message = said(program, &folder, arguments);
        assert!(message.contains(expected), "{arguments:?}: {message}");
        names_only_what_is_installed(&message);
    }
}
