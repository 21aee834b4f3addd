//! Scripts: files, repetition, arguments from a pipe, quiet runs and exit statuses.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod fake;
mod run;

use std::{
    io::{ErrorKind, Write as _},
    net::TcpListener,
    sync::mpsc,
    time::{Duration, Instant},
};

use fake::{NOTICE, client, refusing::refusing, server};
use run::{assert_fails, assert_run, echo, run, run_lines, run_one};

fn file(text: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text).unwrap();
    file
}

#[test]
fn command_is_repeated_in_one_session() {
    assert_run(
        &run_one(&server(echo), &["-r", "3", "echo", "x", "-r"]),
        0,
        "x|-r\nx|-r\nx|-r\n",
        "",
    );
}

#[test]
fn one_failed_repetition_is_exit_code_1() {
    let port = server(|talk| {
        talk.greet();
        for reply in [&b"+one\r\n"[..], b"-ERR two\r\n", b"+three\r\n"] {
            talk.command();
            talk.send(reply);
        }
        assert_eq!(talk.command(), None);
    });
    assert_run(&run_one(&port, &["--repeat", "3", "x"]), 1, "one\nthree\n", "error: two\n");
}

#[test]
fn repetitions_keep_their_interval() {
    let (sender, times) = mpsc::channel();
    let port = server(move |talk| {
        talk.greet();
        while talk.command().is_some() {
            sender.send(Instant::now()).unwrap();
            talk.send_text("x");
        }
    });
    assert_run(&run_one(&port, &["-r2", "-i", "0.2", "x"]), 0, "x\nx\n", "");
    let times: Vec<_> = times.iter().collect();
    // From the reply on; what else takes time only adds to it.
    assert!(times[1] - times[0] >= Duration::from_millis(200), "{times:?}");
}

#[test]
fn stopping_host_fails_remaining_repetitions() {
    let port = server(|talk| {
        talk.greet();
        talk.command();
        talk.send_text("x");
        talk.send(NOTICE);
    });
    let run = run_one(&port, &["-r", "-1", "-i", "3600", "tick"]);
    assert_eq!(run.out, "x\n");
    assert_fails(&run, 2, &["notice: the server is shutting down\n", "'tick' has no reply"]);
}

#[test]
fn last_argument_is_piped_verbatim() {
    let (sender, commands) = mpsc::channel();
    let port = server(move |talk| {
        talk.greet();
        for _ in 0..2 {
            sender.send(talk.command().unwrap()).unwrap();
            talk.send_text("x");
        }
    });
    let mut command = client(&port);
    command.args(["-x", "s", "-r", "2", "set", "k"]);
    assert_run(&run(command, b" a\r\nb\0 \n\n"), 0, "x\nx\n", "");
    for _ in 0..2 {
        assert_eq!(commands.recv().unwrap(), ["set", "k", " a\r\nb\0 \n\n"]);
    }
}

#[test]
fn commands_come_from_a_file() {
    let file = file(b"echo 1\r\n\n  # not a command\necho 'a b'\nfail\necho 2");
    let path = file.path().to_str().unwrap();
    for options in [["-f", path], ["--file", path]] {
        assert_run(&run_one(&server(echo), &options), 1, "1\na b\n2\n", "error: it failed\n");
    }
    let port = server(echo);
    let mut command = client(&port);
    command.args(["s", "-f", "-"]);
    assert_run(&run(command, b"echo 1\n"), 0, "1\n", "");
}

#[test]
fn unreadable_file_is_reported_before_connecting() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    for path in ["/nonexistent/commands.txt", folder.path().to_str().unwrap()] {
        assert_fails(
            &run_one(port, &["-f", path]),
            2,
            &["cannot read the commands", path, "--file"],
        );
    }
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn quiet_leaves_only_errors() {
    let talk = |talk: &mut fake::Peer| {
        talk.greet();
        talk.send(NOTICE);
        talk.command();
        talk.send(b"-ERR no\r\n");
    };
    let port = server(talk);
    let mut command = client(&port);
    command.args(["s", "x"]);
    assert!(run(command, b"").err.starts_with("notice: "));
    assert_run(&run_one(&server(talk), &["-q", "x"]), 1, "", "error: no\n");
    assert_fails(&run_one(&refusing(), &["--quiet", "x"]), 2, &["cannot connect"]);
}

#[test]
fn unbalanced_line_has_a_json_document() {
    let port = server(echo);
    let mut command = client(&port);
    command.args(["s", "--json"]);
    let run = run(command, b"echo 1\necho 'a\nfail\n");
    let documents = "\"1\"\n\
        {\"error\":{\"kind\":\"ERR\",\"message\":\"line 2: unbalanced quotes: close each quote, at the \
        end of its word\"}}\n{\"error\":{\"kind\":\"ERR\",\"message\":\"it failed\"}}\n";
    assert_run(&run, 1, documents, "");
}

