//! Plugin code that ends the host: the log, a file and the next start name it.

use std::{fs, os::unix::process::ExitStatusExt as _, path::PathBuf};

use dropin_tests::{Host, Lines, Setup, system::unused_port};

const TRAP: i32 = 5;
const ABORT: i32 = 6;
const SEGV: i32 = 11;

fn start() -> Host {
    Setup::new().plugins(&["crashes"]).start()
}

fn report(host: &Host) -> PathBuf {
    host.own_dir().join("crash")
}

/// Checks that one of these signals ended the host, and that log and file have this message.
#[track_caller]
fn ends_by_signal(mut host: Host, signals: &[i32], message: &str) {
    host.exit();
    let signal = host.status().and_then(|status| status.signal());
    assert!(signal.is_some_and(|signal| signals.contains(&signal)), "{:?}", host.status());
    is_reported(&host, message);
}

#[track_caller]
fn is_reported(host: &Host, message: &str) {
    let line = host.logged("fatal: ").unwrap_or_default();
    assert!(line.ends_with(&format!("Z ERROR host: {message}")), "{line}");
    let kept = fs::read_to_string(report(host)).unwrap();
    assert!(kept.ends_with(&format!("Z {message}\n")), "{kept}");
}

#[test]
fn fault_names_plugin_command_and_session() {
    let host = start();
    let mut client = Lines::connect(&host);
    assert_eq!(client.ask("ping"), "PONG");
    client.say("crash.fault");
    let message =
        "fatal: signal 11 (SIGSEGV) in plugin 'crashes', command 'crash.fault', session 1";
    ends_by_signal(host, &[SEGV], message);
}

#[test]
fn abort_names_plugin_command_and_session() {
    let host = start();
    Lines::connect(&host).say("crash.abort");
    let message = "fatal: signal 6 (SIGABRT) in plugin 'crashes', command 'crash.abort', session 1";
    ends_by_signal(host, &[ABORT], message);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn breakpoint_ends_the_host() {
    let host = start();
    Lines::connect(&host).say("crash.trap");
    let message = "fatal: signal 5 (SIGTRAP) in plugin 'crashes', command 'crash.trap', session 1";
    ends_by_signal(host, &[TRAP], message);
}

#[test]
fn stack_overflow_names_plugin_command_and_session() {
    let host = start();
    Lines::connect(&host).say("crash.overflow");
    let message =
        "fatal: signal 11 (SIGSEGV) in plugin 'crashes', command 'crash.overflow', session 1";
    // The standard library reports it as well, and aborts.
    ends_by_signal(host, &[SEGV, ABORT], message);
}

#[test]
fn exit_in_plugin_has_own_exit_status() {
    let status = if cfg!(target_env = "gnu") { ["0", "7"] } else { ["", ""] };
    for (called, shown) in ["0", "7"].into_iter().zip(status) {
        let mut host = start();
        Lines::connect(&host).say(&format!("crash.exit {called}"));
        assert_eq!(host.exit(), Some(70));
        let command = "plugin 'crashes', command 'crash.exit', session 1";
        is_reported(&host, &format!("fatal: exit({shown}) called in {command}"));
    }
}

#[test]
fn crash_outside_of_a_session_is_reported() {
    let host = start();
    let mut client = Lines::connect(&host);
    assert_eq!(client.ask("crash.save"), "OK");
    client.say("plugin reload crashes");
    ends_by_signal(host, &[SEGV], "fatal: signal 11 (SIGSEGV) in plugin 'crashes', in its 'save'");
    let host = start();
    Lines::connect(&host).say("crash.thread");
    ends_by_signal(host, &[SEGV], "fatal: signal 11 (SIGSEGV) in a thread of no session");
}

#[test]
fn crash_line_fits_a_log_in_json() {
    let mut host = Setup::new().plugins(&["crashes"]).flags(&["--log-format", "json"]).start();
    Lines::connect(&host).say("crash.fault");
    host.exit();
    let line = host.logged("fatal: ").unwrap_or_default();
    assert!(line.starts_with(r#"{"time":""#), "{line}");
    let end = r#"Z","level":"error","target":"host","message":"fatal: signal 11 (SIGSEGV) in plugin 'crashes', command 'crash.fault', session 1"}"#;
    assert!(line.ends_with(end), "{line}");
}

#[test]
fn next_start_logs_a_crash_once() {
    let state = tempfile::tempdir().unwrap();
    let port = unused_port();
    let start = || {
        let state = state.path().join("state");
        Setup::new().plugins(&["crashes"]).state_dir(&state).port(port).start()
    };
    let mut host = start();
    Lines::connect(&host).say("crash.exit 1");
    assert_eq!(host.exit(), Some(70));
    let mut host = start();
    let line = host.wait_for_log("the last run crashed: ");
    assert!(line.contains(" WARN  host: ") && line.contains("command 'crash.exit'"), "{line}");
    assert!(!report(&host).exists());
    // An orderly end is no crash.
    assert_eq!(host.ks(), Some(0));
    assert!(!report(&host).exists());
    let mut host = start();
    assert_eq!(host.ks(), Some(0));
    assert_eq!(host.logged("the last run crashed"), None);
}

#[test]
fn signal_from_another_process_names_its_sender() {
    let host = start();
    host.abort();
    let message = format!("fatal: signal 6 (SIGABRT) sent by process {}", std::process::id());
    ends_by_signal(host, &[ABORT], &message);
}
