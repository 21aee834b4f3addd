//! Files in the plugins folder that look like executables, and executables that may not run.

use std::{fs, os::unix::fs::symlink};

use dropin_tests::{
    Host, LIMIT, Lines, Setup,
    executable::{Script, set_mode},
    files, wait_until,
};
use minisign::KeyPair;

use super::*;

/// Returns a script with one command.
fn script(command: &str) -> String {
    format!("#!/bin/sh\n# dropin: {command} -- Replies its name.\necho {command}\n")
}

/// Checks that a command is unknown, and that the host has refused no file.
#[track_caller]
fn assert_ignored(host: &Host, commands: &[&str]) {
    let mut client = Lines::connect(host);
    for command in commands {
        let said = client.ask(command);
        assert!(said.starts_with("error: unknown command"), "{command}: {said}");
    }
    assert_eq!(client.ask("echo served"), "served");
    assert!(!host.log().contains(": refused "), "{}", host.log());
}

#[test]
fn editors_droppings_are_ignored() {
    let names = [
        ".hidden",
        ".x.sh.swp",
        "a.swp",
        "a.swo",
        "a.swx",
        "a.tmp",
        "a.bak",
        "a.orig",
        "a.part",
        "a.sh~",
        "#a.sh#",
    ];
    let commands: Vec<String> = (0..names.len()).map(|number| format!("x{number}")).collect();
    let mut setup = setup().executable("real.sh", script("real"));
    for (name, command) in names.iter().zip(&commands) {
        setup = setup.executable(name, script(command));
    }
    let host = setup.start();
    host.wait_for_answer("real", "real");
    // Also those that come later.
    for (name, command) in names.iter().zip(&commands) {
        host.place_executable(name, script(&format!("{command}.later")));
    }
    host.place_executable("real.sh", script("later"));
    host.wait_for_answer("later", "later");
    let later: Vec<String> = commands.iter().map(|command| format!("{command}.later")).collect();
    let all: Vec<&str> = commands.iter().chain(&later).map(String::as_str).collect();
    assert_ignored(&host, &all);
}

#[test]
fn other_files_are_no_executables() {
    let setup = setup()
        // Without the execute bit.
        .file("data.sh", script("data").as_bytes())
        .executable("empty", "")
        .executable("folder/inside.sh", script("inside"));
    set_mode(&setup.plugins_folder().join("folder"), 0o755);
    symlink("/no/such/file", setup.plugins_folder().join("dangling.sh")).unwrap();
    symlink(".", setup.plugins_folder().join("loop.sh")).unwrap();
    let host = setup.start();
    assert_ignored(&host, &["data", "inside"]);
}

#[test]
fn file_that_the_system_cannot_execute_is_refused() {
    let setup = setup()
        .executable("text", "# dropin: text.echo -- Its first line is not for the system.\n")
        .executable("photo", b"\xff\xd8\xff\xe0");
    let host = setup.start();
    for name in ["text", "photo"] {
        let line = host.wait_for_log(&format!(": refused {name} ("));
        assert!(line.contains("`#!`") && line.contains("chmod -x"), "{line}");
    }
    let mut client = Lines::connect(&host);
    assert!(client.ask("text.echo").starts_with("error: unknown command"));
    assert_eq!(client.ask("echo served"), "served");
}

#[test]
fn link_to_an_executable_is_served() {
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().join("target.sh");
    fs::write(&target, script("linked")).unwrap();
    set_mode(&target, 0o755);
    let setup = setup();
    symlink(&target, setup.plugins_folder().join("link.sh")).unwrap();
    let host = setup.start();
    host.wait_for_answer("linked", "linked");
}

#[test]
fn file_that_becomes_executable_is_served() {
    let host = setup().file("late.sh", script("late").as_bytes()).start();
    assert_ignored(&host, &["late"]);
    set_mode(&host.executable("late.sh"), 0o755);
    host.wait_for_answer("late", "late");
}

#[test]
fn executable_that_others_can_change_is_refused() {
    for mode in [0o775, 0o757, 0o777] {
        let setup = setup().executable("open.sh", script("open"));
        set_mode(&setup.plugins_folder().join("open.sh"), mode);
        let host = setup.start();
        let line = host.wait_for_log(": refused open.sh (");
        let run = format!("run: chmod go-w {}", host.executable("open.sh").display());
        assert!(line.contains(&run), "{line}");
        assert_eq!(Lines::connect(&host).ask("echo served"), "served");
        set_mode(&host.executable("open.sh"), 0o755);
        host.wait_for_answer("open", "open");
    }
}

#[test]
fn executables_are_signed_as_libraries_are() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("minisign.pub");
    let pair = KeyPair::generate_unencrypted_keypair().unwrap();
    fs::write(&key, pair.pk.to_box().unwrap().to_bytes()).unwrap();
    let sign =
        |content: &[u8]| minisign::sign(None, &pair.sk, content, None, None).unwrap().to_bytes();
    let worker = Script::fixture("sound");
    let setup = Setup::new().flags(&["--probe-timeout", "60"]);
    let host = setup
        .flags(&["--plugin-key", key.to_str().unwrap()])
        .file("signed.sh.minisig", &sign(script("signed").as_bytes()))
        .executable("signed.sh", script("signed"))
        .file("sound.py.minisig", &sign(worker.as_ref()))
        .executable("sound.py", &worker)
        .file("other.sh.minisig", &sign(script("signed").as_bytes()))
        .executable("other.sh", script("other"))
        .executable("unsigned.sh", script("unsigned"))
        .start();
    host.wait_for_answer("signed", "signed");
    host.wait_for_answer("sound.version", "1");
    for (name, why) in [
        ("other.sh", "its signature does not match its content"),
        ("unsigned.sh", "it has no signature: "),
    ] {
        let line = host.wait_for_log(&format!(": refused {name} ("));
        assert!(line.contains(why), "{line}");
    }
    // A module that has no signature is not found by a signed worker.
    let path = Lines::connect(&host).ask("sound.environment PYTHONPATH");
    assert!(!path.contains(host.plugins_folder().to_str().unwrap()), "{path}");
    let mut client = Lines::connect(&host);
    host.place_executable("signed.sh", script("changed"));
    wait_until("the changed file is refused", LIMIT, || {
        host.logged(": refused signed.sh (").is_some()
    });
    assert_eq!(client.ask("signed"), "signed");
}

#[cfg(target_os = "linux")]
#[test]
#[cfg_attr(not(tool = "cc"), ignore = "needs cc")]
fn native_program_is_served() {
    let program = files::compile_program(
        r#"
#include <stdio.h>
#include <string.h>
int main(void) {
    static char line[1 << 16];
    while (fgets(line, sizeof line, stdin)) {
        long id = 0;
        if (strstr(line, "\"dropin\""))
            puts("{\"dropin\":1,\"name\":\"native\",\"commands\":[{\"name\":\"native\"}]}");
        else if (sscanf(line, "{\"id\":%ld", &id) == 1)
            printf("{\"id\":%ld,\"ok\":\"from C\"}\n", id);
        fflush(stdout);
    }
    return 0;
}
"#,
    );
    let host = setup().executable("native", &program).start();
    host.wait_for_answer("native", "from C");
    assert_eq!(host.info("native").get("version"), Some(&"0".into()));
}