#[test]
fn lone_close_command_gets_a_notice() {
    for word in ["exit", "CLOSE", "quit"] {
        let closing = || {
            server(|talk| {
                talk.greet();
                assert_eq!(talk.command().unwrap(), ["close"]);
                talk.send(b"+OK\r\n");
            })
        };
        let run = run_one(&closing(), &[word]);
        assert_eq!(run.out, "");
        assert_fails(&run, 0, &[&format!("all that '{word}' does")]);
        assert_run(&run_one(&closing(), &["--quiet", word]), 0, "", "");
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for (arguments, part) in [
        (&["--prot", "1"][..], "a similar argument exists: '--port'"),
        (&["--json", "--csv", "x"], "leave out one"),
        (&["-x"], "-x needs a command"),
        (&["-r", "2"], "--repeat needs a command"),
        (&["-r", "0", "x"], "above 0"),
        (&["--latency", "x"], "--latency and a command"),
        (&["--timeout", "soon", "x"], "seconds"),
    ] {
        assert_fails(&run_one(1, arguments), 2, &[part]);
    }
    let mut command = client(1);
    command.args(["hoem", "x"]);
    assert_fails(&run(command, b""), 2, &["'hoem' is no connection type", "client add"]);
}

#[test]
fn lost_connection_in_a_script_names_the_command() {
    let port = server(|talk| {
        talk.greet();
        talk.command();
        talk.send_text("1");
        talk.command();
    });
    let run = run_lines(&port, b"one\ntwo\nthree\n");
    assert_eq!(run.out, "1\n");
    assert_fails(&run, 2, &["'two' has no reply"]);
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_script_with_130() {
    use std::os::unix::process::ExitStatusExt as _;

    use rustix::process::{Pid, Signal, kill_process};
    let (sender, asked) = mpsc::channel();
    let port = server(move |talk| {
        talk.greet();
        sender.send(talk.command()).unwrap();
        // Without a reply, the client waits until it is interrupted.
        assert_eq!(talk.command(), None);
    });
    let mut child = client(&port).args(["s", "linger"]).spawn().unwrap();
    assert_eq!(fake::receive(&asked).unwrap().unwrap(), ["linger"]);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let status = child.wait().unwrap();
    // A shell reports a program that a signal has ended in the same way.
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    assert_eq!(code, Some(130), "{status}");
}

#[cfg(unix)]
mod pipes {
    use std::process::{Command, Output};

    use super::{
        fake::{Port, Server},
        *,
    };

    /// Runs a line of bash; the last line of its output has the exit statuses.
    fn bash(port: impl Port, line: &str) -> Output {
        let client = client(port);
        let mut command = Command::new("bash");
        let folder = std::path::Path::new(client.get_program()).parent().unwrap().to_owned();
        let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
        command.args(["-c", &format!("set -o pipefail\n{line}\necho \"${{PIPESTATUS[@]}}\" $?")]);
        for (name, value) in client.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.env("PATH", path).output().unwrap()
    }

    #[track_caller]
    fn gives(port: impl Port, line: &str, out: &str, err: &str) {
        let output = bash(port, line);
        assert_eq!(String::from_utf8_lossy(&output.stdout), out, "{line}: {output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), err, "{line}: {output:?}");
    }

    /// Returns a server whose reply is larger than the buffer of a pipe.
    fn many() -> Server {
        server(|talk| {
            talk.greet();
            while talk.command().is_some() {
                let mut reply = b"*20000\r\n".to_vec();
                (0..20_000).for_each(|_| reply.extend(b"*2\r\n$1\r\na\r\n$3\r\nb,c\r\n"));
                talk.send(&reply);
            }
        })
    }

    #[test]
    fn early_end_of_reader_is_no_failure() {
        gives(&many(), "client s keys | head -1", "a, b,c\n0 0 0\n", "");
        gives(&many(), "client s --csv keys | head -1", "a,\"b,c\"\n0 0 0\n", "");
        gives(&many(), "client s --json keys | head -c 3", "[[\"0 0 0\n", "");
        gives(&many(), "client s -r -1 keys | head -1", "a, b,c\n0 0 0\n", "");
        gives(&many(), "printf 'keys\\nkeys\\n' | client s | head -1", "a, b,c\n0 0 0 0\n", "");
    }

    #[test]
    fn exit_status_survives_a_pipeline() {
        gives(&server(echo), "client s echo x | cat", "x\n0 0 0\n", "");
        gives(&server(echo), "client s fail | cat", "1 0 1\n", "error: it failed\n");
        gives(&server(echo), "echo x | client s -x echo | cat", "x\n0 0 0 0\n", "");
        gives(&server(echo), "client s -f <(echo fail) --json | head -0", "1 0 1\n", "");
    }

    #[test]
    fn help_and_man_can_be_cut_short() {
        for line in ["client man", "client --help", "client completion zsh"] {
            let output = bash(1, &format!("{line} | head -c 1 >/dev/null"));
            assert_eq!(String::from_utf8_lossy(&output.stdout), "0 0 0\n", "{line}: {output:?}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn full_disk_is_a_failure() {
        for line in
            ["client s echo x", "client s --json echo x", "client s --csv echo x", "client man"]
        {
            let output = bash(&server(echo), &format!("{line} > /dev/full"));
            let err = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(err.contains("cannot write to stdout"), "{line}: {output:?}");
            assert_eq!(String::from_utf8_lossy(&output.stdout), "2 2\n", "{line}: {output:?}");
        }
    }
}
