//! Plain lines, as typed at a terminal.

use dropin_tests::{Host, Lines, tool};

#[test]
fn line_command_gets_line_reply() {
    let host = Host::start(&["text"]);
    let mut client = Lines::connect(&host);
    assert_eq!(client.ask("echo hello"), "hello");
    assert_eq!(client.ask("ECHO hello\r"), "hello");
    assert_eq!(client.ask("  Echo \t two   words  "), "two words");
}

#[test]
fn quotes_are_those_of_a_shell() {
    let host = Host::start(&["text"]);
    let mut client = Lines::connect(&host);
    for (line, reply) in [
        (r#"echo "a  b""#, "a  b"),
        ("echo 'a  b'", "a  b"),
        (r"echo a\ \ b", "a  b"),
        (r#"echo "say \"hi\"""#, r#"say "hi""#),
        (r"echo 'it\'s'", "it's"),
        (r#"echo "a\tb\x41\x7a""#, "a\tbAz"),
        (r#"echo '\x41' "#, r"\x41"),
        (r#"echo """#, ""),
        (r#"echo "" x"#, " x"),
    ] {
        assert_eq!(client.ask(line), reply, "{line}");
    }
}

#[test]
fn multi_line_reply_comes_as_its_lines() {
    let host = Host::start(&["text"]);
    let mut client = Lines::connect(&host);
    assert_eq!(client.ask_all(r#"echo "one\ntwo""#), ["one", "two"]);
    assert_eq!(client.ask_all(r#"echo "ends\n""#), ["ends"]);
}

#[test]
fn every_kind_of_reply_has_its_plain_form() {
    let host = Host::start(&["facts"]);
    let mut client = Lines::connect(&host);
    assert_eq!(
        client.ask_all("kinds"),
        ["OK", "text", "42", "0.25", "true", "(null)", "1, 2", "one: 1, none: (null)"]
    );
    assert_eq!(client.ask("fail ERR 'no such thing'"), "error: no such thing");
    assert_eq!(client.ask("fail WRONGTYPE 'no such thing'"), "error: WRONGTYPE no such thing");
    assert_eq!(client.ask(r#"fail ERR "two\nlines""#), "error: two lines");
    assert_eq!(client.ask("deep 3"), "core");
}

#[test]
fn commands_in_one_write_are_answered_in_order() {
    let host = Host::start(&["text"]);
    let mut client = Lines::connect(&host);
    let batch: String = (0..5_000).map(|n| format!("echo {n}\n")).collect();
    client.send(batch);
    for n in 0..5_000 {
        assert_eq!(client.line(), n.to_string());
    }
}

#[test]
fn a_command_may_come_byte_by_byte() {
    let host = Host::start(&["text"]);
    let mut client = Lines::connect(&host);
    for byte in b"echo \"slow and steady\"\r\n" {
        client.send([*byte]);
    }
    assert_eq!(client.line(), "slow and steady");
}

#[test]
fn text_is_passed_on_byte_for_byte() {
    let host = Host::start(&["text"]);
    let mut client = Lines::connect(&host);
    assert_eq!(client.ask("echo naïve 👩‍🚀 日本"), "naïve 👩‍🚀 日本");
    client.send(b"echo \xff\xfe\n");
    let bytes = client.take(|bytes| bytes.ends_with(b"\n").then(|| (bytes.to_vec(), bytes.len())));
    assert_eq!(bytes, b"\xff\xfe\n");
}

#[test]
#[cfg_attr(not(tool = "nc"), ignore = "needs nc")]
fn nc_gets_plain_text() {
    let host = Host::start(&["text"]);
    for (family, address) in [("-4", "127.0.0.1"), ("-6", "::1")] {
        let mut nc = std::process::Command::new("nc");
        nc.args([family, "-N", address, &host.port().to_string()]);
        let output = tool::run(&mut nc, b"echo hello\nupper quietly\nnonsense\nclose\n");
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text, "hello\nQUIETLY\nerror: unknown command 'nonsense'\nOK\n");
    }
}
