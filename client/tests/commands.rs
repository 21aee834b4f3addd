//! The client without a terminal: one command, or commands from a pipe.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod fake;
mod run;

use std::{
    io::{Read as _, Write as _},
    process::Stdio,
};

use fake::{NOTICE, client, refusing::refusing, server};
use run::{assert_fails, assert_run, echo, run, run_lines, run_one};

#[test]
fn arguments_are_sent_verbatim() {
    assert_run(
        &run_one(&server(echo), &["echo", "a b", "-n", "--help", ""]),
        0,
        "a b|-n|--help|\n",
        "",
    );
}

#[test]
fn error_reply_is_exit_code_1() {
    assert_run(&run_one(&server(echo), &["fail"]), 1, "", "error: it failed\n");
}

#[test]
fn refused_connection_names_all_addresses() {
    let port = refusing();
    let run = run_one(&port, &["echo"]);
    assert_fails(
        &run,
        2,
        &[&format!("127.0.0.1:{port}"), &format!("[::1]:{port}"), "refused", "--port"],
    );
}

#[test]
fn missing_type_without_terminal_is_an_error() {
    assert_fails(&run(client(1), b""), 2, &["client s", "same machine", "--help"]);
}

#[test]
fn missing_address_without_terminal_is_an_error() {
    let mut command = client(1);
    command.args(["i", "echo"]);
    assert_fails(
        &run(command, b""),
        2,
        &["--address", "DROPIN_INTERNET_ADDRESS", "[internet]", "client.toml"],
    );
}

#[test]
fn address_comes_from_the_environment() {
    let port = server(echo);
    let mut command = client(&port);
    command.args(["--plain", "l", "echo", "x"]).env("DROPIN_LAN_ADDRESS", "127.0.0.1");
    assert_run(&run(command, b""), 0, "x\n", "");
}

#[test]
fn refused_greeting_is_reported() {
    let port = server(|talk| talk.send(b"-DENIED bring a key\r\n"));
    assert_fails(&run_one(&port, &["echo"]), 2, &["refuses", "DENIED bring a key"]);
}

#[test]
fn foreign_protocol_is_reported() {
    let port = server(|talk| talk.send(b"SSH-2.0-OpenSSH\r\n"));
    assert_fails(&run_one(&port, &["echo"]), 2, &["cannot understand", "Dropin host"]);
}

#[test]
fn silent_server_hits_the_timeouts() {
    let port = server(|talk| while talk.command().is_some() {});
    assert_fails(
        &run_one(&port, &["--connect-timeout", "0.05", "echo"]),
        2,
        &["0.05 s", "--connect-timeout"],
    );
    let port = server(|talk| {
        talk.greet();
        while talk.command().is_some() {}
    });
    assert_fails(
        &run_one(&port, &["--timeout", "0.05", "wait"]),
        2,
        &["'wait'", "0.05 s", "--timeout"],
    );
}

#[test]
fn ks_shows_reply_and_notice() {
    let (reply, notice) = ("stopping\n", "notice: the server is shutting down\n");
    let port = server(|talk| {
        talk.greet();
        talk.command();
        talk.send_text("stopping");
        talk.send(NOTICE);
    });
    assert_run(&run_one(&port, &["KS"]), 0, reply, notice);
    let port = server(|talk| {
        talk.greet();
        talk.command();
        talk.send(NOTICE);
        talk.send_text("stopping");
    });
    assert_run(&run_lines(&port, b"ks\n"), 0, reply, notice);
}

#[test]
fn piped_commands_keep_their_order() {
    let run =
        run_lines(&server(echo), b"echo 1\r\n\n  echo 'a b' \"\\x41\"\nfail\necho \"open\nx 2");
    let err = "error: it failed\nerror: line 5: unbalanced quotes: close each quote, at the end of its \
               word\n";
    assert_run(&run, 1, "1\na b|A\n2\n", err);
}

#[test]
fn close_in_a_pipe_ends_the_session() {
    let port = server(|talk| {
        talk.greet();
        assert_eq!(talk.command().unwrap(), ["close"]);
        talk.send(b"+OK\r\n");
    });
    assert_run(&run_lines(&port, b"quit\nnever sent\n"), 0, "", "");
}

#[test]
fn lost_connection_names_the_command() {
    let port = server(|talk| {
        talk.greet();
        talk.command();
    });
    assert_fails(
        &run_lines(&port, b"wait\n"),
        2,
        &[&format!("127.0.0.1:{port}"), "lost", "'wait'", "again"],
    );
}

#[test]
fn notice_ends_an_idle_pipe() {
    let port = server(|talk| {
        talk.greet();
        talk.send(NOTICE);
    });
    let mut command = client(&port);
    command.arg("s").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Stays open: the client must not wait for its end.
    let stdin = child.stdin.take();
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(err, "notice: the server is shutting down\n");
    drop(stdin);
}

#[test]
fn unanswered_command_after_a_notice_is_a_failure() {
    let port = server(|talk| {
        talk.greet();
        talk.command();
        talk.send_text("done");
        talk.send(NOTICE);
    });
    let run = run_lines(&port, b"one\ntwo\n");
    assert_eq!(run.out, "done\n");
    assert_fails(&run, 2, &["notice: the server is shutting down\n", "'two' has no reply"]);
}

#[test]
fn pipe_gets_bytes_unescaped() {
    let port = server(|talk| {
        talk.greet();
        talk.command();
        talk.send(b"*2\r\n$3\r\na\x1b\xff\r\n%1\r\n+k\r\n,1.5\r\n");
        while talk.command().is_some() {}
    });
    let mut command = client(&port);
    let output = command.args(["s", "x"]).output().unwrap();
    assert_eq!(output.stdout, b"a\x1b\xff\nk: 1.5\n");
}

#[test]
fn early_end_of_reader_is_no_failure() {
    let port = server(|talk| {
        talk.greet();
        talk.command();
        talk.send_text(&"line\n".repeat(1 << 20));
    });
    let mut command = client(&port);
    command.args(["s", "x"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = [0; 5];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut line).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn invalid_settings_file_is_named() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"port = 5000\n[lan]\nadress = 'x'\n").unwrap();
    let mut command = client(1);
    command.args(["--plain", "l", "--config"]).arg(file.path()).arg("echo");
    let path = file.path().display().to_string();
    assert_fails(&run(command, b""), 2, &[&path, "line 3", "adress"]);
}
