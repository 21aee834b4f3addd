//! Faults of a library in a worker process: the calls in flight fail, the clients of other plugins
//! notice nothing, and the plugin is served again.

use dropin_tests::{Frame, LIMIT, Lines, Resp, wait_until};

use super::*;

#[test]
fn fault_fails_only_the_call_in_flight() {
    let host = isolated(&["crashes"]);
    let others = others(&host);
    let mut client = Resp::connect3(&host);
    for (words, cause) in [
        (&["crash.fault"][..], "signal 11"),
        (&["crash.abort"], "signal 6"),
        (&["crash.exit", "0"], "exit status 0"),
        (&["crash.exit", "7"], "exit status 7"),
    ] {
        assert_eq!(client.ask(words), crashed("crashes", cause, words[0]));
        assert_eq!(client.ask(&["echo", "here"]), "here".into());
        wait_until_served(&host, &["crash.echo", "again"], &"again".into());
    }
    finish(others);
    assert!(!host.own_dir().join("crash").exists(), "the host itself has not crashed");
}

#[test]
fn fault_is_an_error_in_lines() {
    let host = isolated(&["crashes"]);
    let mut client = Lines::connect(&host);
    let error = "error: CRASHED plugin 'crashes': signal 11 in 'crash.fault'";
    assert_eq!(client.ask("crash.fault"), error);
    assert_eq!(client.ask("echo 'still here'"), "still here");
}

