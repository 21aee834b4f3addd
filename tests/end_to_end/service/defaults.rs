//! The defaults in the documentation are those in force.

use std::fs;

use dropin_tests::workspace::root;
use tempfile::tempdir;

use super::{host_in, settings::settings};

/// Defaults that the pages name outside of tables: page, sentence, flag, value.
const IN_SENTENCES: [(&str, &str, &str, &str); 6] = [
    ("docs/operate.md", "0.2 s at the most (`--handover-pause`)", "handover-pause", "0.2"),
    ("docs/operate.md", "After `--handover-timeout` (5 s)", "handover-timeout", "5"),
    ("docs/operate.md", "at most `--save-timeout` seconds (300;", "save-timeout", "300"),
    (
        "docs/troubleshooting.md",
        "it did not finish within 5 s of being probed",
        "probe-timeout",
        "5",
    ),
    ("docs/fleet.md", "| `--fleet-call-timeout SECONDS` | 60 |", "fleet-call-timeout", "60"),
    (
        "SECURITY.md",
        "By default only this machine is trusted (`--trust loopback`)",
        "trust",
        "loopback",
    ),
];

/// Returns the flags in those tables of docs/operate.md that have a column for defaults, with the
/// defaults.
fn in_tables() -> Vec<(String, String)> {
    let text = fs::read_to_string(root().join("docs/operate.md")).unwrap();
    let (mut found, mut is_open) = (Vec::new(), false);
    for line in text.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        is_open = line.starts_with('|') && (is_open || cells.get(2) == Some(&"default"));
        let Some(flags) = cells.get(1).filter(|cell| is_open && cell.starts_with("`--")) else {
            continue;
        };
        let names: Vec<&str> = flags.split(", ").collect();
        let values: Vec<&str> = cells[2].split(", ").collect();
        assert_eq!(names.len(), values.len(), "each flag has its default: {line}");
        for (name, value) in names.into_iter().zip(values) {
            let name = name.trim_matches('`').trim_start_matches("--");
            found.push((name.split(' ').next().unwrap().to_owned(), value.replace('`', "")));
        }
    }
    found
}

/// Converts a default from a page's words to the output of `host config`.
fn printed(words: &str) -> &str {
    match words {
        "all addresses" | "no plugin" | "no proxy" | "no fleet" => "[]",
        "by plugin" => "",
        "off" => "0",
        words => words.strip_suffix(" s").unwrap_or(words),
    }
}

#[test]
fn documented_defaults_are_in_force() {
    let folder = tempdir().unwrap();
    let all = settings(&host_in(folder.path(), &["config"], &[]));
    let is = |flag: &str, value: &str| {
        let (printed, origin) = all.get(flag).unwrap_or_else(|| panic!("no flag --{flag}"));
        assert_eq!(printed.trim_matches('"'), value, "--{flag}");
        assert_eq!(origin, "default");
    };
    let tables = in_tables();
    assert!(tables.len() > 15, "{tables:?}");
    for (flag, words) in &tables {
        // It depends on the user who runs the host; another test checks it.
        if flag != "state-dir" {
            is(flag, printed(words));
        }
    }
    for (page, sentence, flag, value) in IN_SENTENCES {
        let text = fs::read_to_string(root().join(page)).unwrap();
        // A sentence may go on in the next line.
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(sentence), "{page} says it no longer: {sentence}");
        is(flag, value);
    }
    let limits = all.keys().filter(|flag| flag.starts_with("max-") || flag.ends_with("-timeout"));
    let named = |flag: &String| {
        tables.iter().any(|(one, _)| one == flag)
            || IN_SENTENCES.iter().any(|(_, _, one, _)| one == flag)
    };
    let missing: Vec<&String> = limits.filter(|flag| !named(flag)).collect();
    assert!(missing.is_empty(), "no page names their defaults: {missing:?}");
}
