//! Tests of the parser of messages.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::json;

use super::{BadLine, Hello, Json, Message, WorkerAnswer, parse, start_id};
use crate::live::manifest::CommandFacts;

fn facts(name: &str, usage: &str, help: &str) -> CommandFacts {
    let (name, usage, help) = (name.into(), usage.into(), help.into());
    CommandFacts { name, usage, help, ..CommandFacts::default() }
}

fn bad(line: impl AsRef<[u8]>) -> BadLine {
    match parse(line.as_ref()) {
        Err(bad) => bad,
        Ok(message) => panic!("it is a message: {message:?}"),
    }
}

/// Returns the answer in a line with the number 7.
fn answer(line: &str) -> WorkerAnswer {
    match parse(line.as_bytes()) {
        Ok(Message::Answer { id: 7, answer }) => answer,
        other => panic!("{other:?}"),
    }
}

fn value(text: &str) -> WorkerAnswer {
    WorkerAnswer::Value(Json::parse(text.as_bytes()).unwrap())
}

fn error(kind: &str, message: &str) -> WorkerAnswer {
    WorkerAnswer::Error { kind: kind.into(), message: message.into() }
}

#[test]
fn hello_describes_the_plugin() {
    let line = r#"{"dropin":1,"name":"greet","version":"1.0","concurrency":8,
        "features":["later","state"],"commands":[{"name":"greet","usage":"[WHO]",
        "help":"A greeting.","writes":true,"later":{}}],"later":[]}"#;
    let expected = Hello {
        name: "greet".into(),
        version: "1.0".into(),
        concurrency: 8,
        has_state: true,
        commands: vec![CommandFacts { writes: true, ..facts("greet", "[WHO]", "A greeting.") }],
    };
    assert_eq!(parse(line.as_bytes()), Ok(Message::Hello(expected.clone())));
    let manifest = expected.manifest();
    assert_eq!((manifest.name.as_str(), manifest.version.as_str()), ("greet", "1.0"));
    assert_eq!(manifest.api_version, "lines 1");
    assert_eq!(manifest.commands, expected.commands);
    assert_eq!(manifest.check(), Ok(()));
}

#[test]
fn hello_has_defaults() {
    let line = br#"{"commands":[{"name":"a"}],"name":"a","dropin":1}"#;
    let expected = Hello {
        name: "a".into(),
        version: "0".into(),
        concurrency: 1,
        has_state: false,
        commands: vec![facts("a", "", "")],
    };
    assert_eq!(parse(line), Ok(Message::Hello(expected)));
}

