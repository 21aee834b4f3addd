//! `host state export` and `import`: a state as lines of JSON.

use std::fs;

use dropin_tests::{Frame, Lines, Resp};

use super::{assert_keys, fill, folder_beside, state_command, store_with};
use crate::reload::restart::SuccessiveHosts;

#[test]
fn exported_state_is_imported_by_another_host() {
    let hosts = SuccessiveHosts::new();
    let mut host = store_with(&hosts, &[]).start();
    let mut client = Resp::connect(&host);
    let binary = b"\xff\x00\r\n\"";
    assert_eq!(client.ask(&[&b"set"[..], binary, binary]), Frame::ok());
    assert_eq!(client.ask(&["setex", "passing", "100000", "soon gone"]), Frame::ok());
    fill(&host, 0..20);
    Lines::connect(&host).ask("plugin save store");
    fill(&host, 20..30);
    for words in [&["multi"][..], &["set", "x", "1"], &["incr", "x"], &["exec"]] {
        client.ask(words);
    }
    let expires = client.ask(&["pexpiretime", "passing"]);
    // Beside the host that serves.
    let file = hosts.state_dir().join("store.jsonl");
    let name = file.to_str().unwrap();
    let exported = state_command(&hosts, &["export", "store", "--output", name]);
    assert_eq!(exported.status, Some(0), "{exported:?}");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.lines().all(|line| line.starts_with("{\"time\":")), "{text}");
    assert!(text.contains("\"command\":[\"set\",\"key-29\",\"value-29\"]}\n"), "{text}");
    assert!(text.contains("{\"base64\":\"/wANCiI=\"}"), "{text}");
    assert_eq!(state_command(&hosts, &["export", "store"]).stdout, text);
    let again = state_command(&hosts, &["export", "store", "--output", name]);
    assert_eq!(again.status, Some(1), "a file is not overwritten");
    host.kill();

    let others = SuccessiveHosts::new();
    let imported = state_command(&others, &["import", "store", name]);
    assert_eq!(imported.status, Some(0), "{imported:?}");
    let said = "; the plugin runs them at the next start of the host\n";
    assert!(imported.stdout.ends_with(said), "{imported:?}");
    let mut host = store_with(&others, &[]).start();
    let mut client = Resp::connect(&host);
    assert_eq!(client.ask(&[&b"get"[..], binary]), Frame::text(binary));
    assert_eq!(client.ask(&["get", "x"]), Frame::text("2"));
    assert_eq!(client.ask(&["pexpiretime", "passing"]), expires);
    assert_eq!(client.ask(&[&b"del"[..], b"x", b"passing", binary]), Frame::Integer(3));
    assert_keys(&host, 30);
    // It goes on with a journal of its own.
    fill(&host, 30..40);
    host.kill();
    assert_keys(&store_with(&others, &[]).start(), 40);
}

#[test]
fn import_replaces_state_only_when_asked() {
    let hosts = SuccessiveHosts::new();
    let mut host = store_with(&hosts, &[]).start();
    fill(&host, 0..5);
    Lines::connect(&host).ask("plugin save store");
    fill(&host, 5..9);
    host.kill();
    let file = hosts.state_dir().join("lines");
    fs::write(&file, "{\"time\":5,\"command\":[\"set\",\"key-0\",\"value-0\"]}\n\n").unwrap();
    let name = file.to_str().unwrap();
    let before = super::files_in(&hosts.file(""));
    let refused = state_command(&hosts, &["import", "store", name]);
    assert_eq!(refused.status, Some(1));
    assert!(refused.stderr.contains("add --replace"), "{refused:?}");
    let wrong = hosts.state_dir().join("wrong");
    fs::write(&wrong, "{\"time\":5,\"command\":[\"set\",\"a\",\"b\"]}\n{\"time\":5}\n").unwrap();
    let refused = state_command(&hosts, &["import", "store", wrong.to_str().unwrap(), "--replace"]);
    assert_eq!(refused.status, Some(1));
    assert!(refused.stderr.contains("line 2 cannot be imported"), "{refused:?}");
    assert_eq!(super::files_in(&hosts.file("")), before, "nothing was changed");
    let replaced = state_command(&hosts, &["import", "store", name, "--replace"]);
    assert_eq!(replaced.status, Some(0), "{replaced:?}");
    assert!(replaced.stdout.starts_with("plugin store: 1 command imported into "), "{replaced:?}");
    assert!(replaced.stdout.contains("; the plugin runs it at the next start"), "{replaced:?}");
    let aside = folder_beside(&hosts.file(""), "store.replaced.");
    assert_eq!(super::files_in(&aside), before);
    let mut host = store_with(&hosts, &[]).start();
    assert_keys(&host, 1);
    fill(&host, 1..3);
    host.kill();
    assert_keys(&store_with(&hosts, &[]).start(), 3);
}

#[test]
fn import_of_no_line_changes_nothing() {
    let hosts = SuccessiveHosts::new();
    let mut host = store_with(&hosts, &[]).start();
    fill(&host, 0..5);
    host.kill();
    let before = super::files_in(&hosts.file(""));
    let blank = hosts.state_dir().join("blank");
    for lines in ["", "\n  \n"] {
        fs::write(&blank, lines).unwrap();
        let task = ["import", "store", blank.to_str().unwrap(), "--replace"];
        let refused = state_command(&hosts, &task);
        assert_eq!((refused.status, refused.stdout.as_str()), (Some(1), ""));
        let said = "the input has no line; nothing was imported, and nothing was changed";
        assert!(refused.stderr.contains(said), "{refused:?}");
    }
    assert_eq!(super::files_in(&hosts.file("")), before);
    assert_keys(&store_with(&hosts, &[]).start(), 5);
}

#[test]
fn state_in_bytes_is_exported_and_imported() {
    let hosts = SuccessiveHosts::new();
    let mut host = hosts.keeper("1");
    assert_eq!(Lines::connect(&host).ask("keep pearls"), "OK");
    assert_eq!(host.ks(), Some(0));
    let exported = state_command(&hosts, &["export", "keeper"]);
    assert_eq!(exported.stdout, "{\"state\":{\"base64\":\"cGVhcmxz\"}}\n");
    let others = SuccessiveHosts::new();
    let file = hosts.state_dir().join("lines");
    // Commands behind it become a journal.
    let more = "{\"time\":5,\"command\":[\"keep\",\"shells\"]}\n";
    for (lines, kept) in [(exported.stdout.clone(), "pearls"), (exported.stdout + more, "shells")] {
        fs::write(&file, lines).unwrap();
        let task = ["import", "keeper", file.to_str().unwrap(), "--replace"];
        let imported = state_command(&others, &task);
        assert_eq!(imported.status, Some(0), "{imported:?}");
        let mut host = others.keeper("1");
        assert_eq!(Lines::connect(&host).ask("kept"), kept);
        assert_eq!(host.ks(), Some(0));
    }
}

#[test]
fn absent_state_is_reported() {
    let hosts = SuccessiveHosts::new();
    for task in [&["check", "store"][..], &["repair", "store", "--yes"], &["export", "store"]] {
        let ended = state_command(&hosts, task);
        assert_eq!(ended.status, Some(1));
        assert!(ended.stderr.contains("plugin store has no state in "), "{ended:?}");
    }
    assert_eq!(state_command(&hosts, &["check"]).status, Some(0));
    assert!(!hosts.state_dir().exists(), "nothing is made");
}
