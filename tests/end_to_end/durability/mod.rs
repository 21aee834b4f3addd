//! State that outlives kills, damaged files and full disks, as `docs/durability.md` promises.
#![cfg(unix)]

mod backup;
mod damage;
#[cfg(target_os = "linux")]
mod disks;
mod restart;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, ErrorKind, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use dropin_tests::{
    Frame, Host, LIMIT, Resp, Setup, resp::encode, system::unused_port, wait_until,
};

/// The number of commands that a writing client has sent without a reply.
const BATCH: u64 = 10;

/// Successive hosts, on one port and with one state directory.
struct Hosts {
    port: u16,
    folder: tempfile::TempDir,
}

impl Hosts {
    fn new() -> Self {
        Self { port: unused_port(), folder: tempfile::tempdir().unwrap() }
    }

    /// Returns a host with long time limits, so that a machine that stands still fails no test.
    fn setup(&self, flags: &[&str]) -> Setup {
        Setup::new()
            .flags(&["--probe-timeout", "60", "--handover-timeout", "30"])
            .flags(flags)
            .port(self.port)
            .state_dir(&self.folder.path().join("host"))
            .plugins(&["store", "text"])
    }

    #[track_caller]
    fn start(&self, flags: &[&str]) -> Host {
        self.setup(flags).start()
    }

    /// Returns the folder of the states.
    fn state(&self) -> PathBuf {
        self.folder.path().join("host").join(self.port.to_string()).join("state")
    }

    /// Makes the folder of the states as the host does.
    fn make_state(&self) -> PathBuf {
        let state = self.state();
        let mut builder = fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(&state).unwrap();
        state
    }

    /// Returns the segments of the store's journal, in order.
    fn segments(&self) -> Vec<PathBuf> {
        let names = read_files(&self.state()).into_keys();
        names
            .filter(|name| name.starts_with("store.journal."))
            .map(|name| self.state().join(name))
            .collect()
    }
}

/// Returns the names and the contents of a folder's files.
fn read_files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read(path).unwrap())
        })
        .collect()
}

/// Flips a bit of a file.
fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= 1;
    fs::write(file, bytes).unwrap();
}

/// Returns the number under a key; 0 if there is none.
#[track_caller]
fn number(client: &mut Resp, key: &str) -> u64 {
    match client.ask(&["get", key]) {
        Frame::Null => 0,
        value => value.as_str().parse().unwrap(),
    }
}

/// A counter in the store that one client increments.
struct Counter {
    key: String,
    sent: AtomicU64,
    acknowledged: AtomicU64,
}

/// Counters that clients increment without pause.
struct Counters {
    all: Vec<Counter>,
    stop: AtomicBool,
}

/// Stops the clients at its end, also if a test fails.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Counters {
    fn new(count: usize) -> Self {
        let counter = |number| Counter {
            key: format!("counter-{number}"),
            sent: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
        };
        Self { all: (0..count).map(counter).collect(), stop: AtomicBool::new(false) }
    }

    /// Calls `act` while clients increment, and returns once they have ended: by the stop, or by
    /// the end of the host.
    #[track_caller]
    fn while_incremented(&self, host: &mut Host, act: impl FnOnce(&mut Host)) {
        self.stop.store(false, Ordering::Relaxed);
        let address = host.v4();
        thread::scope(|scope| {
            let _end = StopAtEnd(&self.stop);
            for counter in &self.all {
                scope.spawn(move || counter.increment(&Resp::connect_to(address), &self.stop));
            }
            self.flow();
            act(host);
        });
    }

    /// Waits until each client has got some more replies.
    #[track_caller]
    fn flow(&self) {
        let replies = |counter: &Counter| counter.acknowledged.load(Ordering::Relaxed);
        let before: Vec<_> = self.all.iter().map(replies).collect();
        wait_until("all clients get replies", LIMIT, || {
            self.all.iter().zip(&before).all(|(one, before)| replies(one) >= before + 100)
        });
    }

    /// Kills the host while clients increment, and checks that their sessions ended by that.
    #[track_caller]
    fn kill_under_load(&self, host: &mut Host) {
        self.while_incremented(host, Host::kill);
    }

    /// Checks that all acknowledged increments are there, and goes on from what is there.
    #[track_caller]
    fn assert_kept(&self, host: &Host) {
        let mut client = Resp::connect(host);
        for Counter { key, sent, acknowledged } in &self.all {
            let value = number(&mut client, key);
            let [at_least, at_most] =
                [acknowledged, sent].map(|count| count.load(Ordering::Relaxed));
            assert!(
                (at_least..=at_most).contains(&value),
                "{key} is {value}, {at_least} acknowledged, {at_most} sent"
            );
            sent.store(value, Ordering::Relaxed);
            acknowledged.store(value, Ordering::Relaxed);
        }
    }

    /// Checks that exactly the acknowledged increments are there.
    #[track_caller]
    fn assert_exact(&self, host: &Host) {
        let mut client = Resp::connect(host);
        for Counter { key, acknowledged, .. } in &self.all {
            assert_eq!(number(&mut client, key), acknowledged.load(Ordering::Relaxed), "{key}");
        }
    }
}

impl Counter {
    /// Increments until the stop, or until the host has ended. An increment that ends in an error
    /// of a lost process must have changed nothing.
    fn increment(&self, client: &Resp, stop: &AtomicBool) {
        let batch = encode(&["incr", &self.key]).repeat(usize::try_from(BATCH).unwrap());
        let mut replies = BufReader::new(client.reader());
        let mut line = String::new();
        while !stop.load(Ordering::Relaxed) {
            self.sent.fetch_add(BATCH, Ordering::Relaxed);
            if client.stream().write_all(&batch).is_err() {
                return;
            }
            for _ in 0..BATCH {
                line.clear();
                match replies.read_line(&mut line) {
                    Err(error) if error.kind() == ErrorKind::TimedOut => panic!("{error}"),
                    Ok(_) if line.ends_with("\r\n") => {}
                    Ok(_) | Err(_) => return,
                }
                match line.trim_end().strip_prefix(':') {
                    Some(value) => {
                        let count = self.acknowledged.fetch_add(1, Ordering::Relaxed) + 1;
                        assert_eq!(value, count.to_string(), "{}", self.key);
                    }
                    None => assert!(
                        line.starts_with("-CRASHED ") || line.starts_with("-UNAVAILABLE "),
                        "{line}"
                    ),
                }
            }
        }
    }
}
