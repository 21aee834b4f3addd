//! Disks that are full, that fail, and that cannot be written.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use dropin_tests::{Frame, Host, LIMIT, Lines, Resp, wait_until};

use super::{Counters, Hosts};

/// The log's line when a journal cannot be written.
const FAILED: &str = "commands that write are refused until it can be written";
/// The log's line when it can be written again.
const RECOVERED: &str = "its journal is written again";

/// A file system that is mounted until the end of a test, also if it fails.
struct Mount(PathBuf);

impl Mount {
    #[track_caller]
    fn new(arguments: &[&str], folder: &Path) -> Self {
        run(Command::new("mount").args(arguments).arg(folder));
        let mount = Self(folder.to_owned());
        fs::set_permissions(folder, PermissionsExt::from_mode(0o700)).unwrap();
        mount
    }

    /// Returns a file system in memory with room for these bytes.
    #[track_caller]
    fn in_memory(room: usize, folder: &Path) -> Self {
        Self::new(&["-t", "tmpfs", "-o", &format!("size={room}"), "dropin-test"], folder)
    }

    #[track_caller]
    fn remount(&self, how: &str) {
        run(Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(&self.0));
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let unmount = |flags: &[&str]| {
            let ended = Command::new("umount").args(flags).arg(&self.0).status();
            ended.is_ok_and(|status| status.success())
        };
        // A host that a failed test leaves behind may have a file open.
        if !unmount(&[]) && !unmount(&["--lazy"]) {
            eprintln!("cannot unmount {}", self.0.display());
        }
    }
}

#[track_caller]
fn run(command: &mut Command) {
    let ended = command.output().unwrap();
    assert!(ended.status.success(), "{command:?}: {}", String::from_utf8_lossy(&ended.stderr));
}

/// A client that sets large values and knows which of them were acknowledged.
struct Filler {
    name: String,
    size: usize,
    acknowledged: Vec<usize>,
    sent: usize,
}

impl Filler {
    fn new(name: &str, size: usize) -> Self {
        Self { name: name.to_owned(), size, acknowledged: Vec::new(), sent: 0 }
    }

    fn key(&self, n: usize) -> String {
        format!("{}-{n}", self.name)
    }

    fn value(&self, n: usize) -> String {
        let text = format!("{} has {n} ", self.name);
        text.repeat(self.size.div_ceil(text.len()))
    }

    /// Sets one value. Returns the error if the journal cannot be written.
    #[track_caller]
    fn set(&mut self, client: &mut Resp) -> Result<(), String> {
        let n = self.sent;
        self.sent += 1;
        match client.ask(&["set", &self.key(n), &self.value(n)]) {
            Frame::Error(error) if error.starts_with("MISCONF ") => return Err(error),
            reply => assert_eq!(reply, Frame::ok()),
        }
        self.acknowledged.push(n);
        Ok(())
    }

    /// Sets values until there is an error, and returns it.
    #[track_caller]
    fn fill(&mut self, host: &Host) -> String {
        let mut client = Resp::connect(host);
        // More than any of the disks has room for.
        (0..10_000).find_map(|_| self.set(&mut client).err()).expect("the disk is never full")
    }

    /// Waits until a value can be set.
    #[track_caller]
    fn wait_until_set(&mut self, host: &Host) {
        let mut client = Resp::connect(host);
        wait_until("a value can be set again", LIMIT, || self.set(&mut client).is_ok());
    }

    #[track_caller]
    fn assert_value(&self, client: &mut Resp, n: usize) {
        let (key, expected) = (self.key(n), self.value(n));
        let value = client.ask(&["get", &key]);
        let shown = format!("{value:?}");
        assert!(value == expected.as_str().into(), "{key}: {}", &shown[..shown.len().min(100)]);
    }

    #[track_caller]
    fn assert_kept(&self, host: &Host) {
        assert!(!self.acknowledged.is_empty());
        let mut client = Resp::connect(host);
        self.acknowledged.iter().for_each(|n| self.assert_value(&mut client, *n));
    }
}

/// Returns why commands that write are refused.
#[track_caller]
fn problem(host: &Host) -> Option<String> {
    match host.info("store").get("journal-problem").unwrap() {
        Frame::Null => None,
        problem => Some(problem.as_str().to_owned()),
    }
}

