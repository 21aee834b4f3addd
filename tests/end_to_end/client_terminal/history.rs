//! Earlier lines, on disk; and several lines at once.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use dropin_tests::{
    Host,
    terminal::{Finished, Terminal},
    tool,
};

use super::{Person, client};

#[test]
#[cfg_attr(not(tool = "setsid"), ignore = "needs setsid")]
fn history_has_earlier_lines_but_no_secrets() {
    let host = Host::start(&["text"]);
    let mut person = Person::at(&host);
    person.runs("echo first one", "first one");
    person.runs("echo second", "second");
    for secret in ["auth alice 3f9a", "AUTH 3f9a", "HELLO 3 AUTH alice 3f9a", "'auth' 3f9a"] {
        person.types(secret);
        person.terminal.press("\r");
        person.terminal.sees_last(&person.prompt.clone());
    }
    person.runs(" echo not kept", "not kept");
    let home = person.home;
    person.terminal.press("\x04");
    assert_eq!(person.terminal.finish().status, Some(0));
    let file = home.path().join(".local/state/dropin/client_history");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let folder = fs::metadata(file.parent().unwrap()).unwrap();
    assert_eq!(folder.permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::read_to_string(&file).unwrap(), "#V2\necho first one\necho second\n");

    // The client makes a file private that others can read.
    fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    let command = client(&host, home.path(), &[]);
    let mut person = Person::with(&host, home, &command, "admin");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    person.terminal.press("\x12first");
    person.terminal.sees("(reverse-i-search)`first': echo first one");
    person.terminal.press("\r");
    person.terminal.sees("\nfirst one\n");
    person.terminal.press("\x1b[A\x1b[A");
    person.terminal.sees_last(&format!("{}echo second [TEXT..]", person.prompt));
    person.terminal.press("\x15");
    person.leaves();
}

#[test]
#[cfg_attr(not(tool = "setsid"), ignore = "needs setsid")]
fn unwritable_history_warns_and_disabled_history_stays_empty() {
    let host = Host::start(&["text"]);
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("file"), "").unwrap();
    let mut command = client(&host, home.path(), &[]);
    command.env("DROPIN_HISTORY", home.path().join("file/below"));
    let mut person = Person::with(&host, home, &command, "admin");
    person.terminal.sees("client: no history is kept in ");
    person.runs("echo x", "x");
    let home = person.home;
    person.terminal.press("\x04");
    assert_eq!(person.terminal.finish().status, Some(0));
    command.env("DROPIN_HISTORY", "");
    let mut person = Person::with(&host, home, &command, "admin");
    person.runs("echo x", "x");
    assert!(!person.terminal.screen().contains("history"));
    assert!(!person.home.path().join(".local").exists());
    person.leaves();
}

#[test]
#[cfg_attr(not(all(tool = "mkfifo", tool = "setsid")), ignore = "needs mkfifo and setsid")]
fn non_file_history_is_left_untouched() {
    let host = Host::start(&["text"]);
    let home = tempfile::tempdir().unwrap();
    let pipe = home.path().join("pipe");
    let link = home.path().join("link");
    assert_eq!(tool::run(Command::new("mkfifo").arg(&pipe), b"").status.code(), Some(0));
    fs::set_permissions(&pipe, PermissionsExt::from_mode(0o644)).unwrap();
    std::os::unix::fs::symlink(&pipe, &link).unwrap();
    // Both ends are open, so that it can be opened like a device.
    let _ends = fs::File::options().read(true).write(true).open(&pipe).unwrap();
    for named in [&pipe, &link] {
        let mut command = client(&host, home.path(), &[]);
        command.env("DROPIN_HISTORY", named);
        let home = tempfile::tempdir_in(home.path()).unwrap();
        let mut person = Person::with(&host, home, &command, "admin");
        person.runs("echo x", "x");
        assert!(!person.terminal.screen().contains("history"), "{}", person.terminal.screen());
        person.leaves();
        assert_eq!(fs::metadata(&pipe).unwrap().permissions().mode() & 0o777, 0o644);
    }
}

#[test]
#[cfg_attr(not(tool = "setsid"), ignore = "needs setsid")]
fn pasted_lines_run_in_order() {
    let host = Host::start(&["text"]);
    let mut person = Person::at(&host);
    person.terminal.press("\x1b[200~upper one\nnonsense\nreverse two\n\x1b[201~");
    person.terminal.sees(&format!("{}upper one\nnonsense\nreverse two", person.prompt));
    // Nothing runs before Enter is pressed.
    assert!(!person.terminal.screen().contains("ONE"));
    person.terminal.press("\r");
    let all =
        "> upper one\nONE\n> nonsense\nerror: unknown command 'nonsense'\n> reverse two\nowt\n";
    person.terminal.sees(all);
    person.leaves();
}

#[test]
#[cfg_attr(not(tool = "setsid"), ignore = "needs setsid")]
fn typed_ahead_line_runs_in_turn() {
    let host = Host::start(&["clock", "text"]);
    let mut person = Person::at(&host);
    // In one piece, as a terminal without bracketed paste sends it.
    person.terminal.press("sleep 300\rupper one\rreverse two\r");
    person.terminal.sees("\nONE\n");
    person.terminal.sees("\nowt\n");
    person.leaves();
}

#[test]
#[cfg_attr(not(tool = "setsid"), ignore = "needs setsid")]
fn only_typed_dangerous_command_asks_for_confirmation() {
    let mut host = Host::start(&["text"]);
    let mut person = Person::at(&host);
    person.types("plugin disable text");
    person.terminal.press("\r");
    person.terminal.sees("from everybody; go on? y or n:");
    person.terminal.press("\r");
    person.terminal.sees("client: not sent");
    person.runs("upper still there", "STILL THERE");
    person.types("ks");
    person.terminal.press("\r");
    person.terminal.sees("for everybody who is connected; go on? y or n:");
    // Ctrl-C is no confirmation either.
    person.terminal.press("yes\x03");
    person.terminal.sees_that("a prompt", |screen| screen.matches("client: not sent").count() == 2);
    person.types("KS");
    person.terminal.press("\r");
    person.terminal.sees_that("a question", |screen| screen.matches("go on?").count() == 3);
    person.terminal.press("y\r");
    let Finished { status, screen } = person.terminal.finish();
    assert_eq!(status, Some(0), "{screen}");
    assert!(screen.contains("notice: the server is shutting down"), "{screen}");
    assert_eq!(host.exit(), Some(0));
    // A script needs no confirmation.
    let mut host = Host::start(&[]);
    let home = tempfile::tempdir().unwrap();
    let mut command = client(&host, home.path(), &[]);
    command.arg("ks");
    assert_eq!(Terminal::start(&command).finish().status, Some(0));
    assert_eq!(host.exit(), Some(0));
}
