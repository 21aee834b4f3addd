//! Outages: a host that ends, orderly or not, and comes back.

use dropin_tests::{
    Host, Lines, NOTICE, Port, RESTART_NOTICE, Setup,
    terminal::{Finished, Terminal},
};

use super::{Person, client};

/// Starts a host at this port, also after an earlier one.
fn at(port: &Port, plugins: &[&str]) -> Host {
    Setup::new().port(port.number()).plugins(plugins).start()
}

#[test]
#[cfg_attr(not(tool = "setsid"), ignore = "needs setsid")]
fn notice_keeps_line_and_ends_client_orderly() {
    let mut host = Host::start(&["text"]);
    let mut person = Person::at(&host);
    person.types("upper half a li");
    assert_eq!(Lines::connect(&host).ask("ks"), "OK");
    let Finished { status, screen } = person.terminal.finish();
    assert_eq!(status, Some(0), "{screen}");
    assert!(screen.contains(&format!("notice: {NOTICE}\n")), "{screen}");
    let line = format!("{}upper half a li", person.prompt);
    let (notice, typed) = (screen.find("notice: "), screen.find(&line));
    assert!(notice < typed, "the line is kept below the notice:\n{screen}");
    assert_eq!(host.exit(), Some(0));
}

#[test]
#[cfg_attr(not(tool = "setsid"), ignore = "needs setsid")]
fn client_reconnects_and_keeps_line() {
    let port = Port::hold();
    let mut host = at(&port, &["text"]);
    let mut person = Person::at(&host);
    person.types("upper a word");
    // The client has the table of commands, whose hints it keeps while the host is away.
    person.terminal.sees_last(&format!("{}upper a word [TEXT..]", person.prompt));
    host.kill();
    person.terminal.sees("lost: ");
    let down = person.prompt.replace("dropin", "(down)");
    person.terminal.sees(&format!("{down}upper a word"));
    // The line is kept and not lost.
    person.terminal.press("\r");
    person.terminal.sees("the line is kept: Enter sends it once there is a connection");
    person.terminal.sees_last(&format!("{down}upper a word [TEXT..]"));
    let host = at(&port, &["text", "store"]);
    person.terminal.sees("again, as a new session");
    person.terminal.sees_last(&format!("{}upper a word [TEXT..]", person.prompt));
    assert!(!person.terminal.screen().contains("A WORD"), "{}", person.terminal.screen());
    person.terminal.press("\r");
    person.terminal.sees("\nA WORD\n");
    // The hint comes from the new host's registry.
    person.types("incr ");
    person.terminal.sees("incr KEY [BY]");
    person.terminal.press("\x15");
    drop(host);
    person.terminal.sees_last(&down);
    person.terminal.press("\x04");
    assert_eq!(person.terminal.finish().status, Some(2));
}

#[test]
#[cfg_attr(not(tool = "setsid"), ignore = "needs setsid")]
fn client_reconnects_after_orderly_restart() {
    let port = Port::hold();
    let mut host = at(&port, &["text"]);
    let mut person = Person::at(&host);
    person.types("upper a word");
    host.terminate();
    assert_eq!(host.exit(), Some(0));
    person.terminal.sees(&format!("notice: {RESTART_NOTICE}\n"));
    person.terminal.sees("; connecting again");
    let host = at(&port, &["text"]);
    person.terminal.sees("again, as a new session");
    person.terminal.sees_last(&format!("{}upper a word [TEXT..]", person.prompt));
    person.terminal.press("\r");
    person.terminal.sees("\nA WORD\n");
    // The final shutdown ends the client, also after a restart.
    assert_eq!(Lines::connect(&host).ask("ks"), "OK");
    assert_eq!(person.terminal.finish().status, Some(0));
}

#[test]
#[cfg_attr(not(tool = "setsid"), ignore = "needs setsid")]
fn lost_command_is_named_and_never_repeated() {
    let port = Port::hold();
    let mut host = at(&port, &["busy"]);
    let mut person = Person::at(&host);
    person.terminal.press("\x1b[200~linger 600000\nlinger 1\x1b[201~\r");
    host.wait_for_log("lingering for ");
    host.kill();
    person.terminal.sees("'linger' has no reply and may or may not have been done");
    // The lines behind it wait for the user.
    let host = at(&port, &["busy"]);
    person.terminal.sees_last(&format!("{}linger 1", person.prompt));
    person.terminal.sees("again, as a new session");
    assert!(host.logged("lingering for ").is_none(), "{}", host.log());
    person.terminal.press("\r");
    person.terminal.sees("\nlingered\n");
    person.leaves();
}

#[test]
#[cfg_attr(not(tool = "setsid"), ignore = "needs setsid")]
fn client_without_login_is_rejected_once() {
    let host = Setup::new().flags(&["--trust", "none", "--login-timeout", "3"]).start();
    let home = tempfile::tempdir().unwrap();
    let command = client(&host, home.path(), &[]);
    let Finished { status, screen } = Terminal::start(&command).finish();
    assert_eq!(status, Some(2), "{screen}");
    assert!(screen.contains("no login within 3 s"), "{screen}");
    assert!(screen.contains("start the client again to reconnect"), "{screen}");
}

#[test]
#[cfg_attr(not(tool = "setsid"), ignore = "needs setsid")]
fn client_without_reconnect_stays_disconnected() {
    let mut host = Host::start(&[]);
    let home = tempfile::tempdir().unwrap();
    let command = client(&host, home.path(), &["--no-reconnect"]);
    let person = Person::with(&host, home, &command, "admin");
    host.kill();
    let Finished { status, screen } = person.terminal.finish();
    assert_eq!(status, Some(2), "{screen}");
    assert!(screen.contains("start the client again to reconnect"), "{screen}");
}
