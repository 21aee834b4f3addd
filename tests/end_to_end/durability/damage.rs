//! Files that are damaged, or cut short, while no host runs.

use std::{fs, path::Path};

use dropin_tests::{Frame, Host, Lines, Resp};

use super::{Hosts, flip, read_files};

const KEYS: u64 = 50;

/// Kills a host whose store has this many keys in its journal.
fn kill_with_keys(hosts: &Hosts) {
    let mut host = hosts.start(&[]);
    set_keys(&host, 0..KEYS);
    host.kill();
}

#[track_caller]
fn set_keys(host: &Host, keys: std::ops::Range<u64>) {
    let mut client = Lines::connect(host);
    keys.for_each(|n| assert_eq!(client.ask(&format!("set key-{n} value-{n}")), "OK"));
}

#[track_caller]
fn assert_keys(host: &Host, count: u64) {
    let mut client = Resp::connect(host);
    for n in 0..count {
        let value = client.ask(&["get", &format!("key-{n}")]);
        assert_eq!(value, Frame::text(format!("value-{n}")), "key-{n}");
    }
    let size = i64::try_from(count).unwrap();
    assert_eq!(client.ask(&["dbsize"]), size.into());
}

/// Checks that the host refuses the store alone, with this text in the log, and changes no file of
/// the states, also at its end. Returns the line of the log.
#[track_caller]
fn assert_refused(hosts: &Hosts, text: &str) -> String {
    let before = read_files(&hosts.state());
    let mut host = hosts.start(&[]);
    let line = host.wait_for_log(text);
    assert!(line.contains(" ERROR ") && line.contains("plugin store: refused "), "{line}");
    let mut client = Lines::connect(&host);
    assert!(client.ask("get key-1").starts_with("error: unknown command"));
    assert!(client.ask("set key-1 other").starts_with("error: unknown command"));
    assert_eq!(client.ask("echo fine"), "fine");
    assert_unchanged(&hosts.state(), &before);
    // A second try changes nothing either.
    assert!(client.ask("plugin reload store").starts_with("error: "));
    assert_eq!(host.ks(), Some(0));
    assert_unchanged(&hosts.state(), &before);
    line
}

#[track_caller]
fn assert_unchanged(folder: &Path, before: &std::collections::BTreeMap<String, Vec<u8>>) {
    let now = read_files(folder);
    assert!(now.keys().eq(before.keys()), "{:?} became {:?}", before.keys(), now.keys());
    for (name, bytes) in before {
        assert!(now[name] == *bytes, "{name} has changed");
    }
}

#[test]
fn damaged_journal_refuses_its_plugin_alone() {
    let hosts = Hosts::new();
    kill_with_keys(&hosts);
    let segment = hosts.segments().pop().unwrap();
    let middle = fs::metadata(&segment).unwrap().len() / 2;
    flip(&segment, usize::try_from(middle).unwrap());
    let named = format!("{} is damaged at offset ", segment.display());
    let line = assert_refused(&hosts, &named);
    let (_, rest) = line.split_once(&named).unwrap();
    let (offset, _) = rest.split_once(':').unwrap();
    let offset: u64 = offset.parse().unwrap();
    assert!((middle - 50..=middle).contains(&offset), "{middle} was flipped: {line}");
    flip(&segment, usize::try_from(middle).unwrap());
    assert_keys(&hosts.start(&[]), KEYS);
}

#[test]
fn torn_tail_is_cut_off_and_reported() {
    const TORN: &str = " ends in a record of which only ";
    for cut in 1..=5 {
        let hosts = Hosts::new();
        kill_with_keys(&hosts);
        let segment = hosts.segments().pop().unwrap();
        let file = fs::File::options().write(true).open(&segment).unwrap();
        file.set_len(file.metadata().unwrap().len() - cut).unwrap();
        let mut host = hosts.start(&[]);
        let line = host.wait_for_log(TORN);
        let named = line.contains(segment.to_str().unwrap()) && line.contains(" at offset ");
        assert!(line.contains(" WARN ") && named, "{line}");
        assert_keys(&host, KEYS - 1);
        set_keys(&host, KEYS - 1..KEYS);
        // Without an orderly end, which would replace the journal by a snapshot.
        host.kill();
        let host = hosts.start(&[]);
        assert_keys(&host, KEYS);
        for problem in [TORN, " WARN ", " ERROR "] {
            assert_eq!(host.logged(problem), None, "cut by {cut}");
        }
    }
}

#[test]
fn damaged_snapshot_refuses_its_plugin_alone() {
    let hosts = Hosts::new();
    let mut host = hosts.start(&[]);
    for part in 0..2 {
        set_keys(&host, part * 10..(part + 1) * 10);
        let said = Lines::connect(&host).ask("plugin save store");
        assert!(said.starts_with("plugin 'store': snapshot of "), "{said}");
    }
    set_keys(&host, 20..KEYS);
    host.kill();
    let [snapshot, before] = ["store.state", "store.state.1"].map(|name| hosts.state().join(name));
    flip(&snapshot, fs::read(&snapshot).unwrap().len() / 2);
    assert_refused(&hosts, &format!("its saved state {} is damaged", snapshot.display()));
    // The journal goes back to the snapshot before.
    fs::rename(before, snapshot).unwrap();
    assert_keys(&hosts.start(&[]), KEYS);
}
