//! The log: for people, for programs and for systemd's journal, at a level that can change.

use std::collections::BTreeMap;

use dropin_tests::{Host, Lines, Setup};

/// Parses a JSON object of strings strictly: no duplicate keys, no trailing text.
fn object(line: &str) -> BTreeMap<String, String> {
    /// Parses a JSON string at the start, and returns the rest.
    fn string(text: &str) -> Option<(String, &str)> {
        let mut said = String::new();
        let mut rest = text.strip_prefix('"')?.char_indices();
        while let Some((place, one)) = rest.next() {
            match one {
                '"' => return Some((said, &text[place + 2..])),
                '\\' => match rest.next()?.1 {
                    'n' => said.push('\n'),
                    't' => said.push('\t'),
                    'r' => said.push('\r'),
                    'u' => {
                        let digits: String =
                            rest.by_ref().take(4).map(|(_, digit)| digit).collect();
                        said.push(char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?);
                    }
                    other @ ('"' | '\\' | '/') => said.push(other),
                    _ => return None,
                },
                one if one.is_control() => return None,
                one => said.push(one),
            }
        }
        None
    }
    let parse = || {
        let mut all = BTreeMap::new();
        let mut rest = line.strip_prefix('{')?;
        loop {
            let (key, after) = string(rest)?;
            let (value, after) = string(after.strip_prefix(':')?)?;
            assert!(all.insert(key, value).is_none(), "a key twice: {line}");
            if after == "}" {
                return Some(all);
            }
            rest = after.strip_prefix(',')?;
        }
    };
    parse().unwrap_or_else(|| panic!("not an object of strings: {line}"))
}

fn say(host: &Host, level: &str, what: &str) {
    assert_eq!(Lines::connect(host).ask(&format!("say {level} {what}")), "OK");
}

/// Returns whether this is a time of RFC 3339, in UTC with milliseconds.
fn is_time(text: &str) -> bool {
    let pattern = "dddd-dd-ddTdd:dd:dd.dddZ";
    text.len() == pattern.len()
        && text.chars().zip(pattern.chars()).all(|(one, like)| match like {
            'd' => one.is_ascii_digit(),
            other => one == other,
        })
}

#[test]
fn json_log_is_one_object_per_line() {
    let mut host = Setup::new().plugins(&["facts"]).flags(&["--log-format", "json"]).start();
    say(&host, "warn", r#""a \"quote\", a \\ and\ntwo lines \x1b[2J Grüße""#);
    assert_eq!(host.ks(), Some(0));
    let log = host.log();
    let lines: Vec<_> = log.lines().map(object).collect();
    for line in &lines {
        let keys: Vec<&str> = line.keys().map(String::as_str).collect();
        assert_eq!(keys, ["level", "message", "target", "time"]);
        assert!(is_time(&line["time"]), "{line:?}");
    }
    let said = lines.iter().find(|line| line["level"] == "warn").expect("it was said");
    assert_eq!(said["message"], "a \"quote\", a \\ and\ntwo lines \u{1b}[2J Grüße");
    assert_eq!(said["target"], "facts");
    let last = lines.last().expect("there is a log");
    assert_eq!((last["target"].as_str(), last["message"].as_str()), ("host", "ended"));
}

#[test]
fn start_failure_is_reported_in_log_format() {
    let host = Host::start(&[]);
    let again = Setup::new().port(host.port()).flags(&["--log-format", "json"]).run();
    assert_eq!(again.status, Some(1));
    let line = object(again.stderr.trim_end());
    assert_eq!(line["level"], "error");
    assert!(line["message"].contains("is in use"), "{line:?}");
}

#[test]
fn text_log_records_cannot_be_forged() {
    let host = Setup::new().plugins(&["facts"]).start();
    say(&host, "info", r#""one\n2026-01-01T00:00:00.000Z ERROR host: forged \x1b[2J""#);
    let line = host.wait_for_log("forged");
    assert!(is_time(line.split(' ').next().unwrap()), "{line}");
    assert!(line.contains(r"INFO  facts: one\n2026-01-01"), "{line}");
    assert!(line.contains(r"\u{1b}[2J"), "{line}");
}

#[cfg(unix)]
#[test]
fn the_journal_gets_priorities_instead_of_times() {
    // The journal is identified by device and inode of standard error, which the shell looks up.
    let stream = "JOURNAL_STREAM=$(stat -Lc %d:%i /proc/self/fd/2) exec \"$0\" \"$@\"";
    let host = Setup::new().plugins(&["facts"]).started_by(&["sh", "-c", stream]).start();
    for (level, priority) in [("error", 3), ("warn", 4), ("info", 6), ("debug", 7)] {
        say(&host, level, &format!("at-{level}"));
        let line = host.wait_for_log(&format!("at-{level}"));
        assert_eq!(line, format!("<{priority}>facts: at-{level}"));
    }
    // If a program inherits it and writes its errors elsewhere, the variable has no meaning.
    let host = Setup::new().variable("JOURNAL_STREAM", "1:1").start();
    let _ = Lines::connect(&host).ask("loglevel trace");
    assert!(is_time(host.wait_for_log("set the log level").split(' ').next().unwrap()));
}

#[test]
fn log_level_can_be_changed_while_running() {
    let host = Setup::new().plugins(&["facts"]).log_level("info").start();
    let mut client = Lines::connect(&host);
    assert_eq!(client.ask("loglevel"), "info");
    say(&host, "debug", "too-quiet");
    assert_eq!(client.ask("loglevel DEBUG"), "OK");
    assert_eq!(client.ask("loglevel"), "debug");
    say(&host, "debug", "loud-enough");
    host.wait_for_log("loud-enough");
    assert_eq!(client.ask("loglevel error"), "OK");
    say(&host, "warn", "too-quiet-again");
    say(&host, "error", "always-told");
    host.wait_for_log("always-told");
    assert_eq!(host.logged("too-quiet"), None);
    assert!(host.logged("set the log level to debug").is_some());
    assert!(host.logged("set the log level to error").is_some());
    assert_eq!(
        client.ask("loglevel loud"),
        "error: unknown log level 'loud', use one of: off, error, warn, info, debug, trace"
    );
    assert_eq!(client.ask("loglevel"), "error");
}
