//! Restarts: what each durability promises over a kill, an orderly end and a reload.

use std::fs;

use dropin_tests::{
    Host, LIMIT, Lines,
    built::library_name,
    files,
    reload::{stripped, variant},
    wait_until,
};

use super::{Counter, assert_counters, assert_keys, fill, store_with};
use crate::reload::restart::SuccessiveHosts;

#[test]
fn every_acknowledged_write_survives_a_kill() {
    for sync in ["always", "everysec", "never"] {
        let hosts = SuccessiveHosts::new();
        let flags = ["--journal-sync", sync];
        let mut host = store_with(&hosts, &flags).start();
        let counter = Counter::start(&host);
        counter.flow(100);
        host.kill();
        let acknowledged = counter.end();
        let host = store_with(&hosts, &flags).start();
        host.wait_for_log("records of its journal replayed, from 0 on");
        assert_counters(&host, acknowledged);
    }
}

#[test]
fn orderly_end_leaves_nothing_to_replay() {
    let hosts = SuccessiveHosts::new();
    let mut host = store_with(&hosts, &[]).start();
    fill(&host, 0..50);
    assert_eq!(host.ks(), Some(0));
    let host = store_with(&hosts, &[]).start();
    assert_keys(&host, 50);
    assert!(host.logged("of its journal replayed").is_none());
    assert_eq!(host.figure("store", "journal-records"), 0);
}

#[test]
fn kill_without_journal_keeps_last_save() {
    let hosts = SuccessiveHosts::new();
    let off = ["--durability", "off"];
    let mut host = store_with(&hosts, &off).start();
    fill(&host, 0..5);
    assert_eq!(host.ks(), Some(0));
    let mut host = store_with(&hosts, &off).start();
    fill(&host, 5..10);
    host.kill();
    assert!(!hosts.file("store.journal.00000001").exists());
    assert_keys(&store_with(&hosts, &off).start(), 5);
}

#[test]
fn snapshots_by_time_survive_a_kill() {
    let hosts = SuccessiveHosts::new();
    let flags = ["--durability", "snapshot", "--snapshot-interval", "1"];
    let mut host = store_with(&hosts, &flags).start();
    fill(&host, 0..10);
    let has_all = || {
        let saved = fs::read(hosts.file("store.state")).unwrap_or_default();
        saved.windows(7).any(|bytes| bytes == b"value-9")
    };
    wait_until("a snapshot has the last key", LIMIT, has_all);
    host.kill();
    assert!(!hosts.file("store.journal.00000001").exists());
    assert_keys(&store_with(&hosts, &flags).start(), 10);
}

#[test]
fn changes_of_durability_over_restarts_lose_nothing() {
    let hosts = SuccessiveHosts::new();
    let mut host = store_with(&hosts, &["--durability", "journal"]).start();
    fill(&host, 0..10);
    host.kill();
    let mut host = store_with(&hosts, &["--durability", "off"]).start();
    assert_keys(&host, 10);
    let segments = |name: &String| name.contains(".journal.");
    assert!(!super::files_in(&hosts.file("")).keys().any(segments), "a snapshot replaces it");
    // The snapshot has the journal's records.
    host.kill();
    let mut host = store_with(&hosts, &["--durability", "off"]).start();
    assert_keys(&host, 10);
    fill(&host, 10..20);
    assert_eq!(host.ks(), Some(0));
    let mut host = store_with(&hosts, &["--durability", "journal"]).start();
    assert_keys(&host, 20);
    fill(&host, 20..30);
    host.kill();
    assert_keys(&store_with(&hosts, &[]).start(), 30);
}

/// Reloads the store with this durability in its table.
#[track_caller]
fn reload_with(host: &Host, durability: &str, generation: usize) {
    host.replace_settings(&table(durability));
    let mut client = Lines::connect(host);
    client.ask_all("plugin reload store");
    host.wait_for_log(&format!("plugin store: generation {generation} swapped"));
}

fn table(durability: &str) -> String {
    format!("[plugin.store]\ndurability = \"{durability}\"\n")
}

#[test]
fn changes_of_durability_over_reloads_lose_nothing() {
    let hosts = SuccessiveHosts::new();
    let start = |durability| store_with(&hosts, &[]).settings(&table(durability)).start();
    let mut host = start("journal");
    fill(&host, 0..10);
    reload_with(&host, "off", 2);
    assert_keys(&host, 10);
    assert!(!hosts.file("store.journal.00000001").exists());
    fill(&host, 10..20);
    reload_with(&host, "journal", 3);
    fill(&host, 20..30);
    host.kill();
    let mut host = start("journal");
    assert_keys(&host, 30);
    fill(&host, 30..40);
    reload_with(&host, "off", 2);
    host.kill();
    assert_keys(&start("off"), 40);
}

/// Returns the store's library with another name of this command, of the same length.
fn without_command(name: &str) -> Vec<u8> {
    let mut bytes = stripped("store");
    let found: Vec<_> = (0..bytes.len() - name.len())
        .filter(|at| bytes[*at..].starts_with(name.as_bytes()))
        .collect();
    assert!(!found.is_empty(), "there is '{name}'");
    found.into_iter().for_each(|at| bytes[at] = b'x');
    bytes
}

#[test]
fn version_without_a_journaled_command_is_refused() {
    let hosts = SuccessiveHosts::new();
    let mut host = store_with(&hosts, &[]).start();
    fill(&host, 0..3);
    assert_eq!(Lines::connect(&host).ask("psetex passing 1000000 soon"), "OK");
    assert_eq!(Lines::connect(&host).ask("del passing"), "1");
    host.kill();
    let before = super::files_in(&hosts.file(""));
    let library = library_name("store");
    let host = hosts.setup().file(&library, &without_command("psetex")).start();
    let line = host.wait_for_log("record 3 of its journal");
    assert!(line.contains("there is no command 'psetex'"), "{line}");
    assert!(line.contains("plugin store: refused"), "{line}");
    let advice = "put the version of the plugin back that wrote the record";
    assert!(line.contains(advice), "{line}");
    assert_eq!(Lines::connect(&host).ask("echo fine"), "fine");
    assert_eq!(super::files_in(&hosts.file("")), before, "nothing is overwritten");
    files::install(&host.plugins_folder(), "store");
    host.wait_for_answer("get key-0", "value-0");
    assert_keys(&host, 3);
}

#[test]
fn kill_right_after_reload_loses_nothing() {
    for number in 0..3 {
        let hosts = SuccessiveHosts::new();
        let mut host = store_with(&hosts, &[]).start();
        let counter = Counter::start(&host);
        counter.flow(50);
        host.place("store", &variant("store", number));
        host.wait_for_swaps("store", 1);
        host.kill();
        let acknowledged = counter.end();
        assert_counters(&store_with(&hosts, &[]).start(), acknowledged);
    }
}
