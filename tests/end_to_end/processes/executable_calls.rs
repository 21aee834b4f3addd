//! Calls of an executable that works as it should: everything that its protocol carries.

use dropin_tests::{Frame, Host, LIMIT, Lines, Resp, executable::Script, wait_until};

use super::*;

#[track_caller]
fn sound() -> Host {
    setup().executable("sound.py", Script::fixture("sound")).start()
}

#[test]
fn json_values_become_every_kind_of_reply() {
    let host = sound();
    let expected = |truths: [Frame; 2], map: Frame, float: fn(f64) -> Frame| {
        let [yes, no] = truths;
        Frame::List(vec![
            "text".into(),
            42.into(),
            (-1).into(),
            i64::MAX.into(),
            i64::MIN.into(),
            float(9_223_372_036_854_775_808.0),
            float(0.25),
            float(1e300),
            yes,
            no,
            Frame::Null,
            Frame::List(vec![1.into(), Frame::List(vec![2.into()])]),
            map,
        ])
    };
    let map = Frame::Map(vec![("one".into(), 1.into()), ("none".into(), Frame::Null)]);
    let truths = [Frame::Boolean(true), Frame::Boolean(false)];
    let reply = Resp::connect3(&host).ask(&["sound.kinds"]);
    assert_eq!(reply, expected(truths, map, Frame::Float));
    let reply = Resp::connect(&host).ask(&["sound.kinds"]);
    let [.., yes, no, null, _, map] = reply.items() else { panic!("{reply:?}") };
    let flat = Frame::List(vec!["one".into(), 1.into(), "none".into(), Frame::Null]);
    assert_eq!([yes, no, null, map], [&1.into(), &0.into(), &Frame::Null, &flat]);
    assert_eq!(Lines::connect(&host).ask("sound.version"), "1");
}

#[test]
fn arguments_and_replies_are_any_bytes() {
    let host = sound();
    let mut client = Resp::connect(&host);
    let every_byte: Vec<u8> = (0..=255).collect();
    for value in [&every_byte[..], b"", b"plain", "æ\u{1f600}\"\\\n\0".as_bytes()] {
        assert_eq!(client.ask(&[b"sound.echo", value]), Frame::text(value), "{value:?}");
    }
    let large = vec![b'\n'; 1 << 20];
    assert_eq!(client.ask(&[b"sound.echo", &large[..]]), Frame::text(&large));
    let texts = client.ask(&["sound.arguments", "a b", "", "\"quoted\"\n"]);
    assert_eq!(texts, Frame::texts(&["a b", "", "\"quoted\"\n"]));
    // Bytes that are no text come as a map.
    let mut client = Resp::connect3(&host);
    let map = Frame::Map(vec![("base64".into(), "/w==".into())]);
    assert_eq!(client.ask(&[b"sound.arguments", &b"\xff"[..]]), Frame::List(vec![map]));
}

#[test]
fn errors_have_a_kind_and_a_text() {
    let host = sound();
    let mut client = Resp::connect(&host);
    let long = "K".repeat(33);
    for (kind, error) in [
        ("WRONGTYPE", "WRONGTYPE no such person"),
        ("A_1", "A_1 no such person"),
        (&long[1..], &*format!("{} no such person", &long[1..])),
        (&long, "ERR no such person"),
        ("lower", "ERR no such person"),
        ("TWO WORDS", "ERR no such person"),
        ("", "ERR no such person"),
    ] {
        let reply = client.ask(&["sound.fail", kind, "no such person"]);
        assert_eq!(reply, Frame::error(error), "{kind:?}");
    }
    assert_eq!(client.ask(&["sound.fail", "ERR", "a\r\n+b"]), Frame::error("ERR a  +b"));
    let usage =
        "ERR wrong number of arguments for 'sound.fail' command, usage: sound.fail KIND TEXT";
    assert_eq!(client.ask(&["sound.fail"]), Frame::error(usage));
}

#[test]
fn worker_sees_session_and_environment() {
    let host = sound();
    let mut client = Resp::connect3(&host);
    client.ask(&["CLIENT", "SETNAME", "sam"]);
    let id = client.ask(&["CLIENT", "ID"]);
    let session = client.ask(&["sound.session"]);
    assert_eq!(session.get("id"), Some(&id));
    assert_eq!(session.get("peer"), Some(&client.local().to_string().as_str().into()));
    assert_eq!(session.get("name"), Some(&"sam".into()));
    let folder = host.own_dir().join("data").join("sound");
    let folder = folder.to_str().unwrap();
    assert_eq!(client.ask(&["sound.folder"]), folder.into());
    let plugins = host.plugins_folder();
    let plugins = plugins.to_str().unwrap();
    for (name, value) in
        [("DROPIN_DATA_DIR", folder), ("DROPIN_PLUGINS_DIR", plugins), ("DROPIN_PLUGIN", "sound")]
    {
        assert_eq!(client.ask(&["sound.environment", name]), value.into(), "{name}");
    }
    for name in ["PYTHONPATH", "NODE_PATH"] {
        let value = client.ask(&["sound.environment", name]);
        assert!(value.as_str().split(':').next() == Some(plugins), "{name}: {value:?}");
    }
}

