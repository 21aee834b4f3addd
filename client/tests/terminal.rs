//! The client at a terminal.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod fake;
mod pty;

use std::{
    sync::{
        Mutex,
        mpsc::{self, Sender},
    },
    time::{Duration, Instant},
};

use fake::{NOTICE, Peer, RESTARTING, Server, multi_server, receive, server};
use pty::Terminal;

/// Returns a server that sends the bytes of a channel.
fn scripted_server() -> (Server, Sender<&'static [u8]>) {
    let (sender, orders) = mpsc::channel::<&'static [u8]>();
    let port = server(move |talk| {
        talk.greet();
        for order in orders {
            talk.send(order);
        }
    });
    (port, sender)
}

fn echo(talk: &mut Peer) {
    talk.greet();
    while let Some(command) = talk.command() {
        talk.send_text(&command[1..].join("|"));
        if command[0] == "close" {
            return;
        }
    }
}

#[test]
fn missing_type_is_asked_for() {
    let port = server(echo);
    let mut terminal = Terminal::start(&port, &[]);
    terminal.expect("i (internet): ");
    terminal.type_text("what\n");
    terminal.expect("Please answer s, l or i.");
    terminal.type_text("s\n");
    terminal.expect(&format!("dropin 127.0.0.1:{port}> "));
    terminal.type_text("echo 'a b' c\r");
    terminal.expect("a b|c\r\n");
    terminal.expect("> ");
    terminal.type_text("echo 'a\r");
    terminal.expect("error: unbalanced quotes");
    terminal.expect("> ");
    terminal.type_text("close\r");
    terminal.ends_with(0);
}

#[test]
fn missing_address_is_asked_for() {
    let port = server(echo);
    let mut terminal = Terminal::start(&port, &["--plain", "l", "echo", "hello"]);
    terminal.expect("Address of the host");
    terminal.type_text("127.0.0.1\n");
    terminal.expect("hello\r\n");
    terminal.ends_with(0);
}

#[test]
fn ctrl_c_clears_and_ctrl_d_closes() {
    let (sender, closed) = mpsc::channel();
    let port = server(move |talk| {
        talk.greet();
        let _ = sender.send(talk.command());
    });
    let mut terminal = Terminal::start(&port, &["s"]);
    terminal.expect("> ");
    terminal.type_text("never sent");
    terminal.expect("never sent");
    terminal.type_text("\x03");
    terminal.expect("> ");
    terminal.type_text("\x04");
    assert_eq!(receive(&closed).unwrap().unwrap(), ["close"]);
    terminal.ends_with(0);
}

#[test]
fn notice_keeps_the_typed_line() {
    let (port, orders) = scripted_server();
    let mut terminal = Terminal::start(&port, &["s"]);
    terminal.expect("> ");
    terminal.type_text("half a line");
    terminal.expect("half a line");
    orders.send(NOTICE).unwrap();
    terminal.expect("notice: the server is shutting down");
    terminal.expect("half a line");
    drop(orders);
    terminal.expect("closed the connection: the server is shutting down");
    terminal.ends_with(0);
}

#[test]
fn restarting_host_is_reconnected() {
    let port = multi_server(|index, talk| {
        talk.greet();
        if index == 0 {
            talk.send(RESTARTING);
        } else {
            while talk.command().is_some_and(|words| words != ["close"]) {}
        }
    });
    let mut terminal = Terminal::start(&port, &["s"]);
    terminal.expect("notice: the server is stopping, perhaps for a restart");
    terminal.expect("perhaps for a restart; connecting again");
    terminal.expect("again, as a new session");
    terminal.expect("> ");
    terminal.type_text("\x04");
    terminal.ends_with(0);
}

#[test]
fn killed_session_ends_the_client_with_its_error() {
    let port = server(|talk| {
        talk.greet();
        talk.send(b"-ERR this session was ended by an admin\r\n");
    });
    let mut terminal = Terminal::start(&port, &["s"]);
    terminal.expect("error: this session was ended by an admin");
    terminal.expect("closed the connection: this session was ended by an admin; start the client");
    terminal.ends_with(2);
}

