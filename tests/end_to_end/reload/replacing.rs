//! Every way to write or remove a library: its code is served, or its commands are removed.

use std::{
    fs,
    time::{Duration, Instant},
};

use dropin_tests::{
    Frame, LIMIT, Lines, Load,
    built::library_name,
    files,
    reload::{marked, place},
    wait_for, wait_until,
};

use super::{host_with, replace};

#[test]
fn library_renamed_over_another_is_served() {
    let host = host_with("chameleon", "1");
    let mut client = Lines::connect(&host);
    assert_eq!(client.ask("colour"), "1");
    replace(&host, "chameleon", "2");
    host.wait_for_answer("colour", "2");
    assert_eq!(client.ask("colour"), "2", "a session that was there before sees it too");
    assert_eq!(host.figure("chameleon", "generation"), 2);
    let line = host.wait_for_log("plugin chameleon: generation 2 swapped, ");
    let expected = format!("generation 2 swapped, {} (", library_name("chameleon"));
    assert!(line.contains(&expected) && line.contains(" ms): "), "{line}");
    assert!(line.contains("in place of generation 1"), "{line}");
}

#[test]
fn a_library_that_appears_is_served() {
    let host = host_with("chameleon", "1");
    replace(&host, "keeper", "new");
    host.wait_for_answer("keeper.version", "new");
    assert_eq!(Lines::connect(&host).ask("colour"), "1");
    let line = host.wait_for_log("plugin keeper: generation 1 loaded, ");
    assert!(line.contains(&library_name("keeper")), "{line}");
}

#[test]
fn library_copied_over_another_is_served() {
    let host = host_with("chameleon", "1");
    // Into the same file: the mapped copy must not be overwritten.
    for mark in ["2", "3", "4"] {
        files::write(host.library("chameleon"), marked("chameleon", mark));
        host.wait_for_answer("colour", mark);
    }
    assert!(!host.log().contains("refused"), "{}", host.log());
}

#[test]
fn library_removed_and_rewritten_is_served() {
    let host = host_with("chameleon", "1");
    files::remove(host.library("chameleon"));
    files::write(host.library("chameleon"), marked("chameleon", "2"));
    host.wait_for_answer("colour", "2");
}

#[test]
fn a_hard_link_is_served() {
    let host = host_with("chameleon", "1");
    let outside = host.state_dir().join("outside");
    fs::write(&outside, marked("chameleon", "2")).unwrap();
    files::remove(host.library("chameleon"));
    fs::hard_link(&outside, host.library("chameleon")).unwrap();
    host.wait_for_answer("colour", "2");
    files::write(&outside, marked("keeper", "linked"));
    fs::hard_link(&outside, host.library("keeper")).unwrap();
    host.wait_for_answer("keeper.version", "linked");
}

#[cfg(unix)]
#[test]
fn repointed_symbolic_link_is_followed() {
    use std::os::unix::fs::symlink;
    let host = host_with("chameleon", "1");
    let outside = |mark: &str| {
        let path = host.state_dir().join(format!("outside-{mark}"));
        fs::write(&path, marked("chameleon", mark)).unwrap();
        path
    };
    let library = host.library("chameleon");
    // By a rename, as `ln -sfT` does it.
    let beside = host.plugins_folder().join(".beside");
    symlink(outside("2"), &beside).unwrap();
    files::rename(&beside, &library);
    host.wait_for_answer("colour", "2");
    // By removing it first.
    files::remove(&library);
    symlink(outside("3"), &library).unwrap();
    host.wait_for_answer("colour", "3");
    // The link stays; its target is replaced.
    place(host.state_dir(), "outside-3", &marked("chameleon", "4"));
    host.wait_for_answer("colour", "4");
    // The link stays; its target is rewritten.
    fs::write(host.state_dir().join("outside-3"), marked("chameleon", "5")).unwrap();
    host.wait_for_answer("colour", "5");
    files::remove(&library);
    host.wait_until_unknown("colour");
}

#[test]
fn last_change_of_burst_wins() {
    let host = host_with("chameleon", "1");
    let versions: Vec<_> = (2..=21).map(|n| marked("chameleon", &n.to_string())).collect();
    versions.iter().for_each(|bytes| host.place("chameleon", bytes));
    host.wait_for_answer("colour", "21");
    host.process_changes("text", 1);
    assert_eq!(Lines::connect(&host).ask("colour"), "21");
    assert!(!host.log().contains("refused"), "{}", host.log());
}

