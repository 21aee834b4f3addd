//! Metrics, as a page for Prometheus and as the reply of `stats`.

use std::{fs, thread};

use dropin_tests::{
    Connection, Frame, Host, LIMIT, Lines, Resp, Setup, files,
    open_metrics::{Page, address, fetch},
    reload::variant,
    wait_until,
};

/// Starts a host that serves metrics.
fn host(plugins: &[&str]) -> Host {
    Setup::new().plugins(plugins).flags(&["--metrics", "127.0.0.1:0"]).start()
}

#[track_caller]
fn scrape(host: &Host) -> Page {
    let (head, body) = fetch(host, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(
        head.contains("\r\nContent-Type: application/openmetrics-text; version=1.0.0"),
        "{head}"
    );
    assert!(head.contains(&format!("\r\nContent-Length: {}", body.len())), "{head}");
    Page::read(&body)
}

fn of(command: &str) -> Vec<(&str, &str)> {
    match command.split_once('.') {
        Some((plugin, command)) => vec![("command", command), ("plugin", plugin)],
        None => vec![("command", command)],
    }
}

/// The counts of a command on a page.
#[derive(Debug, PartialEq)]
struct Counts {
    calls: f64,
    errors: f64,
    timed: f64,
}

fn counts(page: &Page, command: &str) -> Counts {
    let get = |name: &str| page.get(name, &of(command)).unwrap_or(0.0);
    Counts {
        calls: get("dropin_command_calls_total"),
        errors: get("dropin_command_errors_total"),
        timed: get("dropin_command_duration_seconds_count"),
    }
}

#[test]
fn metrics_count_calls_and_errors() {
    let host = host(&["text", "facts"]);
    let before = scrape(&host);
    assert_eq!(counts(&before, "text.echo"), Counts { calls: 0.0, errors: 0.0, timed: 0.0 });
    let mut client = Lines::connect(&host);
    for _ in 0..3 {
        assert_eq!(client.ask("echo x"), "x");
    }
    assert!(client.ask("fail ODD 'on purpose'").starts_with("error: "));
    assert!(client.ask("upper").starts_with("error: wrong number"));
    assert!(client.ask("nonsense").starts_with("error: unknown"));
    assert!(client.ask("echo 'open").starts_with("error: "));
    assert_eq!(client.ask("ping"), "PONG");
    let page = scrape(&host);
    assert_eq!(counts(&page, "text.echo"), Counts { calls: 3.0, errors: 0.0, timed: 3.0 });
    assert_eq!(counts(&page, "facts.fail"), Counts { calls: 1.0, errors: 1.0, timed: 1.0 });
    assert_eq!(counts(&page, "text.upper"), Counts { calls: 1.0, errors: 1.0, timed: 1.0 });
    assert_eq!(counts(&page, "ping"), Counts { calls: 1.0, errors: 0.0, timed: 1.0 });
    assert_eq!(counts(&page, "nonsense"), Counts { calls: 0.0, errors: 0.0, timed: 0.0 });
    let rejected = |reason| page.get("dropin_requests_rejected_total", &[("reason", reason)]);
    assert_eq!(rejected("unknown"), Some(1.0));
    assert_eq!(rejected("malformed"), Some(1.0));
    assert_eq!(rejected("denied"), Some(0.0));
    assert_eq!(page.get("dropin_sessions", &[]), Some(1.0));
    assert_eq!(page.get("dropin_sessions_started_total", &[]), Some(1.0));
    assert_eq!(page.get("dropin_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), Some(1.0));
    let event = |name| page.get("dropin_plugin_events_total", &[("event", name)]);
    assert_eq!(
        (event("loaded"), event("swapped"), event("refused")),
        (Some(2.0), Some(0.0), Some(0.0))
    );
    if cfg!(target_os = "linux") {
        let memory = page.get("process_resident_memory_bytes", &[]).unwrap();
        assert!((1e6..1e10).contains(&memory), "{memory}");
        assert!(page.get("process_open_fds", &[]).unwrap() > 3.0);
    }
}

#[test]
fn counts_survive_a_reload_which_is_counted_itself() {
    let host = host(&["text"]);
    let mut client = Lines::connect(&host);
    for round in 1..=3_u32 {
        assert_eq!(client.ask("echo x"), "x");
        host.place("text", &variant("text", round as usize));
        host.wait_for_log(&format!("generation {} swapped", round + 1));
        host.wait_for_log(&format!("generation {round} drained"));
        assert_eq!(client.ask("echo x"), "x");
        let page = scrape(&host);
        let calls = f64::from(2 * round);
        assert_eq!(counts(&page, "text.echo"), Counts { calls, errors: 0.0, timed: calls });
        let event = |name| page.get("dropin_plugin_events_total", &[("event", name)]);
        assert_eq!(event("swapped"), Some(f64::from(round)));
        let labels = [("plugin", "text"), ("version", env!("CARGO_PKG_VERSION"))];
        assert_eq!(page.get("dropin_plugin_generation", &labels), Some(f64::from(round + 1)));
    }
    host.place("bad", b"no library at all");
    host.wait_for_log("refused");
    let page = scrape(&host);
    assert_eq!(page.get("dropin_plugin_events_total", &[("event", "refused")]), Some(1.0));
    // Removed and loaded again, it continues its counts.
    files::remove(host.library("text"));
    host.wait_for_log("withdrawn");
    host.place("text", &variant("text", 9));
    host.wait_for_log("generation 5 loaded");
    assert_eq!(client.ask("echo x"), "x");
    assert_eq!(counts(&scrape(&host), "text.echo").calls, 7.0);
}

#[test]
fn processes_of_isolated_plugin_are_on_page() {
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("host.toml");
    // Other systems refuse the limit.
    let limit = if cfg!(unix) { "open-files = 100\n" } else { "" };
    fs::write(&settings, format!("[plugin.crashes]\nisolate = true\n{limit}")).unwrap();
    let settings = settings.display().to_string();
    let flags = ["--metrics", "127.0.0.1:0", "--config", &settings];
    let host = Setup::new().plugins(&["crashes", "text"]).flags(&flags).start();
    let get = |page: &Page, name: &str| {
        page.get(&format!("dropin_plugin_{name}"), &[("plugin", "crashes")])
    };
    let page = scrape(&host);
    assert_eq!(get(&page, "processes"), Some(1.0));
    assert_eq!(get(&page, "process_crashes_total"), Some(0.0));
    assert_eq!(get(&page, "quarantined"), Some(0.0));
    assert_eq!(get(&page, "open_files_limit"), cfg!(unix).then_some(100.0));
    assert_eq!(get(&page, "memory_limit_bytes"), None);
    assert_eq!(page.get("dropin_plugin_processes", &[("plugin", "text")]), None);
    if cfg!(target_os = "linux") {
        assert!(get(&page, "resident_memory_bytes").unwrap() > 1e5);
    }
    let mut client = Lines::connect(&host);
    let mut crash = || client.ask("crash.exit 3");
    assert!(crash().contains("exit status 3 in 'crash.exit'"));
    wait_until("a restart", LIMIT, || {
        let page = scrape(&host);
        let event = |name| page.get("dropin_plugin_events_total", &[("event", name)]);
        event("restarted") == Some(1.0)
            && event("crashed") == Some(1.0)
            && get(&page, "process_crashes_total") == Some(1.0)
            && get(&page, "process_restarts_total") == Some(1.0)
            && get(&page, "processes") == Some(1.0)
    });
    wait_until("a quarantine", LIMIT, || crash().contains("is quarantined"));
    wait_until("a quarantine on the page", LIMIT, || {
        let page = scrape(&host);
        page.get("dropin_plugin_events_total", &[("event", "quarantined")]) == Some(1.0)
            && get(&page, "quarantined") == Some(1.0)
            && get(&page, "processes") == Some(0.0)
            && get(&page, "process_crashes_total") == Some(5.0)
    });
    let stats = Resp::connect3(&host).ask(&["stats"]);
    assert_eq!(stats.get("plugins-crashed"), Some(&5.into()));
    assert_eq!(stats.get("plugins-quarantined"), Some(&1.into()));
    client.ask("plugin restart crashes");
    wait_until("the end of the quarantine", LIMIT, || {
        let page = scrape(&host);
        get(&page, "quarantined") == Some(0.0) && get(&page, "processes") == Some(1.0)
    });
}

#[test]
fn metrics_lose_no_call_among_many_sessions() {
    const SESSIONS: usize = 12;
    const BATCHES: usize = 40;
    let host = host(&["text"]);
    // Nine commands, one more than a session counts separately.
    let batch =
        "ping\r\necho a\r\nupper b\r\nlower c\r\nreverse d\r\ncount e\r\nselect 0\r\ncommand \
                 count\r\nclient id\r\nping x\r\necho\r\n"
            .repeat(8);
    let replies = 8 * (11 + 2);
    thread::scope(|scope| {
        for _ in 0..SESSIONS {
            scope.spawn(|| {
                let mut client = Lines::connect(&host);
                for _ in 0..BATCHES {
                    client.say(batch.trim_end());
                    // `count` replies three lines, the others one.
                    for _ in 0..replies {
                        let _ = client.line();
                    }
                }
            });
        }
    });
    let (page, all) = (scrape(&host), (SESSIONS * BATCHES * 8) as f64);
    assert_eq!(counts(&page, "ping").calls, 2.0 * all);
    let echo = counts(&page, "text.echo");
    assert_eq!((echo.calls, echo.errors), (2.0 * all, all));
    for command in
        ["text.upper", "text.lower", "text.reverse", "text.count", "select", "command", "client"]
    {
        let Counts { calls, errors, timed } = counts(&page, command);
        assert_eq!((calls, errors), (all, 0.0), "{command}");
        assert!(timed <= calls, "{command}");
    }
    // The first of each read and every 32nd are timed; the system decides how a batch is split into
    // reads.
    let timed = page.sum("dropin_command_duration_seconds_count");
    assert!(timed >= all * 11.0 / 32.0, "{timed}");
}

#[test]
fn metrics_page_is_read_only_and_never_blocked() {
    let mut host = host(&[]);
    // A silent connection is closed soon.
    let silent = Connection::connect(address(&host));
    let (head, body) = fetch(&host, "HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && body.is_empty(), "{head}");
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "404 Not Found"),
        ("GET /metrics/x HTTP/1.1\r\n\r\n", "404 Not Found"),
        ("POST /metrics HTTP/1.1\r\n\r\n", "405 Method Not Allowed"),
        ("ks\r\n\r\n", "400 Bad Request"),
    ] {
        let (head, _) = fetch(&host, request);
        assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{request}: {head}");
    }
    let (head, _) = fetch(&host, &format!("GET /metrics HTTP/1.1\r\nA: {}", "a".repeat(8192)));
    assert!(head.starts_with("HTTP/1.1 431 "), "{head}");
    let waiting = Connection::connect(address(&host));
    assert_eq!(host.ks(), Some(0));
    drop((silent, waiting));
}

#[test]
fn unusable_metrics_address_is_a_clear_error() {
    let other = host(&[]);
    let taken = address(&other).to_string();
    let ended = Setup::new().flags(&["--metrics", &taken]).run();
    assert_eq!(ended.status, Some(1));
    let said = format!("cannot serve on {taken}: port {} is in use; ", address(&other).port());
    assert!(ended.stderr.contains(&said) && ended.stderr.contains("--metrics"), "{ended:?}");
    let quiet = Host::start(&[]);
    assert!(!quiet.stdout().contains("metrics"), "without the flag there are none");
}

#[test]
fn stats_tells_the_same_to_a_person() {
    let host = Host::start(&["text", "facts"]);
    let mut client = Resp::connect3(&host);
    for _ in 0..4 {
        assert_eq!(client.ask(&["echo", "x"]), "x".into());
    }
    assert!(matches!(client.ask(&["fail", "ODD", "x"]), Frame::Error(_)));
    assert!(matches!(client.ask(&["nonsense"]), Frame::Error(_)));
    let stats = client.ask(&["STATS"]);
    let number =
        |name: &str| stats.get(name).unwrap_or_else(|| panic!("no {name}: {stats:?}")).as_integer();
    // One HELLO chose the protocol.
    assert_eq!((number("calls"), number("errors"), number("unknown-commands")), (6, 1, 1));
    assert_eq!((number("sessions"), number("plugins"), number("plugins-loaded")), (1, 2, 2));
    assert_eq!((number("plugins-reloaded"), number("plugins-refused")), (0, 0));
    assert_eq!(stats.get("version"), Some(&env!("CARGO_PKG_VERSION").into()));
    if cfg!(target_os = "linux") {
        assert!(number("memory-bytes") > 1_000_000);
    }
    let top = stats.get("top-commands").unwrap().items();
    assert_eq!(top[0].get("command"), Some(&"echo".into()));
    assert_eq!(top[0].get("plugin"), Some(&"text".into()));
    assert_eq!(top[0].get("calls"), Some(&4.into()));
    let time = |name: &str| match top[0].get(name) {
        Some(Frame::Float(value)) => *value,
        other => panic!("{name} is {other:?}"),
    };
    assert!(time("mean-us") > 0.0);
    assert!(time("p50-us") <= time("p99-us"));
    let commands = client.ask(&["stats", "commands"]);
    let names: Vec<&str> =
        commands.items().iter().map(|one| one.get("command").unwrap().as_str()).collect();
    assert_eq!(names[0], "echo");
    assert!(["fail", "hello", "stats"].iter().all(|name| names.contains(name)), "{names:?}");
    assert_eq!(
        client.ask(&["stats", "nonsense"]),
        Frame::error("ERR unknown subcommand 'nonsense', 'stats' has: COMMANDS")
    );
    // Earlier commands of the same batch are counted.
    let mut lines = Lines::connect(&host);
    lines.say("ping\r\nping\r\nping\r\nstats commands");
    let said = [(); 5].map(|()| lines.line()).join("\n");
    assert!(said.contains("command: ping, plugin: , calls: 3, errors: 0"), "{said}");
}
