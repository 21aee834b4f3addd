//! Ctrl-C while a command runs.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod fake;
mod pty;

use std::{
    sync::{
        Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

use fake::{multi_server, receive};
use pty::Terminal;
use rustix::process::{Pid, Signal, kill_process};

/// Returns a sender, and a function that waits for its message.
fn signal_channel() -> (Sender<()>, impl Fn() + Send + Sync) {
    let (sender, receiver) = channel::<()>();
    let receiver = Mutex::new(receiver);
    (sender, move || {
        let _ = receive(&receiver.lock().unwrap());
    })
}

/// Returns the next command of the server, and the index of its connection.
fn next_command(received: &Receiver<(usize, Option<Vec<String>>)>) -> (usize, String) {
    let (connection, command) = receive(received).unwrap();
    (connection, command.map_or("the end".to_owned(), |words| words.join(" ")))
}

fn interrupt(terminal: &Terminal) {
    kill_process(Pid::from_child(&terminal.child), Signal::INT).unwrap();
}

#[test]
fn lost_session_is_not_cancelled() {
    let (report, received) = channel();
    let (lose, to_lose) = signal_channel();
    let (answer, to_answer) = signal_channel();
    let port = multi_server(move |index, talk| match index {
        0 => {
            talk.greet_as(1);
            report.send((0, talk.command())).unwrap();
            to_lose();
        }
        1 => {
            // The one that is to cancel is kept waiting.
            report.send((1, talk.command())).unwrap();
            to_answer();
            talk.send(b"%0\r\n");
            report.send((1, talk.command())).unwrap();
        }
        _ => {
            talk.greet_as(1);
            talk.command();
        }
    });
    let mut terminal = Terminal::start(&port, &["s", "--connect-timeout", "30"]);
    terminal.expect("> ");
    terminal.type_text("slow\r");
    assert_eq!(next_command(&received), (0, "slow".to_owned()));
    interrupt(&terminal);
    assert_eq!(next_command(&received), (1, "HELLO 3".to_owned()));
    lose.send(()).unwrap();
    terminal.expect("again, as a new session");
    answer.send(()).unwrap();
    assert_eq!(next_command(&received), (1, "the end".to_owned()));
}

#[test]
fn cancel_request_misses_the_next_command() {
    let (report, received) = channel();
    let (finish, to_finish) = signal_channel();
    let (answer, to_answer) = signal_channel();
    let port = multi_server(move |index, talk| match index {
        0 => {
            talk.greet_as(1);
            talk.command();
            talk.send(b"+OK\r\n");
            report.send((0, talk.command())).unwrap();
            to_finish();
            talk.send_text("finished");
            report.send((0, talk.command())).unwrap();
            talk.send_text("not cancelled");
            talk.command();
        }
        _ => {
            report.send((1, talk.command())).unwrap();
            // A slow host: it takes long to connect, though no step takes too long.
            let (_slow, never) = channel::<()>();
            let _ = never.recv_timeout(Duration::from_secs(1));
            talk.send(b"%0\r\n");
            talk.command();
            to_answer();
            talk.send(b"+OK\r\n");
            report.send((1, talk.command())).unwrap();
        }
    });
    let mut terminal = Terminal::start(&port, &["s", "--connect-timeout", "10"]);
    terminal.expect("> ");
    terminal.type_text("auth key\r");
    terminal.expect("OK\r\n");
    terminal.expect("> ");
    terminal.type_text("slow\r");
    assert_eq!(next_command(&received), (0, "slow".to_owned()));
    interrupt(&terminal);
    assert_eq!(next_command(&received), (1, "HELLO 3".to_owned()));
    finish.send(()).unwrap();
    terminal.expect("finished\r\n");
    terminal.expect("> ");
    terminal.type_text("next\r");
    assert_eq!(next_command(&received), (0, "next".to_owned()));
    answer.send(()).unwrap();
    assert_eq!(next_command(&received), (1, "the end".to_owned()));
    terminal.expect("not cancelled\r\n");
}
