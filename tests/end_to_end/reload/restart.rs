//! State over a restart: saved at the shutdown, restored at the start, never incomplete.

use std::{fs, path::Path};

use dropin_tests::{
    Host, LIMIT, Lines, Setup,
    built::library_name,
    reload::{marked, variant},
    system::unused_port,
    wait_until,
};

use super::{setup, with_version};

/// Successive hosts, on one port and with one state directory.
pub(crate) struct SuccessiveHosts {
    port: u16,
    state: tempfile::TempDir,
}

impl SuccessiveHosts {
    pub(crate) fn new() -> Self {
        Self { port: unused_port(), state: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn setup(&self) -> Setup {
        let state = self.state.path().join("host");
        setup().port(self.port).state_dir(&state).plugins(&["text"])
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Returns the state directory, which has a folder for the port.
    pub(crate) fn state_dir(&self) -> std::path::PathBuf {
        self.state.path().join("host")
    }

    pub(crate) fn store(&self) -> Host {
        self.setup().plugins(&["store"]).start()
    }

    pub(crate) fn keeper(&self, mark: &str) -> Host {
        self.keeper_with(mark, &[])
    }

    pub(crate) fn keeper_with(&self, mark: &str, flags: &[&str]) -> Host {
        self.setup().flags(flags).file(&library_name("keeper"), &marked("keeper", mark)).start()
    }

    pub(crate) fn file(&self, name: &str) -> std::path::PathBuf {
        self.state.path().join("host").join(self.port.to_string()).join("state").join(name)
    }

    /// Returns the content of a saved state, without its header.
    pub(crate) fn kept(&self, name: &str) -> String {
        let bytes = fs::read(self.file(name)).unwrap();
        String::from_utf8(bytes[80..].to_vec()).unwrap()
    }
}

/// Makes a folder as the host does, which rejects a state directory that others can read.
pub(crate) fn make_private(folder: &Path) {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder).unwrap();
}

fn fill(host: &Host) {
    let mut client = Lines::connect(host);
    client.send((0..500).map(|n| format!("set key-{n} value-{n}\n")).collect::<String>());
    (0..500).for_each(|_| assert_eq!(client.line(), "OK"));
}

#[track_caller]
fn assert_all_keys(host: &Host) {
    let mut client = Lines::connect(host);
    client.send((0..500).map(|n| format!("get key-{n}\n")).collect::<String>());
    (0..500).for_each(|n| assert_eq!(client.line(), format!("value-{n}")));
    assert_eq!(client.ask_all("keys").len(), 500);
}

#[track_caller]
fn assert_store_survives(end: impl FnOnce(&mut Host) -> Option<i32>) {
    let succession = SuccessiveHosts::new();
    let mut host = succession.store();
    fill(&host);
    assert_eq!(end(&mut host), Some(0));
    drop(host);
    assert_all_keys(&succession.store());
}

#[test]
fn store_keeps_keys_over_restart_by_ks() {
    assert_store_survives(Host::ks);
}

#[test]
#[cfg_attr(not(tool = "cc"), ignore = "needs cc")]
fn store_keeps_keys_over_restart_by_sigterm() {
    assert_store_survives(|host| {
        host.terminate();
        host.exit()
    });
}

#[test]
#[cfg_attr(not(tool = "cc"), ignore = "needs cc")]
fn store_keeps_keys_over_restart_by_sigint() {
    assert_store_survives(|host| {
        host.interrupt();
        host.exit()
    });
}

#[cfg(unix)]
#[test]
fn store_survives_signals_sent_together() {
    assert_store_survives(|host| {
        host.terminate();
        host.interrupt();
        host.hang_up();
        host.terminate();
        host.exit()
    });
}

#[test]
#[cfg_attr(not(tool = "cc"), ignore = "needs cc")]
fn store_keeps_keys_beside_endless_worker() {
    let succession = SuccessiveHosts::new();
    let mut host = succession.setup().plugins(&["store", "busy"]).start();
    fill(&host);
    let mut busy = Lines::connect(&host);
    busy.say("block 600000");
    host.wait_for_log("blocking for");
    host.terminate();
    assert_eq!(host.exit(), Some(3));
    drop(host);
    assert_all_keys(&succession.store());
}

#[test]
fn store_keeps_keys_when_replaced_or_disabled() {
    let succession = SuccessiveHosts::new();
    let mut host = succession.store();
    fill(&host);
    host.place("store", &variant("store", 1));
    host.wait_for_log("plugin store: generation 2 swapped, ");
    assert_eq!(host.ks(), Some(0));
    let mut host = succession.store();
    assert_all_keys(&host);
    assert_eq!(Lines::connect(&host).ask("plugin disable store"), "plugin 'store' is disabled");
    assert_eq!(host.ks(), Some(0));
    assert_all_keys(&succession.store());
}

#[cfg(unix)]
#[test]
fn killed_host_leaves_last_saved_state() {
    let succession = SuccessiveHosts::new();
    let mut host = succession.keeper("1");
    assert_eq!(Lines::connect(&host).ask("keep one"), "OK");
    assert_eq!(host.ks(), Some(0));
    let mut host = succession.keeper("1");
    assert_eq!(Lines::connect(&host).ask("kept"), "one");
    assert_eq!(Lines::connect(&host).ask("keep two"), "OK");
    host.kill();
    assert_eq!(succession.kept("keeper.state"), "one");
    assert_eq!(Lines::connect(&succession.keeper("1")).ask("kept"), "one");
}

#[test]
fn half_written_state_of_crash_is_ignored() {
    let succession = SuccessiveHosts::new();
    let mut host = succession.keeper("1");
    assert_eq!(Lines::connect(&host).ask("keep pearls"), "OK");
    assert_eq!(host.ks(), Some(0));
    fs::write(succession.file("keeper.draft"), b"pea").unwrap();
    let mut host = succession.keeper("1");
    assert_eq!(Lines::connect(&host).ask("kept"), "pearls");
    assert_eq!(Lines::connect(&host).ask("keep shells"), "OK");
    assert_eq!(host.ks(), Some(0));
    assert_eq!(Lines::connect(&succession.keeper("1")).ask("kept"), "shells");
}

#[test]
fn unrestorable_state_is_left_untouched() {
    let succession = SuccessiveHosts::new();
    let mut host = succession.store();
    fill(&host);
    assert_eq!(host.ks(), Some(0));
    let file = succession.file("store.state");
    let saved = fs::read(&file).unwrap();
    let broken = &saved[..saved.len() / 2];
    fs::write(&file, broken).unwrap();
    let mut host = succession.store();
    let line = host
        .wait_for_log(&format!("its saved state {} is damaged: it is cut short", file.display()));
    assert!(line.contains(&format!("plugin store: refused {}", library_name("store"))), "{line}");
    let mut client = Lines::connect(&host);
    assert!(client.ask("get key-1").starts_with("error: unknown command"));
    assert_eq!(client.ask("echo fine"), "fine");
    assert_eq!(host.ks(), Some(0));
    assert_eq!(fs::read(&file).unwrap(), broken, "nothing is written over what may be mended");
    fs::write(&file, &saved).unwrap();
    assert_all_keys(&succession.store());
}

#[test]
fn restore_from_disk_has_a_deadline() {
    let succession = SuccessiveHosts::new();
    let mut host = succession.keeper("1");
    assert_eq!(Lines::connect(&host).ask("keep pearls"), "OK");
    assert_eq!(host.ks(), Some(0));
    let setup = Setup::new().port(succession.port).state_dir(&succession.state.path().join("host"));
    let setup = setup.flags(&["--probe-timeout", "60", "--handover-timeout", "1"]);
    let host = with_version(setup, "keeper", "2 restore-hangs").start();
    let line = host.wait_for_log("its `restore` took longer than 1 s; the state is in ");
    assert!(line.contains(succession.file("keeper.state").to_str().unwrap()), "{line}");
    assert_eq!(Lines::connect(&host).ask("echo fine"), "fine");
}

#[test]
fn repaired_state_is_restored_while_running() {
    let succession = SuccessiveHosts::new();
    let file = succession.file("keeper.state");
    make_private(file.parent().unwrap());
    fs::write(&file, b"\xff\xfe").unwrap();
    let host = succession.keeper("1");
    assert!(Lines::connect(&host).ask("kept").starts_with("error: unknown command"));
    fs::write(&file, b"mended").unwrap();
    let said = Lines::connect(&host).ask("plugin reload keeper");
    assert!(said.starts_with("plugin 'keeper' serves generation "), "{said}");
    assert_eq!(Lines::connect(&host).ask("kept"), "mended");
}

#[test]
fn failed_final_save_keeps_last_saved_state() {
    for mark in ["2 save-fails", "2 save-panics"] {
        let succession = SuccessiveHosts::new();
        let mut host = succession.keeper("1");
        assert_eq!(Lines::connect(&host).ask("keep pearls"), "OK");
        assert_eq!(host.ks(), Some(0));
        let mut host = succession.keeper(mark);
        assert_eq!(Lines::connect(&host).ask("keep shells"), "OK");
        assert_eq!(host.ks(), Some(4));
        let line = host.wait_for_log("plugin keeper: state not saved: ");
        let file = succession.file("keeper.state");
        let left = format!("is still in {}", file.display());
        assert!(line.contains(" ERROR ") && line.ends_with(&left), "{line}");
        assert_eq!(succession.kept("keeper.state"), "pearls");
    }
}

#[test]
fn leftovers_of_killed_host_are_removed() {
    let succession = SuccessiveHosts::new();
    let host = succession.store();
    let copies = host.own_dir().join("copies");
    drop(host);
    fs::create_dir_all(&copies).unwrap();
    fs::write(copies.join("libold.7.so"), b"left by a crash").unwrap();
    let mut host = succession.store();
    // A file that is being checked has a copy for a moment.
    wait_until("nothing is left of it", LIMIT, || host.unused_copies().is_empty());
    assert_eq!(host.ks(), Some(0));
    assert!(left_entries(&copies).is_empty(), "{:?}", left_entries(&copies));
}

fn left_entries(folder: &Path) -> Vec<fs::DirEntry> {
    fs::read_dir(folder).map(|entries| entries.flatten().collect()).unwrap_or_default()
}