#[test]
fn helper_module_beside_the_worker_is_found() {
    let worker = "#!/usr/bin/env python3\nimport greetings\ngreetings.serve()\n";
    let module = concat!(
        "import json, sys\n",
        "def serve():\n",
        "    for line in sys.stdin:\n",
        "        message = json.loads(line)\n",
        "        hello = {'dropin': 1, 'name': 'greet', 'commands': [{'name': 'greet'}]}\n",
        "        answer = hello if 'dropin' in message else {'id': message['id'], 'ok': 'hello'}\n",
        "        print(json.dumps(answer), flush=True)\n",
    );
    let setup = setup().file("greetings.py", module.as_bytes()).executable("greet.py", worker);
    let host = setup.start();
    host.wait_for_answer("greet", "hello");
    let info = host.info("greet");
    assert_eq!(info.get("version"), Some(&"0".into()), "the default");
    assert_eq!(info.get("file"), Some(&"greet.py".into()));
}

#[test]
fn progress_is_pushed_and_cancellation_arrives() {
    let host = sound();
    let mut client = Resp::connect3(&host);
    client.say(&["sound.step", "1000"]);
    let mut pushes = Vec::new();
    let reply = loop {
        match client.frame() {
            Frame::Push(items) => pushes.push(items),
            reply => break reply,
        }
    };
    assert_eq!(reply, 1_000.into());
    let push = |done: i64| vec!["progress".into(), done.into(), 1_000.into(), "steps".into()];
    // Reports that follow each other too fast are left out, but not the last one.
    assert_eq!(pushes.last(), Some(&push(1_000)));
    assert_eq!(Resp::connect(&host).ask(&["sound.step", "5"]), 5.into());
    let id = client.ask(&["CLIENT", "ID"]).as_integer().to_string();
    client.say(&["sound.linger"]);
    host.wait_for_log("sound: lingering");
    assert_eq!(Lines::connect(&host).ask(&format!("client cancel {id}")), "1");
    assert_eq!(client.frame(), Frame::error("CANCELLED lingered no longer"));
    assert_eq!(client.ask(&["sound.version"]), "1".into());
}

#[test]
fn call_of_gone_client_is_cancelled() {
    let host = sound();
    let lines = |text: &str| host.log().matches(&format!("sound: {text}")).count();
    for number in 1..=2 {
        let mut client = Resp::connect(&host);
        client.say(&["sound.linger"]);
        wait_until("it lingers", LIMIT, || lines("lingering") == number);
        if number == 1 {
            drop(client);
        } else {
            client.into_connection().reset();
        }
        wait_until("it is cancelled", LIMIT, || lines("cancelled") == number);
    }
}

#[test]
fn log_lines_carry_name_and_level() {
    let host = sound();
    let mut client = Lines::connect(&host);
    for (level, shown) in [
        ("error", "ERROR"),
        ("warn", "WARN "),
        ("info", "INFO "),
        ("debug", "DEBUG"),
        ("stderr", "WARN "),
    ] {
        assert_eq!(client.ask(&format!("sound.say {level} 'the word at {level}'")), "said");
        let line = host.wait_for_log(&format!("the word at {level}"));
        assert!(line.ends_with(&format!(" {shown} sound: the word at {level}")), "{line}");
    }
    assert_eq!(client.ask("sound.say trace 'in a whisper'"), "said");
    assert_eq!(client.ask("sound.say info 'after it'"), "said");
    host.wait_for_log("after it");
    assert_eq!(host.logged("in a whisper"), None);
    // A level that is unknown is an error of the worker only.
    assert_eq!(client.ask("sound.say loud 'never mind'"), "said");
    assert_eq!(client.ask("sound.version"), "1");
}

#[test]
fn concurrency_limits_the_calls_at_once() {
    for (concurrency, at_once) in [(1, 1), (2, 2), (8, 4)] {
        let script = Script::fixture("sound").set("CONCURRENCY", concurrency);
        let host = setup().executable("sound.py", script).start();
        let gate = host.state_dir().join("gate");
        let mut clients: Vec<_> = (0..4).map(|_| Lines::connect(&host)).collect();
        let hold = format!("sound.hold '{}'", gate.display());
        clients.iter_mut().for_each(|client| client.say(&hold));
        let held = || host.log().matches("sound: holding 1").count();
        wait_until("the first calls hold", LIMIT, || held() == at_once);
        assert_eq!(Lines::connect(&host).ask("echo fine"), "fine");
        assert_eq!(held(), at_once, "at a concurrency of {concurrency}");
        std::fs::write(&gate, "").unwrap();
        clients.iter_mut().for_each(|client| assert_eq!(client.line(), "1"));
    }
}

#[test]
fn pipeline_is_answered_in_order() {
    let host = sound();
    let mut client = Resp::connect(&host);
    let requests: Vec<_> = (0..500).map(|_| ["sound.count"]).collect();
    let requests: Vec<&[&str]> = requests.iter().map(|words| &words[..]).collect();
    let replies = batch(&mut client, &requests);
    for (number, reply) in (1..).zip(replies) {
        assert_eq!(reply, number.into());
    }
}

#[test]
fn info_and_help_know_its_commands() {
    let host =
        setup().plugins(&["server"]).executable("sound.py", Script::fixture("sound")).start();
    let info = host.info("sound");
    for (key, value) in
        [("name", "sound"), ("version", "1"), ("file", "sound.py"), ("status", "serving")]
    {
        assert_eq!(info.get(key), Some(&value.into()), "{key}");
    }
    let commands = info.get("commands").unwrap().items();
    assert!(commands.contains(&"sound.echo".into()), "{commands:?}");
    let explained = Resp::connect3(&host).ask(&["help", "sound.echo"]);
    assert_eq!(explained.get("usage"), Some(&"sound.echo BYTES".into()));
    assert_eq!(explained.get("help"), Some(&"Replies its argument.".into()));
    assert_eq!(explained.get("plugin"), Some(&"sound".into()));
}