#[test]
fn touched_identical_file_is_not_reloaded() {
    let host = host_with("chameleon", "1");
    let library = host.library("chameleon");
    let touched = || host.log().matches("was touched but is the same").count();
    // A rename, a rewrite in place, and a change of the modification time only.
    replace(&host, "chameleon", "1");
    host.process_changes("text", 1);
    files::write(&library, marked("chameleon", "1"));
    host.process_changes("text", 2);
    let open = || fs::File::options().append(true).open(&library).ok();
    let file = wait_for("it can be opened", LIMIT, open);
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    drop(file);
    host.process_changes("text", 3);
    assert!(touched() >= 3, "{}", host.log());
    assert_eq!(host.figure("chameleon", "generation"), 1);
    // The hash is remembered per content: another one is loaded, and the first one again.
    for mark in ["2", "1"] {
        replace(&host, "chameleon", mark);
        host.wait_for_answer("colour", mark);
    }
    assert_eq!(host.figure("chameleon", "generation"), 3);
}

#[cfg(unix)]
#[test]
fn rights_that_return_load_nothing_anew() {
    use std::os::unix::fs::PermissionsExt;
    let host = host_with("chameleon", "1");
    let library = host.library("chameleon");
    let set = |mode| fs::set_permissions(&library, PermissionsExt::from_mode(mode)).unwrap();
    set(0o775);
    host.wait_for_log("plugin chameleon: refused ");
    set(0o755);
    host.wait_for_log("was touched but is the same");
    host.process_changes("text", 1);
    assert_eq!(host.figure("chameleon", "generation"), 1);
}

#[test]
fn renamed_file_is_served_under_new_name() {
    let host = host_with("keeper", "1");
    assert_eq!(Lines::connect(&host).ask("keep pearls"), "OK");
    files::rename(host.library("keeper"), host.library("elsewhere"));
    let name = Frame::text(library_name("elsewhere"));
    wait_until("it is served from there", LIMIT, || {
        host.info("keeper").get("file") == Some(&name)
            && host.info("keeper").get("status") == Some(&"serving".into())
    });
    host.wait_for_answer("kept", "pearls");
    host.place("elsewhere", &marked("keeper", "2"));
    host.wait_for_answer("keeper.version", "2");
    assert_eq!(Lines::connect(&host).ask("kept"), "pearls");
}

#[test]
fn renaming_file_fails_no_request() {
    let host = host_with("chameleon", "1");
    let load = Load::new().client(&host, &["colour"], 1, |reply| *reply == "1".into()).client(
        &host,
        &["colour"],
        16,
        |reply| *reply == "1".into(),
    );
    for (from, to) in [("chameleon", "a"), ("a", "zz"), ("zz", "chameleon")] {
        load.flow();
        files::rename(host.library(from), host.library(to));
        let name = Frame::text(library_name(to));
        wait_until("it is served from there", LIMIT, || {
            host.info("chameleon").get("file") == Some(&name)
        });
        // Long enough for the old name to count as gone.
        let renamed = Instant::now();
        while renamed.elapsed() < Duration::from_millis(600) {
            load.flow();
        }
    }
    load.stop();
    assert!(!host.log().contains("refused"), "{}", host.log());
}

#[test]
fn removed_file_removes_commands_until_it_returns() {
    let host = host_with("chameleon", "1");
    let away = host.state_dir().join("away");
    // Removed, and moved out of the folder.
    for moved in [false, true] {
        let library = host.library("chameleon");
        if moved {
            files::rename(&library, &away);
        } else {
            files::remove(&library);
        }
        host.wait_until_unknown("colour");
        host.wait_until_unknown("colour.fail");
        assert_eq!(Lines::connect(&host).ask("echo 'still here'"), "still here");
        assert_eq!(host.info("chameleon").get("status"), Some(&"withdrawn".into()));
        if moved {
            files::rename(&away, &library);
        } else {
            replace(&host, "chameleon", "1");
        }
        host.wait_for_answer("colour", "1");
    }
    host.wait_for_log("plugin chameleon: generation 2 withdrawn, ");
}

#[test]
fn file_with_differently_named_plugin_replaces_first() {
    let host = host_with("chameleon", "1");
    host.place("chameleon", &marked("keeper", "other"));
    host.wait_for_answer("keeper.version", "other");
    host.wait_until_unknown("colour");
    replace(&host, "chameleon", "2");
    host.wait_for_answer("colour", "2");
    host.wait_until_unknown("keeper.version");
}

#[test]
fn clashing_file_is_served_once_other_is_gone() {
    let host = host_with("chameleon", "1");
    host.place("zz-second", &marked("chameleon", "2"));
    let line = host.wait_for_log(&format!("refused {}", library_name("zz-second")));
    assert!(line.contains("call themselves plugin 'chameleon'"), "{line}");
    assert_eq!(Lines::connect(&host).ask("colour"), "1");
    files::remove(host.library("chameleon"));
    host.wait_for_answer("colour", "2");
}
