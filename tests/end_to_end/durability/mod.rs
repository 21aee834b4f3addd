//! State that outlives kills, damage, full disks and copies of its files.

mod backup;
mod damage;
mod disks;
mod export;
mod restart;
#[cfg(unix)]
mod workers;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use dropin_tests::{
    Host, LIMIT, Lines, Resp, Setup,
    resp::encode,
    setup::{Ended, run_host},
    wait_until,
};

use crate::reload::restart::SuccessiveHosts;

/// Runs `host state TASK` for the state of these hosts.
#[track_caller]
fn state_command(hosts: &SuccessiveHosts, task: &[&str]) -> Ended {
    let (root, port) = (hosts.state_dir(), hosts.port().to_string());
    let place = ["--state-dir", root.to_str().unwrap(), "--port", &port];
    run_host(&[&["state"][..], task, &place].concat())
}

/// Returns a host with the store, whose settings are those of the log level `info`.
fn store_with(hosts: &SuccessiveHosts, flags: &[&str]) -> Setup {
    hosts.setup().plugins(&["store"]).flags(flags).log_level("info")
}

/// Sets `key-N` to `value-N` for these numbers, each in a record of its own.
#[track_caller]
fn fill(host: &Host, numbers: std::ops::Range<usize>) {
    let mut client = Lines::connect(host);
    for number in numbers {
        assert_eq!(client.ask(&format!("set key-{number} value-{number}")), "OK");
    }
}

/// Checks that the store has exactly `key-0` to `key-(COUNT - 1)`.
#[track_caller]
fn assert_keys(host: &Host, count: usize) {
    let mut client = Resp::connect(host);
    for number in 0..count {
        let value = client.ask(&["get", &format!("key-{number}")]);
        assert_eq!(value.as_str(), format!("value-{number}"));
    }
    assert_eq!(client.ask(&["dbsize"]), dropin_tests::Frame::Integer(count as i64));
}

/// Returns the names and the bytes of all files in a folder.
fn files_in(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let files = files.filter(|file| file.file_type().unwrap().is_file());
    let name = |file: &fs::DirEntry| file.file_name().to_string_lossy().into_owned();
    files.map(|file| (name(&file), fs::read(file.path()).unwrap())).collect()
}

/// Returns the folder beside the state's files whose name begins so.
#[track_caller]
fn folder_beside(folder: &Path, start: &str) -> std::path::PathBuf {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_it = |path: &std::path::PathBuf| {
        path.is_dir() && path.file_name().unwrap().to_string_lossy().starts_with(start)
    };
    entries.into_iter().find(is_it).unwrap()
}

fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= 0x10;
    fs::write(file, bytes).unwrap();
}

/// Returns the offsets of a segment's records, and its end.
fn record_offsets(segment: &[u8]) -> Vec<usize> {
    let mut offsets = vec![40];
    while let Some(head) = segment[offsets[offsets.len() - 1]..].first_chunk::<4>() {
        let length = u32::from_le_bytes(*head) as usize;
        offsets.push(offsets[offsets.len() - 1] + 9 + length);
    }
    offsets
}

/// A client that increments `a` and then sets `b` to the same number, until its session ends.
struct Counter {
    acknowledged: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Counter {
    fn start(host: &Host) -> Self {
        let (acknowledged, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (counted, stopped) = (Arc::clone(&acknowledged), Arc::clone(&stop));
        let stream = TcpStream::connect(host.v4()).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let thread = thread::spawn(move || {
            let mut replies = BufReader::new(stream.try_clone().unwrap());
            let mut ask = |words: &[&str]| -> Option<String> {
                (&stream).write_all(&encode(words)).ok()?;
                let mut line = String::new();
                replies.read_line(&mut line).ok()?;
                line.ends_with("\r\n").then(|| line.trim_end().to_owned())
            };
            while !stopped.load(Ordering::SeqCst) {
                let Some(reply) = ask(&["incr", "a"]) else { return };
                let number: u64 = reply.strip_prefix(':').expect(&reply).parse().unwrap();
                let Some(reply) = ask(&["set", "b", &number.to_string()]) else { return };
                assert_eq!(reply, "+OK");
                counted.store(number, Ordering::SeqCst);
            }
        });
        Self { acknowledged, stop, thread }
    }

    /// Returns the last number for which both replies have come.
    fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// Waits until this many more numbers are acknowledged.
    #[track_caller]
    fn flow(&self, more: u64) {
        let goal = self.acknowledged() + more;
        wait_until("numbers are acknowledged", LIMIT, || {
            assert!(!self.thread.is_finished(), "the client has ended, see above");
            self.acknowledged() >= goal
        });
    }

    /// Ends the client, and returns the last acknowledged number.
    #[track_caller]
    fn end(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        assert!(self.thread.join().is_ok(), "a reply was wrong, see above");
        self.acknowledged.load(Ordering::SeqCst)
    }
}

/// Checks that the counters fit together and have at least what was acknowledged.
#[track_caller]
fn assert_counters(host: &Host, acknowledged: u64) {
    let mut client = Lines::connect(host);
    let mut number = |key: &str| client.ask(&format!("get {key}")).parse::<u64>().unwrap();
    let (a, b) = (number("a"), number("b"));
    assert!(b <= a && a <= b + 1, "a is {a}, b is {b}");
    assert!(b >= acknowledged, "b is {b}, and {acknowledged} was acknowledged");
}
