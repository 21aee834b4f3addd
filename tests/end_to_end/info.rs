//! `INFO`: facts and counters of the host in the form of Redis.

use std::collections::HashMap;

use dropin_tests::{Frame, Host, Lines, Resp};

/// The sections of `INFO` with these arguments, in order, each with its fields.
#[track_caller]
pub fn info(client: &mut Resp, sections: &[&str]) -> Vec<(String, HashMap<String, String>)> {
    let reply = client.ask(&[&["INFO"], sections].concat());
    let text = reply.as_str();
    assert!(text.is_empty() || text.ends_with("\r\n"), "{text:?}");
    assert_eq!(text.matches('\n').count(), text.matches("\r\n").count(), "{text:?}");
    let sections = text.split("\r\n\r\n").filter(|section| !section.is_empty());
    let split = |section: &str| {
        let (title, lines) = section.split_once("\r\n").unwrap_or((section, ""));
        let fields = lines.lines().map(|line| {
            let (name, value) = line.split_once(':').expect("a name and a value");
            (name.to_owned(), value.to_owned())
        });
        (title.strip_prefix("# ").expect("a title").to_owned(), fields.collect())
    };
    sections.map(split).collect()
}

fn titles(client: &mut Resp, sections: &[&str]) -> Vec<String> {
    info(client, sections).into_iter().map(|(title, _)| title).collect()
}

#[test]
fn info_tells_facts_as_redis_does() {
    let host = Host::start(&["text"]);
    let mut client = Resp::connect(&host);
    let _ = client.ask(&["echo", "x"]);
    let told: HashMap<_, _> = info(&mut client, &[]).into_iter().collect();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(told["Server"]["redis_version"], version);
    assert_eq!(client.ask(&["HELLO"]).get("version"), Some(&version.into()));
    assert_eq!(told["Server"]["redis_mode"], "standalone");
    assert_eq!(told["Server"]["tcp_port"], host.port().to_string());
    assert_eq!(told["Server"]["process_id"], host.pid().to_string());
    assert!(told["Server"]["uptime_in_seconds"].parse::<u64>().is_ok());
    assert_eq!(told["Clients"]["connected_clients"], "1");
    assert_eq!(told["Persistence"]["loading"], "0");
    assert_eq!(told["Stats"]["total_commands_processed"], "1");
    assert!(told["Stats"]["total_connections_received"].parse::<u64>().unwrap() >= 1);
    assert_eq!(told["Replication"]["role"], "master");
    assert!(told["Keyspace"].is_empty());
}

#[test]
fn info_shows_the_sections_that_are_named() {
    let host = Host::start(&[]);
    let default = ["Server", "Clients", "Persistence", "Stats", "Replication", "Keyspace"];
    let mut all = default.to_vec();
    all.insert(5, "Commandstats");
    for mut client in [Resp::connect(&host), Resp::connect3(&host)] {
        assert_eq!(titles(&mut client, &[]), default);
        assert_eq!(titles(&mut client, &["default"]), default);
        assert_eq!(titles(&mut client, &["ALL"]), all);
        assert_eq!(titles(&mut client, &["everything"]), all);
        assert_eq!(titles(&mut client, &["default", "commandstats"]), all);
        assert_eq!(titles(&mut client, &["sTaTs", "server", "stats"]), ["Server", "Stats"]);
        assert_eq!(titles(&mut client, &["nonsense", "clients"]), ["Clients"]);
        assert_eq!(client.ask(&["INFO", "nonsense"]), "".into());
    }
}

#[test]
fn info_counts_each_commands_calls() {
    let host = Host::start(&["text", "facts"]);
    let mut client = Resp::connect(&host);
    for _ in 0..3 {
        assert_eq!(client.ask(&["echo", "x"]), "x".into());
    }
    assert!(matches!(client.ask(&["echo"]), Frame::Error(_)));
    assert!(matches!(client.ask(&["fail", "ODD", "x"]), Frame::Error(_)));
    let told: HashMap<_, _> = info(&mut client, &["commandstats"]).into_iter().collect();
    let count = |command: &str, counter: &str| -> f64 {
        let line = &told["Commandstats"][&format!("cmdstat_{command}")];
        let fields = line.split(',').find_map(|field| field.strip_prefix(&format!("{counter}=")));
        fields.unwrap_or_else(|| panic!("no {counter}: {line}")).parse().unwrap()
    };
    assert_eq!((count("echo", "calls"), count("echo", "failed_calls")), (4.0, 1.0));
    assert_eq!((count("fail", "calls"), count("fail", "failed_calls")), (1.0, 1.0));
    assert_eq!(count("echo", "rejected_calls"), 0.0);
    let difference = count("echo", "usec") - 4.0 * count("echo", "usec_per_call");
    assert!(difference.abs() <= 1.0, "{told:?}");
    assert!(!told["Commandstats"].contains_key("cmdstat_upper"), "it was not called: {told:?}");
}

#[test]
fn info_in_a_line_replies_lines() {
    let host = Host::start(&[]);
    let mut client = Lines::connect(&host);
    let told = client.ask_all("info persistence replication");
    let expected = ["# Persistence\r", "loading:0\r", "\r", "# Replication\r", "role:master\r"];
    assert_eq!(told.get(..5), Some(&expected.map(str::to_owned)[..]), "{told:?}");
}
