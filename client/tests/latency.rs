//! The measurement of PING in every output format.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg_attr(
    not(target_os = "linux"),
    allow(unused_imports, reason = "some tests need what other systems do not have")
)]

mod fake;
#[cfg(unix)]
mod pty;
mod run;

use fake::{Peer, Server, client, server};
use run::{assert_fails, run_one};

fn pong(talk: &mut Peer) {
    talk.greet();
    while let Some(command) = talk.command() {
        assert_eq!(command, ["PING"]);
        talk.send(b"+PONG\r\n");
    }
}

/// Returns the number behind this word.
#[track_caller]
fn figure(line: &str, name: &str) -> f64 {
    let mut words = line.split_whitespace().skip_while(|word| *word != name);
    words.nth(1).unwrap_or_else(|| panic!("{name}: {line}")).parse().unwrap()
}

#[test]
fn summary_is_one_line_without_terminal() {
    let run = run_one(&server(pong), &["--latency", "-r", "20", "-i", "0"]);
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""), "{run:?}");
    let line = run.out.strip_suffix('\n').unwrap();
    assert!(line.starts_with("20 pings, ms:") && !line.contains(['\n', '\r', '\x1b']), "{line}");
    let names = ["min", "p50", "p99", "p99.9", "max"];
    let figures = names.map(|name| figure(line, name));
    assert!(figures[0] > 0.0 && figures.is_sorted(), "{line}");
    assert!((figures[0]..=figures[4]).contains(&figure(line, "avg")), "{line}");
}

#[test]
fn figures_have_json_and_csv_forms() {
    let run = run_one(&server(pong), &["--json", "--latency", "-r5"]);
    let figures: serde_json::Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(figures["pings"], 5, "{run:?}");
    for name in ["min_ms", "avg_ms", "max_ms", "p50_ms", "p99_ms", "p99.9_ms"] {
        assert!(figures[name].as_f64().unwrap() > 0.0, "{name}: {run:?}");
    }
    let run = run_one(&server(pong), &["--csv", "--latency", "-r5"]);
    let mut lines = run.out.lines();
    assert_eq!(lines.next(), Some("pings,min_ms,avg_ms,max_ms,p50_ms,p99_ms,p99.9_ms"));
    assert!(lines.next().unwrap().starts_with("5,"), "{run:?}");
}

#[test]
fn error_reply_to_ping_is_a_failure() {
    let port = server(|talk| {
        talk.greet();
        talk.command();
        talk.send(b"-NOAUTH Authentication required.\r\n");
        talk.command();
    });
    let run = run_one(&port, &["--latency"]);
    assert_eq!(run.out, "");
    assert_fails(&run, 1, &["NOAUTH Authentication required"]);
}

#[test]
fn lost_connection_still_shows_the_figures() {
    let port = server(|talk| {
        talk.greet();
        for _ in 0..3 {
            talk.command();
            talk.send(b"+PONG\r\n");
        }
        talk.command();
    });
    let run = run_one(&port, &["--latency"]);
    assert!(run.out.starts_with("3 pings, ms:"), "{run:?}");
    assert_fails(&run, 2, &["lost", "'PING' has no reply"]);
}

#[cfg(unix)]
mod interrupted {
    use std::{
        process::Stdio,
        sync::mpsc::{self, Receiver},
    };

    use pty::Terminal;
    use rustix::process::{Pid, Signal, kill_process};

    use super::*;

    /// Returns a server that answers each ping, and a channel with a message for each.
    fn counting() -> (Server, Receiver<()>) {
        let (sender, pings) = mpsc::channel();
        let port = server(move |talk| {
            talk.greet();
            while talk.command().is_some() {
                talk.send(b"+PONG\r\n");
                let _ = sender.send(());
            }
        });
        (port, pings)
    }

    #[test]
    fn ctrl_c_ends_with_the_summary() {
        let (port, pings) = counting();
        let mut command = client(&port);
        command.args(["s", "--latency"]).stdin(Stdio::null()).stdout(Stdio::piped());
        let child = command.spawn().unwrap();
        // The third is asked for only after the first has been counted.
        (0..3).for_each(|_| fake::receive(&pings).unwrap());
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        let output = child.wait_with_output().unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{out}");
        let count: u64 = out.split(' ').next().unwrap().parse().unwrap();
        assert!(count >= 2 && out.lines().count() == 1, "{out}");
    }

    #[test]
    fn terminal_shows_changing_figures() {
        let (port, pings) = counting();
        let mut terminal = Terminal::start(&port, &["s", "--latency", "-i", "0.001"]);
        terminal.expect("\r\x1b[?7l1 pings, ms:  min ");
        terminal.expect("\x1b[K\x1b[?7h");
        terminal.expect("\r\x1b[?7l");
        fake::receive(&pings).unwrap();
        kill_process(Pid::from_child(&terminal.child), Signal::INT).unwrap();
        terminal.expect("\r\x1b[K");
        terminal.expect(" pings, ms:  min ");
        terminal.expect("\r\n");
        terminal.ends_with(0);
    }

    #[test]
    fn raw_bytes_reach_a_terminal_on_request() {
        let red = |talk: &mut Peer| {
            talk.greet();
            talk.command();
            talk.send(b"$8\r\n\x1b[31mred\r\n");
            talk.command();
        };
        let port = server(red);
        let mut terminal = Terminal::start(&port, &["s", "--raw", "x"]);
        terminal.expect("\x1b[31mred\r\n");
        terminal.ends_with(0);
        for form in ["--json", "--csv"] {
            let port = server(red);
            let mut terminal = Terminal::start(&port, &["s", form, "x"]);
            terminal.expect(if form == "--json" { "\"\\u001b[31mred\"" } else { "\\x1b[31mred" });
            terminal.ends_with(0);
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn signals_ignored_at_the_start_stay_ignored() {
    use std::{process::Stdio, sync::mpsc};
    let (sender, asked) = mpsc::channel();
    let (reply, answered) = mpsc::channel::<()>();
    let port = server(move |talk| {
        talk.greet();
        assert_eq!(talk.command().unwrap(), ["PING"]);
        sender.send(()).unwrap();
        let _ = fake::receive(&answered);
        talk.send(b"+PONG\r\n");
    });
    let client = client(&port);
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "trap '' HUP TERM; exec \"$0\" s --latency -r 1"]);
    shell.arg(client.get_program());
    for (name, value) in client.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let mut child = shell.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    // By now the client listens to signals.
    fake::receive(&asked).unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    reply.send(()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    let ignored = u64::from_str_radix(ignored.trim(), 16).unwrap();
    // 1 is SIGHUP, 2 is SIGINT, 15 is SIGTERM.
    assert_eq!([1, 2, 15].map(|signal| ignored >> (signal - 1) & 1), [1, 0, 1], "{status}");
}