#[test]
fn stack_overflow_ends_only_the_process() {
    let host = isolated(&["crashes"]);
    let others = others(&host);
    let reply = Resp::connect(&host).ask(&["crash.overflow"]);
    // The standard library reports it as well, and aborts.
    let causes = ["signal 6", "signal 11"];
    let expected = causes.map(|cause| crashed("crashes", cause, "crash.overflow"));
    assert!(expected.contains(&reply), "{reply:?}");
    wait_until_served(&host, &["crash.echo", "again"], &"again".into());
    finish(others);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn breakpoint_ends_only_the_process() {
    let host = isolated(&["crashes"]);
    let reply = Resp::connect(&host).ask(&["crash.trap"]);
    assert_eq!(reply, crashed("crashes", "signal 5", "crash.trap"));
    wait_until_served(&host, &["crash.echo", "again"], &"again".into());
}

#[test]
fn fault_outside_of_a_call_is_reported() {
    let host = isolated(&["crashes"]);
    let mut watcher = watcher(&host);
    let others = others(&host);
    // The thread may be faster than the reply.
    let reply = Resp::connect(&host).ask(&["crash.thread"]);
    let is_crash = reply == crashed("crashes", "signal 11", "crash.thread");
    assert!(reply == Frame::ok() || is_crash, "{reply:?}");
    let detail = wait_for_event(&mut watcher, "crashes", "crashed");
    assert!(detail.contains("signal 11"), "{detail}");
    wait_for_event(&mut watcher, "crashes", "restarted");
    wait_until_served(&host, &["crash.echo", "again"], &"again".into());
    finish(others);
}

#[test]
fn fault_fails_every_call_in_flight() {
    let host = isolated(&["crashes"]);
    let mut sleepers = [Resp::connect(&host), Resp::connect(&host)];
    for sleeper in &mut sleepers {
        sleeper.say(&["crash.sleep", "60000"]);
        host.wait_for_log(&format!("sleeping for {}", sleeper.local()));
    }
    let own = Resp::connect(&host).ask(&["crash.fault"]);
    let replies = [own, sleepers[0].frame(), sleepers[1].frame()];
    for reply in &replies {
        assert_error(reply, "CRASHED plugin 'crashes': signal 11 while '");
        let text = reply.as_str();
        assert!(text.ends_with("' ran"), "{text}");
        let names = ["'crash.fault'", "'crash.sleep'"];
        assert!(names.iter().all(|name| text.matches(name).count() == 1), "{text}");
    }
    wait_until_served(&host, &["crash.echo", "again"], &"again".into());
}

#[test]
fn batch_with_a_fault_is_answered_in_order() {
    let host = isolated(&["crashes"]);
    let mut client = Resp::connect(&host);
    let requests: [&[&str]; 5] = [
        &["crash.echo", "before"],
        &["echo", "beside"],
        &["crash.fault"],
        &["crash.echo", "after"],
        &["echo", "last"],
    ];
    let replies = batch(&mut client, &requests);
    assert_eq!(replies[..2], ["before".into(), "beside".into()]);
    assert_error(&replies[2], "CRASHED plugin 'crashes': signal 11 ");
    if replies[3] != "after".into() {
        let kinds = ["CRASHED ", "UNAVAILABLE "];
        assert!(kinds.iter().any(|kind| replies[3].as_str().starts_with(kind)), "{replies:?}");
    }
    assert_eq!(replies[4], "last".into());
}

#[test]
fn killed_process_is_started_again() {
    let host = isolated(&["crashes"]);
    let others = others(&host);
    let mut sleeper = Resp::connect(&host);
    sleeper.say(&["crash.sleep", "60000"]);
    host.wait_for_log("sleeping for ");
    let before = pid(&host, "crashes");
    dropin_tests::system::kill(before);
    assert_eq!(sleeper.frame(), crashed("crashes", "signal 9", "crash.sleep"));
    wait_until_served(&host, &["crash.echo", "again"], &"again".into());
    assert_ne!(pid(&host, "crashes"), before);
    finish(others);
}

#[test]
fn fault_while_saving_leaves_the_plugin_served() {
    let host = isolated_with("crashes", "1");
    let others = others(&host);
    let mut client = Resp::connect(&host);
    assert_eq!(client.ask(&["crash.save"]), Frame::ok());
    // Its state is lost: the reload may fail, or take the state of the disk.
    let _ = client.ask(&["plugin", "reload", "crashes"]);
    wait_until_served(&host, &["crash.version"], &"1".into());
    replace(&host, "crashes", "2");
    wait_until("the new version serves", LIMIT, || client.ask(&["crash.version"]) == "2".into());
    finish(others);
}

#[test]
fn fault_in_its_save_ends_no_service() {
    for mark in ["1 save-faults", "1 save-exits"] {
        let host = isolated_with("crashes", mark);
        let (mut watcher, others) = (watcher(&host), others(&host));
        replace(&host, "crashes", "2");
        wait_for_event(&mut watcher, "crashes", "crashed");
        let mut client = Resp::connect(&host);
        wait_until("a version serves", LIMIT, || {
            let version = client.ask(&["crash.version"]);
            version == "1".into() || version == "2".into()
        });
        finish(others);
    }
}

#[test]
fn end_is_noticed_although_children_live() {
    let host = isolated(&["crashes"]);
    let mut client = Resp::connect(&host);
    // They have its standard output and its standard error open.
    assert_eq!(client.ask(&["crash.forks", "3"]), 0.into());
    let reply = client.ask(&["crash.exit", "7"]);
    assert_eq!(reply, crashed("crashes", "exit status 7", "crash.exit"));
    wait_until_served(&host, &["crash.echo", "again"], &"again".into());
}

#[test]
fn fault_at_its_start_keeps_old_version() {
    let host = isolated_with("crashes", "1");
    let (mut watcher, mut client) = (watcher(&host), Resp::connect(&host));
    assert_eq!(client.ask(&["crash.count"]), 1.into());
    let mut faults = vec!["create-faults", "create-exits", "restore-faults", "restore-exits"];
    if cfg!(target_os = "linux") {
        faults.extend(["constructor-faults", "constructor-exits"]);
    }
    let others = others(&host);
    for fault in faults {
        replace(&host, "crashes", &format!("2 {fault}"));
        wait_for_event(&mut watcher, "crashes", "refused");
        assert_eq!(client.ask(&["crash.version"]), "1".into(), "{fault}");
    }
    finish(others);
    assert_eq!(client.ask(&["crash.count"]), 2.into(), "it has kept its state");
    replace(&host, "crashes", "3");
    host.wait_for_answer("crash.version", "3");
    assert_eq!(client.ask(&["crash.count"]), 3.into());
}

#[test]
fn library_that_faults_at_once_is_refused() {
    for fault in ["create-faults", "create-exits"] {
        let mut host = isolated_with("crashes", &format!("1 {fault}"));
        host.wait_for_log(&format!(": refused {} (", built::library_name("crashes")));
        let mut client = Lines::connect(&host);
        assert_eq!(client.ask("echo served"), "served");
        assert!(client.ask("crash.version").starts_with("error: unknown command"));
        replace(&host, "crashes", "2");
        host.wait_for_answer("crash.version", "2");
        assert_eq!(host.ks(), Some(0));
    }
}
