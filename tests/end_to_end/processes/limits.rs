//! Plugins that take too much, under the limits of the settings file.

use dropin_tests::{Frame, Host, LIMIT, Lines, Resp, executable::Script, wait_until};

use super::*;

/// Returns a host with the library `crashes` and the executable `faulty`, each under this limit. What
/// they write to standard error is not logged.
#[track_caller]
fn limited(limit: &str) -> Host {
    let toml = format!("[plugin.crashes]\nisolate = true\n{limit}\n[plugin.faulty]\n{limit}\n");
    let setup = setup().plugins(&["crashes"]).executable("faulty", Script::fixture("faulty"));
    setup.settings(&toml).start()
}

/// Checks that a new session is answered by both plugins, now or after a restart.
#[track_caller]
fn serve_again(host: &Host) {
    wait_until_served(host, &["crash.echo", "again"], &"again".into());
    wait_until_served(host, &["faulty.echo", "again"], &"again".into());
}

#[test]
fn process_over_its_memory_limit_is_ended() {
    let host = limited("memory = \"192M\"");
    let others = others(&host);
    let mut client = Resp::connect(&host);
    let limit = format!("exceeded its memory limit of {} bytes", 192 << 20);
    let reply = client.ask(&["crash.memory", "512"]);
    // A library that gets no memory from the system may also abort by itself.
    let causes = [&limit, "signal 6"].map(|cause| crashed("crashes", cause, "crash.memory"));
    assert!(causes.contains(&reply), "{reply:?}");
    let reply = client.ask(&["faulty.memory", "512"]);
    // The interpreter may notice the limit itself, and go on.
    if !matches!(&reply, Frame::Error(text) if text.starts_with("ERR MemoryError")) {
        assert_eq!(reply, crashed("faulty", &limit, "faulty.memory"));
    }
    serve_again(&host);
    finish(others);
}

#[test]
fn call_that_ignores_its_time_limit_is_ended() {
    let host = limited("call-timeout = 1");
    let others = others(&host);
    let mut client = Resp::connect(&host);
    for (plugin, command) in [
        ("crashes", "crash.spin"),
        ("faulty", "faulty.spin"),
        // Half a line, and then nothing more.
        ("faulty", "faulty.half"),
    ] {
        let cause = "exceeded its call-timeout of 1 s";
        assert_eq!(client.ask(&[command]), crashed(plugin, cause, command));
        serve_again(&host);
    }
    finish(others);
}

#[test]
fn call_that_heeds_its_time_limit_is_cancelled() {
    let host = limited("call-timeout = 1");
    let before = (pid(&host, "crashes"), pid(&host, "faulty"));
    let mut client = Resp::connect(&host);
    for command in ["crash.heed", "faulty.heed"] {
        assert_eq!(client.ask(&[command]), Frame::error("CANCELLED heeded it"));
    }
    assert_eq!((pid(&host, "crashes"), pid(&host, "faulty")), before, "the processes go on");
    assert_eq!(client.ask(&["crash.echo", "again"]), "again".into());
}

#[test]
fn time_limit_names_other_calls_that_fail() {
    let host = limited("call-timeout = 1");
    let (mut one, mut other) = (Resp::connect(&host), Resp::connect(&host));
    one.say(&["crash.spin"]);
    host.wait_for_log(&format!("spinning for {}", one.local()));
    other.say(&["crash.sleep", "60000"]);
    let replies = [one.frame(), other.frame()];
    for reply in &replies {
        assert_error(reply, "CRASHED plugin 'crashes': exceeded its call-timeout of 1 s ");
    }
    serve_again(&host);
}

#[test]
fn process_without_descriptors_harms_nobody() {
    let host = limited("open-files = 100");
    let others = others(&host);
    let mut client = Resp::connect(&host);
    for (plugin, command) in [("crashes", "crash.files"), ("faulty", "faulty.files")] {
        let reply = client.ask(&[command, "10000"]);
        assert!(matches!(reply, Frame::Error(_)), "{reply:?}");
        // Whatever is left of it, each further session gets an answer.
        for _ in 0..3 {
            let _ = Resp::connect(&host).ask(&[&command.replace(".files", ".echo"), "x"]);
        }
        let restarted = client.ask(&["plugin", "restart", plugin]);
        assert!(!matches!(restarted, Frame::Error(_)), "{restarted:?}");
    }
    serve_again(&host);
    finish(others);
}

