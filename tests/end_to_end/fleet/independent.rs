//! Clients of NATS services that others wrote: they find the hosts, and call commands.

use std::{collections::BTreeMap, path::PathBuf, process::Command};

use dropin_tests::{Lines, nats::Nats, tool};

use super::{member, pair, wait_for_hosts};

/// The folder of the scripts.
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/end_to_end/fleet");

/// An answer: values by their paths, such as `endpoints.echo.num_requests`.
type Answer = BTreeMap<String, String>;

/// Runs a script to its end, and returns the answers that it prints.
#[track_caller]
fn run(program: &str, script: &str, arguments: &[&str]) -> Vec<Answer> {
    let clients = PathBuf::from(env!("REDIS_CLIENTS"));
    let mut command = Command::new(program);
    command.current_dir(SCRIPTS).arg(script).args(arguments);
    command.env("PYTHONPATH", clients.join("python"));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command.env("NODE_PATH", clients.join("node_modules"));
    let (status, said) = tool::Running::start(&mut command).end();
    assert!(status.success(), "{status}: {said}");
    let answers = said.split("\n\n").filter(|answer| !answer.is_empty());
    let pair = |line: &str| {
        let (path, value) = line.split_once(' ').unwrap_or((line, ""));
        (path.to_owned(), value.to_owned())
    };
    answers.map(|answer| answer.lines().map(pair).collect()).collect()
}

/// Runs the script for `nats-py`.
#[track_caller]
fn python(nats: &Nats, action: &str, subject: &str, rest: &[&str]) -> Vec<Answer> {
    run("python3", "nats_client.py", &[&[&nats.url(), action, subject], rest].concat())
}

/// Returns the answer of the host of this name.
#[track_caller]
fn of<'a>(answers: &'a [Answer], host: &str) -> &'a Answer {
    let found =
        answers.iter().find(|answer| answer.get("metadata.host").is_some_and(|h| h == host));
    found.unwrap_or_else(|| panic!("no '{host}' in {answers:?}"))
}

/// Checks values of an answer.
#[track_caller]
fn expect(answer: &Answer, values: &[(&str, &str)]) {
    for (path, value) in values {
        assert_eq!(answer.get(*path).map(String::as_str), Some(*value), "{path} in {answer:?}");
    }
}

#[test]
#[cfg_attr(
    not(all(tool = "nats-server", library = "nats-py")),
    ignore = "needs nats-server and nats-py"
)]
fn nats_py_calls_commands() {
    let nats = Nats::start();
    let (a, b) = pair(&nats, &["store", "text", "facts"], "set");
    let call = |command: &str, payloads: &[&str]| {
        python(&nats, "call", &format!("dropin.default.call.{command}"), payloads)
    };
    let replies = call("echo", &["hello", "two words", "'two words'", "\"a\\n\" æ"]);
    let texts: Vec<_> = replies.iter().map(|answer| answer["reply"].as_str()).collect();
    assert_eq!(texts[..3], ["hello", "two words", "two words"]);
    assert!(replies.iter().all(|answer| !answer.contains_key("Nats-Service-Error")));
    expect(&call("set", &["key 'its value'"])[0], &[("reply", "OK")]);
    assert_eq!(Lines::connect(&b).ask("get key"), "its value");
    expect(&call("get", &["key"])[0], &[("reply", "its value")]);
    // An error has the headers of the service protocol.
    for (command, payload, start) in [
        ("fail", "WRONGTYPE 'no such person'", "WRONGTYPE no such person"),
        ("get", "", "wrong number of arguments for 'get' command"),
        ("get", "'open", ""),
        ("get", "key\nset key other", ""),
    ] {
        let answer = &call(command, &[payload])[0];
        let error = answer.get("Nats-Service-Error").unwrap_or_else(|| panic!("{answer:?}"));
        assert!(error.contains(start), "{command} {payload:?}: {error}");
        expect(answer, &[("Nats-Service-Error-Code", "500")]);
    }
    expect(&call("get", &["key"])[0], &[("reply", "its value")]);
    assert_eq!(Lines::connect(&a).ask("get key"), "its value");
}