#[test]
fn closing_error_is_the_reason_of_a_reconnect() {
    let port = multi_server(|index, talk| {
        talk.greet();
        if index == 0 {
            talk.send(b"-ERR nothing was sent for 1 s, the connection is closed\r\n");
        } else {
            while talk.command().is_some_and(|words| words != ["close"]) {}
        }
    });
    let mut terminal = Terminal::start(&port, &["s"]);
    terminal.expect("closed the connection: nothing was sent for 1 s, the connection is closed;");
    terminal.expect(" connecting again");
    terminal.expect("again, as a new session");
    terminal.expect("> ");
    terminal.type_text("\x04");
    terminal.ends_with(0);
}

/// Answers all commands until the client leaves or this command arrives.
fn serve_until(talk: &mut Peer, last: &str) {
    while let Some(words) = talk.command().filter(|words| words[0] != last) {
        talk.send(if words[0] == "COMMAND" { b"*0\r\n" } else { b"+OK\r\n" });
    }
}

#[test]
fn lost_session_returns_with_login_after_growing_pauses() {
    let (report, connections) = mpsc::channel();
    let (greeted, logins) = mpsc::channel();
    let port = multi_server(move |index, talk| {
        report.send((index, Instant::now())).unwrap();
        match index {
            0 => {
                talk.greet();
                serve_until(talk, "crash");
            }
            // A host that is not there yet.
            1..=2 => {}
            _ => {
                talk.greet();
                greeted.send(talk.command()).unwrap();
                talk.send(b"+OK\r\n");
                serve_until(talk, "close");
            }
        }
    });
    let mut terminal = Terminal::start(&port, &["s"]);
    terminal.expect("> ");
    terminal.type_text("auth alice secret\r");
    terminal.expect("OK\r\n");
    terminal.expect("> ");
    terminal.type_text("crash\r");
    let login = receive(&logins).unwrap();
    assert_eq!(login.unwrap(), ["auth", "alice", "secret"]);
    terminal.expect("again, as a new session");
    let mut times: Vec<_> = connections.try_iter().collect();
    times.sort_unstable();
    let pauses: Vec<_> = times.windows(2).skip(1).map(|pair| pair[1].1 - pair[0].1).collect();
    // From one attempt to the next; what else takes time only adds to it.
    for (pause, least) in pauses.iter().zip([500, 1000]) {
        assert!(*pause >= Duration::from_millis(least), "{pauses:?}");
    }
    assert_eq!(pauses.len(), 2, "{pauses:?}");
    terminal.expect("> ");
    terminal.type_text("\x04");
    terminal.ends_with(0);
}

#[test]
fn no_reconnect_ends_at_a_restart() {
    let port = server(|talk| {
        talk.greet();
        talk.send(RESTARTING);
    });
    let mut terminal = Terminal::start(&port, &["--no-reconnect", "s"]);
    terminal.expect("closed the connection: the server is stopping, perhaps for a restart");
    terminal.ends_with(0);
}

#[test]
fn end_restores_the_terminal_at_any_moment() {
    // The prompt may just be on its way up: what matters is the terminal that is left behind.
    for _ in 0..20 {
        let port = server(|talk| {
            talk.greet();
            talk.send(NOTICE);
        });
        let mut terminal = Terminal::start(&port, &["s"]);
        terminal.expect("closed the connection: the server is shutting down");
        terminal.ends_with(0);
    }
}

#[test]
fn end_restores_the_terminal_during_a_search() {
    let (orders, ordered) = mpsc::channel::<&'static [u8]>();
    let port = server(move |talk| {
        talk.greet();
        talk.command();
        talk.send_text("done");
        for order in ordered {
            talk.send(order);
        }
    });
    let mut terminal = Terminal::start(&port, &["s"]);
    terminal.expect("> ");
    terminal.type_text("old\r");
    terminal.expect("done\r\n");
    terminal.expect("> ");
    terminal.type_text("\x12");
    terminal.expect("reverse-i-search");
    for _ in 0..5 {
        orders.send(NOTICE).unwrap();
    }
    drop(orders);
    terminal.expect("closed the connection: the server is shutting down");
    terminal.ends_with(0);
}