#[test]
fn descriptors_of_a_process_are_not_the_hosts() {
    let host = limited("");
    let (others, mut client) = (others(&host), Resp::connect(&host));
    let _ = client.ask(&["crash.files", "5000"]);
    let _ = client.ask(&["faulty.files", "5000"]);
    let sessions: Vec<_> = (0..20).map(|_| Lines::connect(&host)).collect();
    sessions.into_iter().for_each(|mut session| assert_eq!(session.ask("echo here"), "here"));
    finish(others);
}

#[test]
#[cfg(target_os = "linux")]
fn forked_processes_end_with_their_plugin() {
    use dropin_tests::system::{descendants, is_running};
    let host = limited("");
    let (others, mut client) = (others(&host), Resp::connect(&host));
    for (plugin, command) in [("crashes", "crash.forks"), ("faulty", "faulty.forks")] {
        // It is answered, or ended for the number of its processes.
        let reply = client.ask(&[command, "300"]);
        if reply != 0.into() && !reply.as_str().contains("temporarily unavailable") {
            assert_error(&reply, &format!("CRASHED plugin '{plugin}': exceeded "));
            assert!(reply.as_str().contains(" processes in "), "{reply:?}");
        }
        let started = descendants(host.pid());
        let disabled = Lines::connect(&host).ask(&format!("plugin disable {plugin}"));
        assert_eq!(disabled, format!("plugin '{plugin}' is disabled"));
        let of_other = if plugin == "crashes" { pids(&host, "faulty") } else { Vec::new() };
        wait_until("its processes have ended", LIMIT, || {
            let left: Vec<u32> = started.iter().copied().filter(|pid| is_running(*pid)).collect();
            left == of_other
        });
    }
    finish(others);
}

#[test]
fn standard_error_without_end_delays_nobody() {
    // So many megabytes are more than a log should have: it has errors only.
    let setup = setup().plugins(&["crashes"]).executable("faulty", Script::fixture("faulty"));
    let host = setup.flags(&["--isolate", "crashes"]).log_level("error").start();
    let (others, mut client) = (others(&host), Resp::connect(&host));
    // Short lines, and one line.
    for line in ["100", "26214400"] {
        for command in ["crash.stderr", "faulty.stderr"] {
            assert_eq!(client.ask(&[command, "25", line]), 0.into(), "{command} {line}");
        }
    }
    finish(others);
}

#[test]
fn processes_share_the_calls_of_a_plugin() {
    // A plugin with state cannot have several processes.
    let toml = "[plugin.busy]\nisolate = true\nprocesses = 2\n[plugin.faulty]\nprocesses = 2\n";
    let script = Script::fixture("faulty").set("FEATURES", Vec::<&str>::new());
    let host = setup().plugins(&["busy"]).executable("faulty", script).settings(toml).start();
    for (plugin, command, begun, reply) in [
        ("busy", "block", "busy: blocking", "blocked"),
        ("faulty", "faulty.sleep", "faulty: sleeping", "slept"),
    ] {
        let before = pids(&host, plugin);
        assert_eq!(before.len(), 2);
        let mut clients: Vec<_> = (0..4).map(|_| Resp::connect(&host)).collect();
        clients.iter_mut().for_each(|client| client.say(&[command, "8000"]));
        wait_until("all of them have begun", LIMIT, || host.log().matches(begun).count() == 4);
        // One of the two processes ends, the other one goes on.
        dropin_tests::system::kill(before[0]);
        let replies: Vec<_> = clients.iter_mut().map(|client| client.frame()).collect();
        let right = replies.iter().filter(|one| **one == reply.into()).count();
        let error = crashed(plugin, "signal 9", command);
        let failed = replies.iter().filter(|one| **one == error).count();
        assert_eq!((right, failed), (2, 2), "{replies:?}");
        wait_until("there are two again", LIMIT, || {
            let now = pids(&host, plugin);
            now.len() == 2 && !now.contains(&before[0]) && now.contains(&before[1])
        });
    }
}

#[test]
fn processes_that_would_share_state_are_refused() {
    let toml = "[plugin.store]\nisolate = true\nprocesses = 2\n";
    let host = setup().plugins(&["store"]).settings(toml).start();
    let line = host.wait_for_log(&format!(": refused {} (", built::library_name("store")));
    assert!(line.contains("processes"), "{line}");
    assert_eq!(Lines::connect(&host).ask("echo served"), "served");
}