#[test]
#[cfg_attr(
    not(all(tool = "nats-server", library = "nats-py")),
    ignore = "needs nats-server and nats-py"
)]
fn built_in_commands_cannot_be_called() {
    let nats = Nats::start();
    let (a, b) = pair(&nats, &["text"], "echo");
    for command in ["ks", "plugin", "stats", "client", "fleet", "info"] {
        let answers = python(&nats, "call", &format!("dropin.default.call.{command}"), &[""]);
        expect(&answers[0], &[("no-responders", "yes")]);
    }
    // Neither by way of a command that can be called.
    let answers = python(&nats, "call", "dropin.default.call.echo", &["x\nks", "'x'\r\nks\r\n"]);
    assert_eq!(answers.len(), 2);
    // A command of another host is not offered a second time.
    let answers = python(&nats, "ask", "$SRV.INFO.dropin", &["2"]);
    assert!(of(&answers, "b").contains_key("endpoints.echo.subject"));
    assert!(!of(&answers, "a").contains_key("endpoints.echo.subject"));
    for host in [&a, &b] {
        assert_eq!(Lines::connect(host).ask("echo text"), "text");
    }
}

#[test]
#[cfg_attr(
    not(all(tool = "nats-server", library = "nats-py")),
    ignore = "needs nats-server and nats-py"
)]
fn nats_py_discovers_hosts() {
    let nats = Nats::start();
    let a = member(&nats, "a", &["clock"]).start();
    let b = member(&nats, "b", &["text", "facts"]).start();
    wait_for_hosts(&a, "echo", 1);
    wait_for_hosts(&b, "sleep", 1);
    for verb in ["PING", "INFO", "STATS"] {
        let kind = format!("io.nats.micro.v1.{}_response", verb.to_lowercase());
        for subject in [format!("$SRV.{verb}"), format!("$SRV.{verb}.dropin")] {
            let answers = python(&nats, "ask", &subject, &["2"]);
            for host in ["a", "b"] {
                let answer = of(&answers, host);
                expect(
                    answer,
                    &[("type", &kind), ("name", "dropin"), ("metadata.fleet", "default")],
                );
                let one =
                    python(&nats, "ask", &format!("$SRV.{verb}.dropin.{}", answer["id"]), &["1"]);
                assert_eq!(of(&one, host)["id"], answer["id"]);
            }
        }
    }
    let answers = python(&nats, "ask", "$SRV.INFO.dropin", &["2"]);
    expect(
        of(&answers, "b"),
        &[
            ("endpoints.echo.subject", "dropin.default.call.echo"),
            ("endpoints.echo.queue_group", "hosts"),
            ("endpoints.echo.metadata.plugin", "text"),
            ("endpoints.echo.metadata.usage", "TEXT.."),
        ],
    );
    // The counters grow, whoever calls.
    python(&nats, "call", "dropin.default.call.echo", &["one", "two"]);
    Lines::connect(&a).ask("echo three");
    python(&nats, "call", "dropin.default.call.fail", &["KIND text"]);
    let answers = python(&nats, "ask", "$SRV.STATS.dropin", &["2"]);
    let stats = of(&answers, "b");
    expect(
        stats,
        &[
            ("endpoints.echo.num_requests", "3"),
            ("endpoints.echo.num_errors", "0"),
            ("endpoints.fail.num_requests", "1"),
            ("endpoints.fail.num_errors", "1"),
            ("endpoints.upper.num_requests", "0"),
        ],
    );
    let number = |path: &str| stats[path].parse::<u64>().unwrap();
    let total = number("endpoints.echo.processing_time");
    assert!(
        total > 0 && number("endpoints.echo.average_processing_time") == total / 3,
        "{stats:?}"
    );
    assert!(stats["endpoints.fail.last_error"].contains("KIND text"), "{stats:?}");
}

#[test]
#[cfg_attr(
    not(all(tool = "nats-server", library = "nats-js")),
    ignore = "needs nats-server and @nats-io/services"
)]
fn nats_io_services_discovers_hosts() {
    let nats = Nats::start();
    let a = member(&nats, "a", &["clock"]).start();
    let _b = member(&nats, "b", &["text"]).start();
    wait_for_hosts(&a, "echo", 1);
    let arguments = [&nats.url(), "dropin", "dropin.default.call.echo", "'two words'", "2"];
    let answers = run("node", "nats_client.js", &arguments);
    let (replies, answers): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer.contains_key("reply"));
    assert_eq!(replies.len(), 1, "{replies:?}");
    expect(&replies[0], &[("reply", "two words")]);
    assert_eq!(answers.len(), 6, "{answers:?}");
    for (verb, answers) in ["ping", "info", "stats"].iter().zip(answers.chunks(2)) {
        for host in ["a", "b"] {
            expect(of(answers, host), &[("type", &format!("io.nats.micro.v1.{verb}_response"))]);
        }
    }
    expect(of(&answers[2..4], "b"), &[("endpoints.echo.subject", "dropin.default.call.echo")]);
    expect(of(&answers[4..], "b"), &[("endpoints.echo.num_requests", "1")]);
}