/// Checks that the log has one line of the failure and this many of its end.
#[track_caller]
fn assert_logged(host: &Host, recovered: usize) {
    let count = |text: &str| host.log().matches(text).count();
    assert_eq!([count(FAILED), count(RECOVERED)], [1, recovered]);
}

#[test]
#[cfg_attr(not(right = "root"), ignore = "needs root")]
fn full_disk_refuses_writes_until_there_is_room() {
    for sync in ["always", "everysec", "never"] {
        let hosts = Hosts::new();
        let _disk = Mount::in_memory(1 << 20, &hosts.make_state());
        let ballast = hosts.state().join("ballast");
        fs::write(&ballast, vec![1; 600_000]).unwrap();
        let mut host = hosts.start(&["--journal-sync", sync]);
        let mut filler = Filler::new("filler", 30_000);
        let has_run = filler.sent_at_error(&host, "; the command has run, and is kept ");
        let refused = filler.sent_at_error(&host, "; commands that write are refused until ");
        let said = problem(&host).expect("there is a problem");
        assert!(
            said.starts_with("cannot write its journal ") && said.contains("No space"),
            "{said}"
        );
        let mut client = Resp::connect(&host);
        filler.assert_value(&mut client, has_run);
        assert_eq!(client.ask(&["exists", &filler.key(refused)]), 0.into());
        filler.assert_kept(&host);
        assert_eq!(client.ask(&["echo", "fine"]), "fine".into());
        // While the journal is tried again each second, in vain.
        assert_logged(&host, 0);
        fs::remove_file(ballast).unwrap();
        filler.wait_until_set(&host);
        assert_eq!(problem(&host), None);
        assert_logged(&host, 1);
        host.kill();
        let host = hosts.start(&["--journal-sync", sync]);
        filler.assert_kept(&host);
        let mut client = Resp::connect(&host);
        filler.assert_value(&mut client, has_run);
        assert_eq!(client.ask(&["exists", &filler.key(refused)]), 0.into());
    }
}

impl Filler {
    /// Sets values until there is an error with this text. Returns the number of that value.
    #[track_caller]
    fn sent_at_error(&mut self, host: &Host, text: &str) -> usize {
        let error = self.fill(host);
        assert!(error.starts_with("MISCONF plugin 'store': ") && error.contains(text), "{error}");
        self.sent - 1
    }
}

/// A file system on a disk in memory, whose room is smaller than the disk says: a flush fails, not a
/// write.
struct ThinDisk {
    image: PathBuf,
    ballast: PathBuf,
    place: PathBuf,
    mount: Option<Mount>,
    _memory: Mount,
    _folder: tempfile::TempDir,
}

impl ThinDisk {
    fn new(kind: &str, place: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let memory = Mount::in_memory(8 << 20, folder.path());
        let [image, ballast] = ["image", "ballast"].map(|name| folder.path().join(name));
        fs::File::create(&image).unwrap().set_len(32 << 20).unwrap();
        run(Command::new("mke2fs").args(["-q", "-F", "-t", kind, "-b", "4096"]).arg(&image));
        let place = place.to_owned();
        let mut disk =
            Self { image, ballast, place, mount: None, _memory: memory, _folder: folder };
        disk.attach();
        disk
    }

    fn attach(&mut self) {
        self.mount = Some(Mount::new(&["-o", "loop", self.image.to_str().unwrap()], &self.place));
    }

    /// Forgets what the system has in memory alone.
    fn attach_again(&mut self) {
        self.mount = None;
        self.attach();
    }

    /// Cuts the file system off from the disk, as a power cut does: nothing reaches it any more.
    #[track_caller]
    fn cut_power(&self) {
        // EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH.
        const SHUT_DOWN: &str = "import fcntl, os, struct, sys\n\
            place = os.open(sys.argv[1], os.O_RDONLY)\n\
            fcntl.ioctl(place, 0x8004587d, struct.pack('I', 2))";
        run(Command::new("python3").args(["-c", SHUT_DOWN]).arg(&self.place));
    }
}

