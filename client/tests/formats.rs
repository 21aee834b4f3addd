//! Every kind of reply in every form.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod fake;
mod run;

use fake::{client, server};
use run::{assert_run, echo, run_one};

/// The bytes of a reply, and its output as raw bytes, JSON and CSV.
type Kind = (&'static [u8], &'static [u8], &'static str, &'static [u8]);

const KINDS: [Kind; 21] = [
    (b"+OK\r\n", b"OK\n", "\"OK\"\n", b"OK\n"),
    (b"$0\r\n\r\n", b"\n", "\"\"\n", b"\"\"\n"),
    (
        b"$8\r\na\tb \"\n,\\\r\n",
        b"a\tb \"\n,\\\n",
        "\"a\\tb \\\"\\n,\\\\\"\n",
        b"\"a\tb \"\"\n,\\\"\n",
    ),
    (b"$3\r\n\xff\x00\x1b\r\n", b"\xff\x00\x1b\n", "{\"base64\":\"/wAb\"}\n", b"\xff\x00\x1b\n"),
    (b"$5\r\n\x1b[1m\x7f\r\n", b"\x1b[1m\x7f\n", "\"\\u001b[1m\\u007f\"\n", b"\x1b[1m\x7f\n"),
    (b"=7\r\ntxt:hi!\r\n", b"hi!\n", "\"hi!\"\n", b"hi!\n"),
    (
        b":-9223372036854775808\r\n",
        b"-9223372036854775808\n",
        "-9223372036854775808\n",
        b"-9223372036854775808\n",
    ),
    (
        b"(123456789012345678901234567890\r\n",
        b"123456789012345678901234567890\n",
        "\"123456789012345678901234567890\"\n",
        b"123456789012345678901234567890\n",
    ),
    (b",1.5\r\n", b"1.5\n", "1.5\n", b"1.5\n"),
    (b",3\r\n", b"3.0\n", "3.0\n", b"3.0\n"),
    (b",-inf\r\n", b"-inf\n", "\"-inf\"\n", b"-inf\n"),
    (b",nan\r\n", b"nan\n", "\"nan\"\n", b"nan\n"),
    (b"#t\r\n", b"true\n", "true\n", b"true\n"),
    (b"_\r\n", b"(null)\n", "null\n", b"\"\"\n"),
    (b"*0\r\n", b"(empty)\n", "[]\n", b""),
    (b"%0\r\n", b"(empty)\n", "{}\n", b""),
    (
        b"*3\r\n$3\r\na,b\r\n_\r\n*2\r\n:1\r\n$1\r\nx\r\n",
        b"a,b\n(null)\n1, x\n",
        "[\"a,b\",null,[1,\"x\"]]\n",
        b"\"a,b\",,\"[1,\"\"x\"\"]\"\n",
    ),
    (b"*2\r\n*2\r\n:1\r\n:2\r\n*1\r\n:3\r\n", b"1, 2\n3\n", "[[1,2],[3]]\n", b"1,2\n3\n"),
    (
        b"%2\r\n+b\r\n:1\r\n+a\r\n#f\r\n",
        b"b: 1\na: false\n",
        "{\"b\":1,\"a\":false}\n",
        b"b,a\n1,false\n",
    ),
    (
        b"*2\r\n%2\r\n+name\r\n+a\r\n+n\r\n:1\r\n%2\r\n+name\r\n+b\r\n+more\r\n%1\r\n:7\r\n_\r\n",
        b"name: a, n: 1\nname: b, more: {7: (null)}\n",
        "[{\"name\":\"a\",\"n\":1},{\"name\":\"b\",\"more\":{\"7\":null}}]\n",
        b"name,n,more\na,1,\nb,,\"{\"\"7\"\":null}\"\n",
    ),
    (
        b"*1\r\n-DENIED no\r\n",
        b"error: DENIED no\n",
        "[{\"error\":{\"kind\":\"DENIED\",\"message\":\"no\"}}]\n",
        b"error: DENIED no\n",
    ),
];

fn shown(reply: &'static [u8], options: &[&str]) -> Vec<u8> {
    let port = server(move |talk| {
        talk.greet();
        talk.command();
        talk.send(reply);
        talk.command();
    });
    let output = client(&port).arg("s").args(options).arg("x").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(output.stderr, b"", "{output:?}");
    output.stdout
}

#[track_caller]
fn same(reply: &[u8], options: &[&str], shown: &[u8], expected: &[u8]) {
    let text = String::from_utf8_lossy;
    assert_eq!(text(shown), text(expected), "{} with {options:?}", reply.escape_ascii());
    assert_eq!(shown, expected, "{} with {options:?}", reply.escape_ascii());
}

#[test]
fn raw_is_the_default_without_terminal() {
    for (reply, raw, ..) in KINDS {
        for options in [&[][..], &["--raw"]] {
            same(reply, options, &shown(reply, options), raw);
        }
    }
}

#[test]
fn json_is_one_document_per_reply() {
    for (reply, _, json, _) in KINDS {
        let found = shown(reply, &["--json"]);
        same(reply, &["--json"], &found, json.as_bytes());
        serde_json::from_slice::<serde_json::Value>(&found).unwrap();
    }
}

#[test]
fn csv_can_be_parsed_again() {
    for (reply, .., csv) in KINDS {
        let found = shown(reply, &["--csv"]);
        same(reply, &["--csv"], &found, csv);
        let mut rows =
            csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(&found[..]);
        assert!(rows.byte_records().all(|row| row.is_ok()), "{}", found.escape_ascii());
    }
}

#[test]
fn errors_are_documents_only_in_json() {
    let json = "{\"error\":{\"kind\":\"ERR\",\"message\":\"it failed\"}}\n";
    assert_run(&run_one(&server(echo), &["--json", "fail"]), 1, json, "");
    for option in ["--csv", "--raw", "--quiet"] {
        assert_run(&run_one(&server(echo), &[option, "fail"]), 1, "", "error: it failed\n");
    }
}

#[test]
fn options_can_stand_before_the_type() {
    let port = server(echo);
    let mut command = client(&port);
    command.args(["--json", "-q", "s", "echo", "--csv"]);
    assert_run(&run::run(command, b""), 0, "\"--csv\"\n", "");
}
