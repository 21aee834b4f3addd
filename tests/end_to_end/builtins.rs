//! The host's own commands, in all three protocols.

use dropin_tests::{Frame, Host, Lines, Resp};

fn status(text: &str) -> Frame {
    Frame::Status(text.into())
}

#[test]
fn ping_answers_pong_or_the_message() {
    let host = Host::start(&[]);
    let mut lines = Lines::connect(&host);
    assert_eq!(lines.ask("ping"), "PONG");
    assert_eq!(lines.ask("ping 'are you there'"), "are you there");
    for mut client in [Resp::connect(&host), Resp::connect3(&host)] {
        assert_eq!(client.ask(&["PING"]), status("PONG"));
        assert_eq!(client.ask(&["ping", "are you there"]), "are you there".into());
    }
}

#[test]
fn hello_greets_and_chooses_the_protocol() {
    let host = Host::start(&["store"]);
    let mut client = Resp::connect(&host);
    let hello = client.ask(&["HELLO"]);
    assert!(matches!(hello, Frame::List(_)), "{hello:?}");
    assert_eq!(hello.get("server"), Some(&"dropin".into()));
    assert_eq!(hello.get("version"), Some(&env!("CARGO_PKG_VERSION").into()));
    assert_eq!(hello.get("proto"), Some(&2.into()));
    assert_eq!(hello.get("id"), Some(&client.ask(&["CLIENT", "ID"])));
    assert_eq!(hello.get("mode"), Some(&"standalone".into()));
    assert_eq!(hello.get("role"), Some(&"master".into()));
    assert_eq!(hello.get("modules"), Some(&Frame::List(vec![])));
    let hello = client.ask(&["HELLO", "3", "SETNAME", "lee"]);
    assert!(matches!(hello, Frame::Map(_)), "{hello:?}");
    assert_eq!(hello.get("proto"), Some(&3.into()));
    assert_eq!(client.ask(&["CLIENT", "GETNAME"]), "lee".into());
    assert!(matches!(client.ask(&["HELLO"]), Frame::Map(_)), "without a version it stays");
    assert!(matches!(client.ask(&["HELLO", "2"]), Frame::List(_)));
    assert_eq!(client.ask(&["get", "x"]), Frame::Null);
}

#[test]
fn hello_line_switches_session_to_resp() {
    let host = Host::start(&[]);
    let mut client = Resp::connect(&host);
    assert!(matches!(client.ask_raw("HELLO 3\r\n"), Frame::Map(_)));
    assert_eq!(client.ask_raw("ping\r\n"), status("PONG"));
}

#[test]
fn hello_that_makes_no_sense_changes_nothing() {
    let host = Host::start(&[]);
    let mut client = Resp::connect(&host);
    let no_keys = "ERR AUTH <password> called without any password configured for the default \
                   user. Are you sure your configuration is correct?";
    for (words, reply) in [
        (&["HELLO", "4"][..], "NOPROTO unsupported protocol version"),
        (&["HELLO", "1"], "NOPROTO unsupported protocol version"),
        (&["HELLO", "x"], "ERR Protocol version is not an integer or out of range"),
        (&["HELLO", "3", "NONSENSE"], "ERR Syntax error in HELLO option 'NONSENSE'"),
        (&["HELLO", "3", "SETNAME"], "ERR Syntax error in HELLO option 'SETNAME'"),
        (
            &["HELLO", "3", "SETNAME", "a b"],
            "ERR Client names cannot contain spaces, newlines or special characters.",
        ),
        (&["HELLO", "3", "AUTH", "default", "key"], no_keys),
        (&["AUTH", "key"], no_keys),
        (&["AUTH", "default", "key"], no_keys),
    ] {
        assert_eq!(client.ask(words), Frame::error(reply), "{words:?}");
    }
    assert!(matches!(client.ask(&["HELLO"]), Frame::List(_)), "it still speaks RESP2");
    assert_eq!(client.ask(&["CLIENT", "GETNAME"]), Frame::Null);
}