#[test]
fn connection_lost_at_the_prompt_is_reported() {
    let (port, orders) = scripted_server();
    let mut terminal = Terminal::start(&port, &["--no-reconnect", "s"]);
    terminal.expect("> ");
    drop(orders);
    terminal.expect("lost: the server closed it without a notice");
    terminal.ends_with(2);
}

#[test]
fn late_reply_is_dropped() {
    let port = server(|talk| {
        talk.greet();
        assert_eq!(talk.command().unwrap(), ["wait"]);
        assert_eq!(talk.command().unwrap(), ["echo", "hello"]);
        talk.send_text("too late");
        talk.send_text("in time");
        assert_eq!(talk.command().unwrap(), ["close"]);
    });
    let mut terminal = Terminal::start(&port, &["s", "--timeout", "3"]);
    terminal.expect("> ");
    terminal.type_text("wait\r");
    terminal.expect("no reply to 'wait'");
    terminal.expect("> ");
    terminal.type_text("echo hello\r");
    let before = terminal.expect("in time\r\n");
    let behind = terminal.expect("> ");
    assert!(!before.contains("too late") && !behind.contains("too late"), "{before}{behind}");
    terminal.type_text("exit\r");
    terminal.ends_with(0);
}

#[test]
fn reply_cannot_control_the_terminal() {
    let (port, orders) = scripted_server();
    let mut terminal = Terminal::start(&port, &["s", "x"]);
    orders.send(b"$9\r\n\x1b[31mred!\r\n").unwrap();
    terminal.expect("\\x1b[31mred!\r\n");
    terminal.ends_with(0);
}

#[test]
fn refusal_cannot_control_the_terminal() {
    let (orders, ordered) = mpsc::channel::<()>();
    let ordered = Mutex::new(ordered);
    let port = multi_server(move |index, talk| {
        if index == 0 {
            talk.greet();
            let _ = ordered.lock().unwrap().recv();
        } else {
            talk.command();
            talk.send(b"-NOPERM \x1b]0;mine\x07\x1b[2J away\r\n");
            talk.command();
        }
    });
    let mut terminal = Terminal::start(&port, &["s"]);
    terminal.expect("> ");
    orders.send(()).unwrap();
    terminal.expect("refuses this client: NOPERM ");
    terminal.expect("\\x1b]0;mine\\x07\\x1b[2J away\r\n");
    terminal.expect("not connected, and not trying any longer");
    terminal.type_text("\x04");
    terminal.ends_with(2);
}

#[test]
fn sigterm_restores_the_terminal() {
    use rustix::process::{Pid, Signal, kill_process};
    let (port, _orders) = scripted_server();
    let mut terminal = Terminal::start(&port, &["s"]);
    terminal.expect("> ");
    kill_process(Pid::from_child(&terminal.child), Signal::TERM).unwrap();
    terminal.expect("interrupted");
    terminal.ends_with(130);
}

#[test]
fn sigterm_is_handled_after_a_pipe_ends() {
    use rustix::process::{Pid, Signal, kill_process};
    let (port, _orders) = scripted_server();
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let mut terminal = Terminal::start(&port, &["s"]);
    terminal.expect("> ");
    terminal.type_text(&format!("! echo sta''rted; read word < {}\r", pipe.display()));
    terminal.expect("started");
    kill_process(Pid::from_child(&terminal.child), Signal::TERM).unwrap();
    // The program reads until its pipe ends.
    drop(std::fs::File::options().write(true).open(&pipe).unwrap());
    terminal.expect("interrupted");
    terminal.ends_with(130);
}
