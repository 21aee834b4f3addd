//! A command that runs for a while: its progress and its cancellation.

use dropin_tests::{Host, LIMIT, Lines, Setup, keys::add_key, tool, wait_until};

use super::{Person, client};

#[test]
#[cfg_attr(not(tool = "setsid"), ignore = "needs setsid")]
fn progress_bar_disappears_with_the_reply() {
    let host = Host::start(&["clock"]);
    let mut person = Person::at(&host);
    person.types("sleep 600000");
    person.terminal.press("\r");
    person.terminal.sees("/600000 milliseconds slept");
    person.terminal.sees("[                              ]   0%  ");
    person.terminal.press("\x03");
    person.terminal.sees("client: asking the host to cancel; Ctrl-C again gives the command up\n");
    person.terminal.sees("\nerror: CANCELLED the sleep was cut short\n");
    person.terminal.sees_last(&person.prompt.clone());
    assert!(!person.terminal.screen().contains("slept"), "{}", person.terminal.screen());
    // The session is the same one.
    let mut observer = Lines::connect(&host);
    wait_until("there is no other session", LIMIT, || {
        let sessions = observer.ask_all("client list");
        sessions.iter().filter(|line| line.contains("name= age")).count() == 2
    });
    drop(observer);
    person.runs("ping still", "still");
    person.leaves();
}

#[test]
fn output_other_than_terminal_gets_no_bar() {
    let host = Host::start(&["busy"]);
    let home = tempfile::tempdir().unwrap();
    let mut command = client(&host, home.path(), &[]);
    command.args(["step", "5000", "steps"]);
    let output = tool::run(&mut command, b"");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "5000\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
#[cfg_attr(not(tool = "setsid"), ignore = "needs setsid")]
fn client_logged_in_at_prompt_can_cancel() {
    let host = Setup::new().plugins(&["busy"]).flags(&["--trust", "none"]).start();
    let key = add_key(&host, "alice", &[]);
    wait_until("the host knows the key", LIMIT, || {
        Lines::connect(&host).ask(&format!("auth alice {key}")) == "OK"
    });
    let home = tempfile::tempdir().unwrap();
    let command = client(&host, home.path(), &[]);
    let mut person = Person::with(&host, home, &command, "");
    person.terminal.press(format!("auth alice {key}\r"));
    person.terminal.sees(" user> ");
    person.terminal.press("linger 600000\r");
    host.wait_for_log("lingering for ");
    person.terminal.press("\x03");
    person.terminal.sees("\nerror: CANCELLED lingered no longer\n");
    person.leaves();
}

#[test]
#[cfg_attr(not(tool = "setsid"), ignore = "needs setsid")]
fn ctrl_c_drops_pasted_lines_behind_command() {
    let host = Host::start(&["busy", "text"]);
    let mut person = Person::at(&host);
    person.terminal.press("\x1b[200~linger 600000\nupper a\nupper b\x1b[201~\r");
    host.wait_for_log("lingering for ");
    person.terminal.press("\x03");
    person.terminal.sees("\nerror: CANCELLED lingered no longer\n");
    // They wait for the user.
    person.terminal.sees(&format!("{}upper a\nupper b", person.prompt));
    person.terminal.press("\r");
    person.terminal.sees("> upper a\nA\n> upper b\nB\n");
    // The same holds where one of them asks for confirmation.
    person.terminal.press("\x1b[200~plugin disable text\nupper c\x1b[201~\r");
    person.terminal.sees("go on? y or n:");
    person.terminal.press("\x03");
    person.terminal.sees(&format!("{}upper c", person.prompt));
    person.terminal.press("\r");
    person.terminal.sees("\nC\n");
    person.leaves();
}

#[test]
#[cfg_attr(not(tool = "setsid"), ignore = "needs setsid")]
fn uncancellable_command_is_abandoned_with_its_connection() {
    let host = Setup::new().plugins(&["busy"]).flags(&["--grace", "0.1"]).start();
    let mut person = Person::at(&host);
    person.types("block 600000");
    person.terminal.press("\r");
    host.wait_for_log("blocking for ");
    person.terminal.press("\x03");
    person.terminal.sees("Ctrl-C again gives the command up");
    person.terminal.press("\x03");
    person.terminal.sees("'block' has no reply and may or may not have been done");
    person.terminal.sees("again, as a new session");
    person.runs("ping hello", "hello");
    person.leaves();
}