#[test]
#[cfg_attr(not(right = "root"), ignore = "needs root")]
fn failed_flush_is_made_good_by_a_snapshot() {
    let hosts = Hosts::new();
    let mut disk = ThinDisk::new("ext2", &hosts.make_state());
    let mut host = hosts.start(&["--journal-sync", "always"]);
    let mut fillers = ["one", "two", "three"].map(|name| Filler::new(name, 2_000));
    let mut client = Resp::connect(&host);
    for filler in &mut fillers {
        assert_eq!(filler.set(&mut client), Ok(()));
    }
    fs::write(&disk.ballast, vec![1; 7 << 20]).unwrap();
    let errors: Vec<_> = thread::scope(|scope| {
        let host = &host;
        let clients = fillers.each_mut().map(|filler| scope.spawn(move || filler.fill(host)));
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    assert!(errors.iter().any(|error| error.contains("cannot flush its journal ")), "{errors:?}");
    let said = problem(&host).expect("there is a problem");
    assert!(said.starts_with("cannot flush its journal "), "{said}");
    fillers.iter().for_each(|filler| filler.assert_kept(&host));
    assert_logged(&host, 0);
    fs::remove_file(&disk.ballast).unwrap();
    for filler in &mut fillers {
        filler.wait_until_set(&host);
    }
    assert_eq!(problem(&host), None);
    assert_logged(&host, 1);
    assert!(host.figure("store", "snapshots") >= 1);
    host.kill();
    disk.attach_again();
    let host = hosts.start(&["--journal-sync", "always"]);
    fillers.iter().for_each(|filler| filler.assert_kept(&host));
}

#[test]
#[cfg_attr(not(right = "root"), ignore = "needs root")]
fn read_only_disk_refuses_the_plugin_until_writable() {
    let (hosts, counters) = (Hosts::new(), Counters::new(3));
    let disk = Mount::in_memory(1 << 20, &hosts.make_state());
    let mut host = hosts.start(&["--journal-sync", "always"]);
    counters.kill_under_load(&mut host);
    // With a file open for writing, as the journal of a running host is, the system refuses it.
    disk.remount("ro");
    let before = super::read_files(&hosts.state());
    let host = hosts.start(&["--journal-sync", "always"]);
    host.wait_for_log("plugin store: refused ");
    let mut client = Lines::connect(&host);
    assert!(client.ask("get counter-0").starts_with("error: unknown command"));
    assert_eq!(client.ask("echo fine"), "fine");
    disk.remount("rw");
    assert!(super::read_files(&hosts.state()) == before, "a file has changed");
    let said = client.ask("plugin reload store");
    assert!(said.starts_with("plugin 'store' serves generation "), "{said}");
    counters.assert_kept(&host);
}

/// Cuts the power while clients write, and returns how many acknowledged values are lost.
#[track_caller]
fn lost_by_power_cut(sync: &str) -> usize {
    let hosts = Hosts::new();
    let mut disk = ThinDisk::new("ext4", &hosts.make_state());
    let mut host = hosts.start(&["--journal-sync", sync]);
    let mut fillers = ["one", "two", "three"].map(|name| Filler::new(name, 100));
    thread::scope(|scope| {
        let (host, [last, others @ ..]) = (&host, &mut fillers);
        others.iter_mut().for_each(|filler| {
            scope.spawn(|| filler.fill(host));
        });
        let mut client = Resp::connect(host);
        for _ in 0..100 {
            assert_eq!(last.set(&mut client), Ok(()));
        }
        disk.cut_power();
        last.fill(host);
    });
    assert_logged(&host, 0);
    host.kill();
    disk.attach_again();
    let host = hosts.start(&["--journal-sync", sync]);
    assert_eq!(host.logged("plugin store: refused "), None);
    let mut client = Resp::connect(&host);
    let mut is_lost = |(filler, n): &(&Filler, usize)| {
        let value = client.ask(&["get", &filler.key(*n)]);
        assert!(value == Frame::Null || value == filler.value(*n).as_str().into(), "{value:?}");
        value == Frame::Null
    };
    let acknowledged =
        fillers.iter().flat_map(|one| one.acknowledged.iter().map(move |n| (one, *n)));
    acknowledged.filter(&mut is_lost).count()
}

#[test]
#[cfg_attr(not(all(right = "root", tool = "python3")), ignore = "needs root")]
fn power_cut_loses_nothing_that_was_flushed() {
    assert_eq!(lost_by_power_cut("always"), 0);
    // The cut is one: without a flush it does lose something.
    assert_ne!(lost_by_power_cut("never"), 0);
}
