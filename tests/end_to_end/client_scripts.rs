//! The client in scripts, with the host: output formats, pipes, repetition, latency.

use std::{
    path::Path,
    process::{Command, Output},
};

use dropin_tests::{Host, SHIPPED, setup::Ended, tool};

use crate::client_program::{client, run, success};

/// Runs a line of bash in which `client` is the client of this host. The last line of its output
/// has the status of each program of the pipe.
fn bash(host: &Host, line: &str) -> Output {
    let client = client(&[], &[]);
    let folder = Path::new(client.get_program()).parent().unwrap().display().to_string();
    let mut command = Command::new("bash");
    command.args(["-c", &format!("{line}\necho \"${{PIPESTATUS[@]}}\"")]);
    for (name, value) in client.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{folder}:{path}")).env("DROPIN_PORT", host.port().to_string());
    tool::run(&mut command, b"")
}

#[track_caller]
fn assert_output(host: &Host, line: &str, expected: &str) {
    let output = bash(host, line);
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{line}: {output:?}");
    assert!(output.stderr.is_empty(), "{line}: {output:?}");
}

#[test]
fn replies_of_plugins_in_every_form() {
    let host = Host::start(&SHIPPED);
    for (arguments, raw, json, csv) in [
        (
            &["count", "one, two"][..],
            "characters: 8\nwords: 2\nbytes: 8\n",
            "{\"characters\":8,\"words\":2,\"bytes\":8}\n",
            "characters,words,bytes\n8,2,8\n",
        ),
        (
            &["echo", "say \"a, b\""],
            "say \"a, b\"\n",
            "\"say \\\"a, b\\\"\"\n",
            "\"say \"\"a, b\"\"\"\n",
        ),
        (&["get", "nothing"], "(null)\n", "null\n", "\"\"\n"),
        (&["keys"], "(empty)\n", "[]\n", ""),
    ] {
        for (form, expected) in [("--raw", raw), ("--json", json), ("--csv", csv)] {
            assert_eq!(run(&host, &[&["s", form], arguments].concat(), ""), success(expected));
        }
    }
    let Ended { status, stdout: listed, .. } = run(&host, &["s", "--csv", "plugins"], "");
    assert_eq!(status, Some(0));
    assert!(listed.starts_with("name,version,generation,file,commands\nclock,"), "{listed}");
    assert_eq!(listed.lines().count(), 1 + SHIPPED.len(), "{listed}");
    let json = run(&host, &["s", "--json", "nonsense"], "");
    let document = "{\"error\":{\"kind\":\"ERR\",\"message\":\"unknown command 'nonsense'\"}}\n";
    let failed = Ended { status: Some(1), stdout: document.into(), stderr: String::new() };
    assert_eq!(json, failed);
}

#[test]
#[cfg_attr(not(tool = "bash"), ignore = "needs bash")]
fn pipes_on_both_sides() {
    let host = Host::start(&SHIPPED);
    assert_output(&host, "printf 'a\\nb\\n' | client s -x set page | cat", "OK\n0 0 0\n");
    assert_output(&host, "client s --json get page", "\"a\\nb\\n\"\n0\n");
    assert_output(&host, "client s -r 3 incr n | head -1", "1\n0 0\n");
    assert_output(&host, "client s -r -1 incr n | head -2 | wc -l", "2\n0 0 0\n");
    assert_output(&host, "client s -f <(printf 'set a 1\\nget a\\n') | tail -1", "1\n0 0\n");
    assert_output(&host, "client s -q nonsense 2>/dev/null | cat", "1 0\n");
    assert_output(&host, "client s --timeout 0.1 sleep 60000 2>/dev/null", "2\n");
}

#[test]
fn repetitions_are_one_session() {
    let host = Host::start(&SHIPPED);
    let Ended { status, stdout: output, stderr: error } =
        run(&host, &["s", "-r", "3", "whoami"], "");
    assert_eq!((status, error.as_str()), (Some(0), ""), "{output}");
    let lines: Vec<_> = output.lines().collect();
    let once = lines.len() / 3;
    assert!(lines[..once].iter().any(|line| line.starts_with("id: ")), "{output}");
    assert_eq!(lines[..once], lines[once..2 * once], "{output}");
    assert_eq!(lines[..once], lines[2 * once..], "{output}");
}

#[test]
fn latency_is_measured_over_the_hosts_own_ping() {
    let host = Host::start(&[]);
    let Ended { status, stdout: output, stderr: error } =
        run(&host, &["s", "--latency", "-r", "50", "-i", "0"], "");
    assert_eq!((status, error.as_str()), (Some(0), ""));
    assert!(output.starts_with("50 pings, ms:  min ") && output.ends_with('\n'), "{output}");
}

#[test]
fn leaving_at_once_reads_sensibly() {
    let host = Host::start(&[]);
    for word in ["exit", "close", "quit"] {
        let Ended { status, stdout: output, stderr: error } = run(&host, &["s", word], "");
        assert_eq!((status, output.as_str()), (Some(0), ""), "{error}");
        assert!(error.contains(&format!("all that '{word}' does")), "{error}");
        assert_eq!(run(&host, &["s", "-q", word], ""), success(""));
    }
}
