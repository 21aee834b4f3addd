//! Calls of a library in a worker process: they have the replies that they have in the host.

use dropin_tests::{Frame, Host, LIMIT, Lines, Resp, Setup, resp::encode, wait_until};

use super::*;

/// Returns two hosts with these plugins: in the host, and in worker processes.
#[track_caller]
fn both(plugins: &[&str]) -> [Host; 2] {
    [setup().plugins(plugins).start(), isolated(plugins)]
}

#[test]
fn every_kind_of_reply_is_the_same() {
    let hosts = both(&["facts", "panics"]);
    let requests: [&[&str]; 15] = [
        &["kinds"],
        &["deep", "0"],
        &["deep", "64"],
        &["deep", "65"],
        &["fail", "WRONGTYPE", "no such thing"],
        &["fail", "ERR", "a\r\n+b"],
        &["fail", "lower", "x"],
        &["fail", "", ""],
        &["panic"],
        &["panic", "on purpose"],
        &["panic.bomb"],
        &["panic.late"],
        &["reply.short"],
        &["reply.long"],
        &["reply.none"],
    ];
    for connect in [Resp::connect, Resp::connect3] {
        let replies = hosts.each_ref().map(|host| batch(&mut connect(host), &requests));
        for (number, words) in requests.iter().enumerate() {
            assert_eq!(replies[0][number], replies[1][number], "{words:?}");
        }
    }
    let lines = hosts.each_ref().map(|host| Lines::connect(host).ask_all("kinds"));
    assert_eq!(lines[0], lines[1]);
    assert_eq!(Lines::connect(&hosts[1]).ask("panic"), "error: 'panic' panicked: at the disco");
}

#[test]
fn process_outlives_a_panic() {
    let host = isolated(&["panics"]);
    let (before, mut client) = (pid(&host, "panics"), Lines::connect(&host));
    for _ in 0..100 {
        assert_eq!(client.ask("panic again"), "error: 'panic' panicked: again");
    }
    assert_eq!(pid(&host, "panics"), before);
    host.wait_for_log("ERROR panics: panic at ");
}

#[test]
fn arguments_and_replies_are_any_bytes() {
    let host = Setup::new().plugins(&["text", "store"]).flags(&["--isolate", "all"]).start();
    let mut client = Resp::connect(&host);
    let every_byte: Vec<u8> = (0..=255).collect();
    assert_eq!(client.ask(&[b"echo", &every_byte[..]]), Frame::text(&every_byte));
    assert_eq!(client.ask(&["echo", ""]), "".into());
    assert_eq!(client.ask(&[b"set", &every_byte[..], b"\r\n"]), Frame::ok());
    assert_eq!(client.ask(&[b"GET", &every_byte[..]]), "\r\n".into());
    for length in [4_095, 4_096, 4_097, 65_535, 65_536, 65_537, 1 << 20] {
        let value = vec![b'\n'; length];
        assert_eq!(client.ask(&[b"echo", &value[..]]), Frame::text(&value), "{length}");
    }
    let large = "x".repeat(1 << 20);
    assert_eq!(
        client.ask(&["echo", &large, &large, &large, &large]),
        Frame::text([&*large; 4].join(" "))
    );
    let many: Vec<String> = (0..1_000).map(|number| number.to_string()).collect();
    let words: Vec<&str> = ["echo"].into_iter().chain(many.iter().map(String::as_str)).collect();
    assert_eq!(client.ask(&words), Frame::text(many.join(" ")));
}

#[test]
fn isolate_all_isolates_every_library() {
    let host = Setup::new().plugins(&["text", "store"]).flags(&["--isolate", "all"]).start();
    for plugin in ["text", "store"] {
        assert_eq!(place(&host, plugin), "process", "{plugin}");
    }
    assert_ne!(pid(&host, "text"), pid(&host, "store"));
}

#[test]
fn pipeline_is_answered_in_order() {
    let host = isolated(&["store"]);
    let mut client = Resp::connect3(&host);
    let requests = (1..=2_000).flat_map(|_| [encode(&["incr", "n"]), encode(&["echo", "x"])]);
    client.send(requests.collect::<Vec<_>>().concat());
    for number in 1..=2_000 {
        assert_eq!(client.frame(), number.into());
        assert_eq!(client.frame(), "x".into());
    }
}