#[test]
fn wrong_hello_is_refused() {
    for (fields, said) in [
        (r#""dropin":2,"name":"a","commands":[]"#, "another version of the protocol than 1"),
        (r#""dropin":"1","name":"a","commands":[]"#, "its 'dropin': invalid type"),
        (r#""dropin":1,"commands":[]"#, "it has no 'name'"),
        (r#""dropin":1,"name":null,"commands":[]"#, "its 'name': invalid type: null"),
        (r#""dropin":1,"name":"a""#, "it has no 'commands'"),
        (r#""dropin":1,"name":"a","commands":{}"#, "its 'commands': invalid type: map"),
        (r#""dropin":1,"name":"a","commands":[{}]"#, "its 'commands': missing field `name`"),
        (r#""dropin":1,"name":"a","commands":[],"concurrency":0"#, "'concurrency' 0 is not 1 to"),
        (r#""dropin":1,"name":"a","commands":[],"concurrency":1025"#, "1025 is not 1 to 1024"),
        (r#""dropin":1,"name":"a","commands":[],"concurrency":-1"#, "its 'concurrency'"),
        (r#""dropin":1,"name":"a","commands":[],"features":"state""#, "its 'features'"),
        (r#""dropin":1,"name":"a","name":"b","commands":[]"#, "duplicate field `name`"),
    ] {
        let found = bad(format!("{{{fields}}}"));
        assert_eq!(found.id, None);
        assert!(found.problem.contains(said), "{}", found.problem);
    }
}

#[test]
fn commands_may_declare_attributes() {
    let line = br#"{"commands":[{"name":"set","writes":true,"idempotent":true},
        {"name":"incr","writes":true,"idempotent":false},{"name":"get","later":true}]}"#;
    let expected = [
        CommandFacts { writes: true, idempotent: true, ..facts("set", "", "") },
        CommandFacts { writes: true, ..facts("incr", "", "") },
        facts("get", "", ""),
    ];
    assert_eq!(parse(line), Ok(Message::Commands(expected.to_vec())));
    for attribute in ["writes", "idempotent"] {
        let problem = bad(format!(r#"{{"commands":[{{"name":"a","{attribute}":1}}]}}"#)).problem;
        assert!(problem.contains("its 'commands': invalid type: integer `1`"), "{problem}");
    }
}

#[test]
fn number_of_commands_is_limited() {
    let line = |count: usize| {
        let commands = vec![r#"{"name":"a"}"#; count].join(",");
        format!(r#"{{"commands":[{commands}]}}"#)
    };
    let Ok(Message::Commands(commands)) = parse(line(10_000).as_bytes()) else {
        panic!("it is a list of commands");
    };
    assert_eq!(commands.len(), 10_000);
    for count in [10_001, 1_000_000] {
        let problem = bad(line(count)).problem;
        assert!(problem.contains("a list of at most 10000 items"), "{problem}");
    }
}

#[test]
fn answers_are_values_bytes_or_errors() {
    assert_eq!(answer(r#"{"id":7,"ok":"hello, Ada"}"#), value(r#""hello, Ada""#));
    assert_eq!(answer(r#"{"id":7,"ok":null}"#), value("null"));
    assert_eq!(answer("\u{feff} {\"ok\" : {\"b\": 1, \"a\": []} , \"id\" : 7}\r"), {
        value(r#"{"b": 1, "a": []}"#)
    });
    assert_eq!(answer(r#"{"id":7,"bytes":"AP8="}"#), WorkerAnswer::Bytes(vec![0, 255]));
    assert_eq!(answer(r#"{"id":7,"bytes":""}"#), WorkerAnswer::Bytes(vec![]));
    assert_eq!(answer(r#"{"id":7,"error":"no such person"}"#), error("ERR", "no such person"));
    assert_eq!(answer(r#"{"id":7,"error":"","kind":"A_9"}"#), error("A_9", ""));
}

#[test]
fn illegal_kind_becomes_err() {
    let (longest, longer) = ("K".repeat(32), "K".repeat(33));
    for (kind, expected) in [
        (json!("NOTFOUND"), "NOTFOUND"),
        (json!(longest), &longest[..]),
        (json!(longer), "ERR"),
        (json!(""), "ERR"),
        (json!("lower"), "ERR"),
        (json!("A B"), "ERR"),
        (json!("A\r\n+OK"), "ERR"),
        (json!("\u{c4}"), "ERR"),
        (json!(null), "ERR"),
        (json!(5), "ERR"),
    ] {
        let line = json!({"id": 7, "error": "x", "kind": kind}).to_string();
        assert_eq!(answer(&line), error(expected, "x"), "{line}");
    }
}

#[test]
fn progress_may_have_no_text() {
    let progress =
        |done, total, text: &str| Ok(Message::Progress { id: 7, done, total, text: text.into() });
    let line = br#"{"id":7,"progress":[1,10,"looking up"]}"#;
    assert_eq!(parse(line), progress(1, 10, "looking up"));
    assert_eq!(parse(br#"{"id":7,"progress":[3,0]}"#), progress(3, 0, ""));
    for wrong in ["[]", "[1]", "[1,2,3]", "[-1,2]", "[1.5,2]", r#"[1,2,"",4]"#, "{}", "1"] {
        let found = bad(format!(r#"{{"id":7,"progress":{wrong}}}"#));
        assert_eq!(found.id, Some(7));
        assert!(found.problem.starts_with("its 'progress': "), "{}", found.problem);
    }
}

#[test]
fn log_line_has_a_level_and_text() {
    for level in log::Level::iter() {
        let line = json!({"log": level.as_str().to_lowercase(), "text": "x"}).to_string();
        assert_eq!(parse(line.as_bytes()), Ok(Message::Log { level, text: "x".into() }));
    }
    assert!(bad(r#"{"log":"loud","text":"x"}"#).problem.contains("none of error, warn"));
    assert!(bad(r#"{"log":"info"}"#).problem.contains("no 'text'"));
}

#[test]
fn ambiguous_answer_is_refused() {
    for fields in [
        "",
        r#","kind":"ERR""#,
        r#","ok":1,"error":"x""#,
        r#","ok":null,"bytes":"""#,
        r#","bytes":"","error":null"#,
        r#","ok":1,"progress":[1,2]"#,
    ] {
        let found = bad(format!(r#"{{"id":7{fields}}}"#));
        assert_eq!(found.id, Some(7));
        assert!(found.problem.contains("not exactly one of"), "{}", found.problem);
    }
    for fields in [r#""id":7,"ok":1,"ok":2"#, r#""id":7,"id":8,"ok":2"#, r#""id":7,"\u0069d":8"#] {
        let found = bad(format!("{{{fields}}}"));
        assert_eq!(found.id, Some(7));
        assert!(found.problem.contains("duplicate field"), "{}", found.problem);
    }
}

#[test]
fn line_that_is_no_message_is_refused() {
    let lone = "the worker's\u{1b}[2J own \"text\"";
    for line in [
        "",
        "x",
        "null",
        "7",
        "[]",
        "{",
        "{}",
        "{}}",
        "{} {}",
        "{'id':7}",
        r#"["id",7]"#,
        r#"[1,7,"ok"]"#,
        r#"[1,0,0,0,0,0,0,0,0,[],"a","1",1,[]]"#,
        lone,
        r#"{"later":1}"#,
        r#"{"log":5,"text":""}"#,
        "\u{feff}",
        "\0",
        "{\"log\":\"info\",\"text\":\"a\0b\"}",
        r#"{"log":"info","text":"\ud800"}"#,
    ] {
        let found = bad(line);
        assert_eq!(found.id, None, "{line:?}");
        assert!(!found.problem.is_empty() && !found.to_string().contains(char::is_control));
    }
    let long = bad(json!({"log": 1, "text": "", "log2": "x".repeat(1 << 20)}).to_string());
    assert!(long.problem.len() < 4000);
    let long = bad(json!({"id": 7, "progress": "\u{1b}".repeat(1 << 20)}).to_string());
    assert!(long.problem.len() < 4000 && !long.problem.contains(char::is_control));
}

#[test]
fn malformed_answer_keeps_its_number() {
    for line in [
        &b"{\"id\":7,"[..],
        b"{\"id\":7",
        b" {\t\"id\" : 7 , nonsense",
        b"\xef\xbb\xbf{\"id\":7,\"ok\":tru}",
        b"{\"id\":7,\"ok\":\"\xff\"}",
        b"{\"id\":7,\"ok\":\"\0\"}",
        b"{\"id\":7,\"ok\":[1,]}",
        b"{\"id\":7,\"ok\":01}",
        b"{\"id\":7,\"ok\":NaN}",
        b"{\"id\":7,\"bytes\":\"AP8\"}",
        b"{\"id\":7,\"bytes\":\"AP-_\"}",
        b"{\"id\":7,\"bytes\":5}",
        b"{\"id\":7,\"error\":5}",
        b"{\"id\":7,\"error\":\"\\ud800\"}",
        b"{\"id\":7}\xff",
        b"{\"later\":0,\"error\":5,\"id\":7}",
        b"{\"id\":7,\"dropin\":1}",
    ] {
        assert_eq!(bad(line).id, Some(7), "{}", line.escape_ascii());
    }
    for id in ["-7", "7.0", "7e0", "\"7\"", "null", "[7]", "18446744073709551616", "-0", "true"] {
        let found = bad(format!(r#"{{"id":{id},"ok":1}}"#));
        assert_eq!(found.id, None, "{id}");
        assert!(found.problem.starts_with("its 'id': "), "{}", found.problem);
    }
    let greatest = r#"{"id":18446744073709551615,"ok":1}"#;
    assert!(matches!(parse(greatest.as_bytes()), Ok(Message::Answer { id: u64::MAX, .. })));
}

#[test]
fn cut_number_is_not_taken() {
    assert_eq!(start_id(b"{\"id\":71,\"ok\":\"xxxxx"), Some(71));
    assert_eq!(start_id(b"{\"id\":71"), None);
    assert_eq!(start_id(b"{\"id\":"), None);
    assert_eq!(start_id(b"{\"ok\":1,\"id\":7,"), None);
    assert_eq!(start_id(&[b"{\"id\":".to_vec(), vec![b'1'; 250]].concat()), None);
}

#[test]
fn deep_nesting_takes_no_stack_and_little_time() {
    let start = Instant::now();
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        for line in
            [format!(r#"{{"id":7,"ok":{deep}}}"#), format!(r#"{{"later":{deep},"id":7,"ok":1}}"#)]
        {
            assert!(matches!(parse(line.as_bytes()), Ok(Message::Answer { id: 7, .. })));
        }
        for field in ["id", "bytes", "error", "progress", "dropin", "log", "commands"] {
            bad(format!(r#"{{"{field}":{deep}}}"#));
            bad(format!(r#"{{"id":7,"{field}":{deep}}}"#));
        }
        bad(format!(r#"{{"id":7,"ok":{}"#, open.repeat(1_000_000)));
    }
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}

/// Returns lines that are messages, or are nearly messages.
fn nearly_messages() -> impl Strategy<Value = Vec<u8>> {
    let parts = proptest::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "\\u",
        "d800",
        "\"id\":7",
        "\"id\"",
        "\"ok\":",
        "\"bytes\":",
        "\"AP8=\"",
        "\"error\":",
        "\"kind\":",
        "\"progress\":[1,2,\"\"]",
        "\"log\":",
        "\"info\"",
        "\"text\":",
        "\"dropin\":1",
        "\"name\":\"a\"",
        "\"commands\":[",
        "null",
        "1e999",
        "-0",
        "7",
        " ",
        "\t",
        "\0",
        "true",
        "\"state\"",
        "\"features\":[",
        "\"concurrency\":3",
    ]);
    let part = prop_oneof![
        20 => parts.prop_map(|part| part.as_bytes().to_vec()),
        1 => any::<Vec<u8>>(),
    ];
    proptest::collection::vec(part, 0..20).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_line_is_a_message_or_refused(
        line in nearly_messages(),
        wrapped in any::<bool>(),
    ) {
        let line = if wrapped { [b"{\"id\":7,", &line[..], b"}"].concat() } else { line };
        if let Err(bad) = parse(&line) {
            prop_assert!(!bad.problem.contains(char::is_control));
            let has_id = line.starts_with(b"{\"id\":7,");
            prop_assert!(!has_id || bad.id == Some(7));
        }
    }
}
