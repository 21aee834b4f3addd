//! Runs of the client without a terminal.
#![allow(dead_code, reason = "no test uses all of it")]

use std::{
    io::Write as _,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
};

use crate::fake::{Peer, Port, client, receive};

/// The result of a run.
#[derive(Debug, PartialEq, Eq)]
pub struct Run {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// Runs the client to its end with this input.
pub fn run(mut command: Command, input: &'static [u8]) -> Run {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let _ = stdin.write_all(input);
        drop(stdin);
        let _ = sender.send(child.wait_with_output());
    });
    let output = receive(&receiver).unwrap().unwrap();
    Run {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Answers every command with its arguments, and `fail` with an error.
pub fn echo(talk: &mut Peer) {
    talk.greet();
    while let Some(command) = talk.command() {
        match command[0].as_str() {
            "fail" => talk.send(b"-ERR it failed\r\n"),
            _ => talk.send_text(&command[1..].join("|")),
        }
    }
}

/// Runs `client s` with these arguments.
pub fn run_one(port: impl Port, arguments: &[&str]) -> Run {
    let mut command = client(port);
    command.arg("s").args(arguments);
    run(command, b"")
}

/// Runs the client with these commands on its stdin.
pub fn run_lines(port: impl Port, input: &'static [u8]) -> Run {
    let mut command = client(port);
    command.arg("s");
    run(command, input)
}

/// Checks exit code and exact output.
#[track_caller]
pub fn assert_run(run: &Run, code: i32, out: &str, err: &str) {
    assert_eq!((run.code, run.out.as_str(), run.err.as_str()), (Some(code), out, err));
}

/// Checks the exit code and parts of stderr.
#[track_caller]
pub fn assert_fails(run: &Run, code: i32, parts: &[&str]) {
    assert_eq!(run.code, Some(code), "{run:?}");
    for part in parts {
        assert!(run.err.contains(part), "{part}: {run:?}");
    }
}