#[test]
fn calls_run_side_by_side() {
    const CALLS: usize = 20;
    let host = isolated(&["busy"]);
    let gate = host.state_dir().join("gate");
    let mut clients: Vec<_> = (0..CALLS).map(|_| Lines::connect(&host)).collect();
    clients.iter_mut().for_each(|client| client.say(&format!("hold '{}'", gate.display())));
    wait_until("all of them hold", LIMIT, || {
        host.log().matches("busy: holding for ").count() == CALLS
    });
    // A blocked worker holds up no other.
    assert_eq!(Lines::connect(&host).ask("linger 1"), "lingered");
    std::fs::write(&gate, "").unwrap();
    clients.iter_mut().for_each(|client| assert_eq!(client.line(), "held"));
}

#[test]
fn slow_reader_delays_no_other_client() {
    let host = isolated_setup(&["store"]).flags(&["--write-timeout", "600"]).start();
    let (mut reader, value) = (Resp::connect(&host), "x".repeat(900_000));
    assert_eq!(reader.ask(&["set", "key", &value]), Frame::ok());
    let before = host.figure("store", "calls");
    reader.send(encode(&["get", "key"]).repeat(64));
    wait_until("some are answered", LIMIT, || host.figure("store", "calls") > before);
    let mut other = Resp::connect(&host);
    for number in 1..100 {
        assert_eq!(other.ask(&["incr", "n"]), number.into());
    }
    (0..64).for_each(|_| assert_eq!(reader.frame(), Frame::text(&value)));
}

#[test]
fn worker_sees_session_and_arguments() {
    let host = isolated(&["facts", "server"]);
    let mut client = Resp::connect_to(host.v6());
    client.ask(&["HELLO", "3", "SETNAME", "sam"]);
    let id = client.ask(&["CLIENT", "ID"]);
    let facts = client.ask(&["Facts", "a b", ""]);
    let expected = Frame::Map(vec![
        ("command".into(), "Facts".into()),
        ("arguments".into(), Frame::texts(&["a b", ""])),
        ("peer".into(), client.local().to_string().as_str().into()),
        ("session".into(), id.clone()),
        ("name".into(), "sam".into()),
        ("host".into(), env!("CARGO_PKG_VERSION").into()),
        ("sessions".into(), 1.into()),
        ("plugins".into(), 3.into()),
        ("cancelled".into(), Frame::Boolean(false)),
    ]);
    assert_eq!(facts, expected);
    let known = client.ask(&["whoami"]);
    assert_eq!(known.get("id"), Some(&id));
    assert_eq!(known.get("port"), Some(&i64::from(client.local().port()).into()));
    assert_eq!(known.get("name"), Some(&"sam".into()));
    let clients = client.ask(&["clients"]);
    assert_eq!(clients.items().len(), 1, "{clients:?}");
    let names: Vec<_> = client.ask(&["plugins"]).items().iter().map(named).collect();
    assert_eq!(names, ["facts", "server", "text"]);
    let help = client.ask(&["help"]);
    for line in ["the host itself", "facts", "text"] {
        assert!(help.items().contains(&line.into()), "{help:?}");
    }
    assert_eq!(client.ask(&["version"]), env!("CARGO_PKG_VERSION").into());
}

fn named(plugin: &Frame) -> String {
    plugin.get("name").expect("it has a name").as_str().to_owned()
}

#[test]
fn log_lines_carry_name_and_level() {
    let host = isolated(&["facts"]);
    let mut client = Lines::connect(&host);
    for (level, shown) in
        [("error", "ERROR"), ("warn", "WARN "), ("info", "INFO "), ("debug", "DEBUG")]
    {
        assert_eq!(client.ask(&format!("say {level} 'the word at {level}'")), "OK");
        let line = host.wait_for_log(&format!("the word at {level}"));
        assert!(line.ends_with(&format!(" {shown} facts: the word at {level}")), "{line}");
    }
    assert_eq!(client.ask("say trace 'in a whisper'"), "OK");
    assert_eq!(client.ask("say info 'after it'"), "OK");
    host.wait_for_log("after it");
    assert_eq!(host.logged("in a whisper"), None);
}

#[test]
fn plugin_has_the_same_data_folder() {
    let host = isolated(&["facts"]);
    let mut client = Lines::connect(&host);
    let expected = host.own_dir().join("data").join("facts").join("note");
    assert_eq!(client.ask("note 'remember me'"), expected.display().to_string());
    assert_eq!(client.ask("note"), "remember me");
}

#[test]
fn reply_over_the_limit_is_an_error() {
    let setup = Setup::new().plugins(&["text"]).flags(&["--isolate", "all", "--max-reply", "1K"]);
    let host = setup.start();
    let (mut client, word) = (Resp::connect3(&host), "x".repeat(1025));
    let error = Frame::error("ERR reply larger than 1024 bytes (--max-reply)");
    assert_eq!(client.ask(&["echo", &word]), error);
    assert_eq!(client.ask(&["echo", &word[1..]]), Frame::text(&word[1..]));
}