#[test]
fn client_names_the_session_and_its_library() {
    let host = Host::start(&[]);
    for mut client in [Resp::connect(&host), Resp::connect3(&host)] {
        assert_eq!(client.ask(&["CLIENT", "GETNAME"]), Frame::Null);
        assert_eq!(client.ask(&["client", "setname", "jo"]), Frame::ok());
        assert_eq!(client.ask(&["Client", "GetName"]), "jo".into());
        assert_eq!(client.ask(&["CLIENT", "SETNAME", ""]), Frame::ok());
        assert_eq!(client.ask(&["CLIENT", "GETNAME"]), Frame::Null);
    }
    let mut lines = Lines::connect(&host);
    assert_eq!(lines.ask("client setname jo"), "OK");
    assert_eq!(lines.ask("client getname"), "jo");
}

#[test]
fn client_that_makes_no_sense_is_an_error() {
    let host = Host::start(&[]);
    let mut client = Resp::connect(&host);
    let bad_name = "ERR Client names cannot contain spaces, newlines or special characters.";
    for (words, reply) in [
        (&["CLIENT", "SETNAME", "a b"][..], bad_name),
        (&["CLIENT", "SETNAME", "é"], bad_name),
        (
            &["CLIENT", "SETNAME"],
            "ERR wrong number of arguments for 'client|setname' command, usage: client setname NAME",
        ),
        (
            &["CLIENT", "ID", "1"],
            "ERR wrong number of arguments for 'client|id' command, usage: client id",
        ),
        (&["CLIENT", "SETINFO", "COLOUR", "red"], "ERR Unrecognized option 'COLOUR'"),
        (
            &["CLIENT", "SETINFO", "LIB-NAME", "a b"],
            "ERR LIB-NAME cannot contain spaces, newlines or special characters.",
        ),
        (
            &["CLIENT", "PAUSE"],
            "ERR unknown subcommand 'PAUSE', 'client' has: CANCEL, GETNAME, ID, INFO, KILL, LIST, SETINFO, \
             SETNAME",
        ),
    ] {
        assert_eq!(client.ask(words), Frame::error(reply), "{words:?}");
    }
}

#[test]
fn plugin_that_makes_no_sense_is_an_error() {
    let host = Host::start(&[]);
    let mut client = Lines::connect(&host);
    let known =
        "'plugin' has: DISABLE, ENABLE, INFO, RELOAD, RESTART, ROLLBACK, SAVE, UNWATCH, WATCH";
    let usage = "wrong number of arguments for 'plugin|info' command, usage: plugin info PLUGIN";
    let resp3 = "watching takes RESP3: send HELLO 3 first";
    assert_eq!(client.ask("plugin dance"), format!("error: unknown subcommand 'dance', {known}"));
    assert_eq!(client.ask("plugin info"), format!("error: {usage}"));
    assert_eq!(client.ask("plugin watch"), format!("error: {resp3}"));
    assert!(client.ask("plugin info nonsense").starts_with("error: "));
    assert_eq!(client.ask("ping"), "PONG");
}

#[test]
fn select_knows_one_database() {
    let host = Host::start(&[]);
    let mut client = Resp::connect(&host);
    assert_eq!(client.ask(&["SELECT", "0"]), Frame::ok());
    assert_eq!(client.ask(&["SELECT", "1"]), Frame::error("ERR DB index is out of range"));
    let not_integer = Frame::error("ERR value is not an integer or out of range");
    assert_eq!(client.ask(&["SELECT", "zero"]), not_integer);
}

#[test]
fn reset_makes_the_session_as_it_was() {
    let host = Host::start(&["store"]);
    let mut client = Resp::connect3(&host);
    client.ask(&["CLIENT", "SETNAME", "max"]);
    assert_eq!(client.ask(&["RESET"]), status("RESET"));
    assert_eq!(client.ask(&["CLIENT", "GETNAME"]), Frame::Null);
    assert!(matches!(client.ask(&["HELLO"]), Frame::List(_)), "it speaks RESP2 again");
    let mut lines = Lines::connect(&host);
    assert_eq!(lines.ask("reset"), "RESET");
    assert_eq!(lines.ask("ping"), "PONG");
}

#[test]
fn quit_and_close_reply_ok_and_end_session() {
    let host = Host::start(&[]);
    for word in ["quit", "close", "QUIT", "Close"] {
        let mut lines = Lines::connect(&host);
        lines.say(word);
        assert_eq!(lines.end(), ["OK"]);
        for mut client in [Resp::connect(&host), Resp::connect3(&host)] {
            client.say(&[word]);
            assert_eq!(client.end(), [Frame::ok()]);
        }
    }
}
