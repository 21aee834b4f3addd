//! Hints and completion, from the registry at that moment.

use std::fs;

use dropin_tests::{Host, LIMIT, Lines, Setup, files, keys::add_key, wait_until};

use super::{Person, client};

#[test]
#[cfg_attr(not(tool = "setsid"), ignore = "needs setsid")]
fn usage_hint_shows_remaining_arguments() {
    let host = Host::start(&["store", "text"]);
    let mut person = Person::at(&host);
    person.types("setnx ");
    person.terminal.sees("> setnx KEY VALUE  (");
    person.terminal.press("'a b' ");
    person.terminal.sees_last(&format!("{}setnx 'a b' VALUE", person.prompt));
    person.terminal.press("c d");
    person.terminal.sees("setnx 'a b' c d  (too many arguments)");
    person.terminal.press("\x7f\x7f\r");
    person.terminal.sees("\n1\n");
    // The line that ran stays as it was typed.
    person.terminal.sees(&format!("{}setnx 'a b' c\n1", person.prompt));
    person.runs("get 'a b'", "c");
    person.types("client setn");
    person.terminal.press("ame ");
    person.terminal.sees("client setname NAME  (Names this session.)");
    person.terminal.press("\x15");
    person.leaves();
}

#[test]
#[cfg_attr(not(tool = "setsid"), ignore = "needs setsid")]
fn half_typed_line_follows_plugin_changes() {
    let host = Host::start(&["store"]);
    let mut person = Person::at(&host);
    person.types("upper some words");
    person.terminal.sees("some words  (unknown command)");
    let cursor = person.terminal.cursor();
    host.install("text");
    person.terminal.sees_last(&format!("{}upper some words [TEXT..]", person.prompt));
    assert_eq!(person.terminal.cursor(), cursor);
    files::remove(host.library("text"));
    person.terminal.sees_last(&format!("{}upper some words  (unknown command)", person.prompt));
    host.install("text");
    person.terminal.sees_last(&format!("{}upper some words [TEXT..]", person.prompt));
    // Messages that arrived meanwhile are not mistaken for the reply.
    person.terminal.press("\r");
    person.terminal.sees(&format!("{}upper some words\nSOME WORDS\n", person.prompt));
    person.runs("get nothing", "(null)");
    person.leaves();
}

#[test]
#[cfg_attr(not(tool = "setsid"), ignore = "needs setsid")]
fn tab_completes_commands_subcommands_and_names() {
    let host = Host::start(&["server", "text"]);
    let mut person = Person::at(&host);
    person.types("reverse");
    person.terminal.sees("> reverse TEXT..");
    person.terminal.press("\x15rev\t");
    person.terminal.sees("> reverse TEXT..");
    person.terminal.press("abc\r");
    person.terminal.sees("\ncba\n");
    person.terminal.press("plugin rel\tte\t");
    person.terminal.sees_last(&format!("{}plugin reload text [force]", person.prompt));
    person.terminal.press("\x15se\t");
    person.terminal.sees_last(&format!(
        "{}select INDEX  (Chooses a database; there is only 0.)",
        person.prompt
    ));
    person.terminal.press("\x15");
    // Commands that arrived meanwhile are offered as well.
    host.install("store");
    person.terminal.press("incr ");
    person.terminal.sees("incr KEY [BY]");
    person.terminal.press("\x15");
    person.terminal.press("se\t");
    person.terminal.sees("\nselect  set     setex   setnx\n");
    person.terminal.press("\x15");
    person.leaves();
}

#[test]
#[cfg_attr(not(tool = "setsid"), ignore = "needs setsid")]
fn prompt_shows_role_after_login() {
    let host = Setup::new().plugins(&["store"]).flags(&["--trust", "none"]).start();
    let key = add_key(&host, "alice", &["--commands", "get"]);
    wait_until("the host knows the key", LIMIT, || {
        Lines::connect(&host).ask(&format!("auth alice {key}")) == "OK"
    });
    let home = tempfile::tempdir().unwrap();
    let command = client(&host, home.path(), &[]);
    // A stranger has no role, and no hints.
    let mut person = Person::with(&host, home, &command, "");
    person.types("get");
    person.terminal.press(" ");
    person.terminal.press(format!("\x15auth alice {key}\r"));
    person.prompt = format!("dropin 127.0.0.1:{} user> ", host.port());
    person.terminal.sees_last(&person.prompt.clone());
    person.types("get ");
    person.terminal.sees("user> get KEY");
    // Forbidden commands are not offered.
    person.terminal.press("\x15set ");
    person.terminal.sees("user> set   (unknown command)");
    person.terminal.press("\x15");
    let history = person.home.path().join(".local/state/dropin/client_history");
    person.runs("get x", "(null)");
    let kept = fs::read_to_string(history).unwrap();
    assert!(kept.contains("get x\n"), "{kept}");
    assert!(!kept.contains(&key) && !kept.contains("auth"), "{kept}");
    person.leaves();
}
