//! Destinations of replies: a pager, a pipe, the terminal with or without colours.

use dropin_tests::{Host, files};

use super::{Person, client};

#[test]
#[cfg_attr(not(tool = "setsid"), ignore = "needs setsid")]
fn a_reply_goes_through_a_pipe() {
    let host = Host::start(&["server", "text"]);
    let mut person = Person::at(&host);
    person.runs("help | grep -c 'reverse TEXT'", "1");
    person.runs("help ! grep '  upper ' | wc -l", "1");
    person.runs("! echo of the shell alone", "of the shell alone");
    // Quoted, it is an argument.
    person.runs("echo a '|' b", "a | b");
    // An error is shown and not sent into the pipe.
    person.runs("nonsense | tr a-z A-Z", "error: unknown command 'nonsense'");
    person.leaves();
}

#[test]
#[cfg_attr(not(all(tool = "less", tool = "setsid")), ignore = "needs less and setsid")]
fn only_long_reply_uses_pager() {
    // The start of the last line of the help.
    const LAST: &str = "  watch KEY..  ";
    let host = Host::start(&["server", "store", "system", "text"]);
    let mut person = Person::at(&host);
    person.types("help");
    person.terminal.press("\r");
    // The first page; the pager waits.
    person.terminal.sees("clients ");
    person.terminal.sees_that("less waiting", |screen| screen.trim_end().ends_with(':'));
    // Ctrl-C is for the pager: it stays.
    person.terminal.press("\x03");
    person.terminal.presses_until("G", &format!("\n{LAST}"));
    person.terminal.press("q");
    person.terminal.sees_last(&person.prompt.clone());
    person.runs("echo short", "short");
    let home = person.home;
    person.terminal.press("\x04");
    assert_eq!(person.terminal.finish().status, Some(0));

    let mut command = client(&host, home.path(), &[]);
    command.env("PAGER", "sed 's/^/paged: /'");
    let mut person = Person::with(&host, home, &command, "admin");
    person.types("help");
    person.terminal.press("\r");
    person.terminal.sees(&format!("\npaged: {LAST}"));
    person.runs("echo short", "short");
    let home = person.home;
    person.terminal.press("\x04");
    assert_eq!(person.terminal.finish().status, Some(0));

    // A pager that is missing, or disabled, loses no reply.
    for pager in ["no-such-pager", ""] {
        let home = tempfile::tempdir_in(home.path()).unwrap();
        let mut command = client(&host, home.path(), &[]);
        command.env("PAGER", pager);
        let mut person = Person::with(&host, home, &command, "admin");
        person.types("help");
        person.terminal.press("\r");
        person.terminal.sees(&format!("\n{LAST}"));
        person.terminal.sees_last(&person.prompt.clone());
        person.leaves();
    }
}

#[test]
#[cfg_attr(not(tool = "setsid"), ignore = "needs setsid")]
fn no_color_turns_colours_off() {
    let host = Host::start(&["text"]);
    let coloured = |written: &[u8]| {
        let text = String::from_utf8_lossy(written).into_owned();
        [32, 90, 31].map(|colour| text.contains(&format!("\x1b[{colour}m")))
    };
    let mut person = Person::at(&host);
    person.types("upper ");
    person.terminal.sees("upper TEXT..");
    person.terminal.press("\x15nonsense\r");
    person.terminal.sees("error: unknown command");
    // The prompt, the hint, the error.
    assert_eq!(coloured(person.terminal.written()), [true; 3]);
    person.terminal.sees_last(&person.prompt.clone());
    let home = person.home;
    person.terminal.press("\x04");
    assert_eq!(person.terminal.finish().status, Some(0));
    let mut command = client(&host, home.path(), &[]);
    command.env("NO_COLOR", "1");
    let mut person = Person::with(&host, home, &command, "admin");
    person.types("upper ");
    person.terminal.sees("upper TEXT..");
    // Hints stay up to date without colours too.
    files::remove(host.library("text"));
    person.terminal.sees("upper   (unknown command)");
    person.terminal.press("\x15nonsense\r");
    person.terminal.sees("error: unknown command");
    assert_eq!(coloured(person.terminal.written()), [false; 3]);
    person.leaves();
}
