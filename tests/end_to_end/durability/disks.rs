//! Disks that are full or fail: commands that write are refused, and nothing is lost.

use std::{fs, path::PathBuf, process::Command};

use dropin_tests::{Frame, Host, LIMIT, Lines, Resp, wait_until};

use super::store_with;
#[cfg(unix)]
use super::{Counter, assert_counters};
#[cfg(unix)]
use crate::reload::folder::with_file_permissions;
use crate::reload::restart::{SuccessiveHosts, make_private};

/// A file system in memory, which is unmounted when this drops.
struct Mount(PathBuf);

impl Mount {
    fn new(folder: PathBuf, size: &str) -> Self {
        let options = format!("size={size},mode=700");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "dropin-test"]).arg(&folder);
        assert!(mount.status().unwrap().success());
        Self(folder)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: the host may still have files open.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn set(client: &mut Resp, number: usize) -> Frame {
    client.ask(&["set", &format!("key-{number}"), &value(number)])
}

fn value(number: usize) -> String {
    format!("{number}-{}", "x".repeat(20_000))
}

/// Sets keys until the disk takes no more. Returns the number of the key that was refused.
#[track_caller]
fn fill_disk(host: &Host, start: usize) -> usize {
    let mut client = Resp::connect(host);
    for number in start..start + 1000 {
        match set(&mut client, number) {
            Frame::Status(ok) => assert_eq!(ok, "OK"),
            refused => {
                assert!(refused.as_str().starts_with("MISCONF plugin 'store': "), "{refused:?}");
                assert!(refused.as_str().contains("store.journal."), "{refused:?}");
                return number;
            }
        }
    }
    panic!("the disk does not get full");
}

fn count(host: &Host, text: &str) -> usize {
    host.log().matches(text).count()
}

/// Fills the disk, checks what the host says, makes room by `free`, and kills the host.
#[track_caller]
fn assert_nothing_is_lost(hosts: &SuccessiveHosts, mut host: Host, free: impl FnOnce(&Host)) {
    let refused = fill_disk(&host, 0);
    assert!(refused > 3, "{refused}");
    let mut client = Resp::connect(&host);
    for number in refused + 1..refused + 4 {
        let reply = set(&mut client, number);
        assert!(reply.as_str().contains("commands that write are refused"), "{reply:?}");
        assert_eq!(client.ask(&["get", "key-0"]), Frame::text(value(0)));
        assert_eq!(client.ask(&["get", &format!("key-{number}")]), Frame::Null);
    }
    let info = host.info("store");
    let problem = info.get("journal-problem").unwrap();
    assert!(problem.as_str().contains("cannot write its journal"), "{problem:?}");
    // The disk is tried again every second.
    std::thread::sleep(std::time::Duration::from_millis(2500));
    assert_eq!(count(&host, "commands that write are refused until it can be written"), 1);
    free(&host);
    let next = refused + 10;
    wait_until("commands that write are served", LIMIT, || set(&mut client, next) == Frame::ok());
    assert_eq!(host.info("store").get("journal-problem"), Some(&Frame::Null));
    assert_eq!(count(&host, "its journal is written again, after "), 1);
    assert_eq!(count(&host, "commands that write are refused until it can be written"), 1);
    host.kill();
    let host = store_with(hosts, &[]).start();
    let mut client = Resp::connect(&host);
    for number in (0..refused).chain([next]) {
        let kept = client.ask(&["get", &format!("key-{number}")]);
        assert_eq!(kept, Frame::text(value(number)), "key-{number}");
    }
    assert_eq!(Lines::connect(&host).ask("echo fine"), "fine");
}

#[test]
#[cfg_attr(not(right = "namespaces"), ignore = "needs the right to mount")]
fn full_disk_refuses_writes_until_there_is_room() {
    for sync in ["everysec", "always"] {
        let hosts = SuccessiveHosts::new();
        let folder = hosts.file("");
        make_private(&folder);
        let _mount = Mount::new(folder.clone(), "1m");
        let filler = folder.join("filler");
        fs::write(&filler, vec![1; 500 << 10]).unwrap();
        let host = store_with(&hosts, &["--journal-sync", sync]).start();
        assert_nothing_is_lost(&hosts, host, |_| fs::remove_file(&filler).unwrap());
    }
}

#[cfg(unix)]
#[test]
#[cfg_attr(not(right = "permissions"), ignore = "needs permissions that hold for root")]
fn folder_made_read_only_under_load_loses_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let hosts = SuccessiveHosts::new();
    let setup = store_with(&hosts, &[]).started_by(with_file_permissions());
    let mut host = setup.start();
    let counter = Counter::start(&host);
    counter.flow(100);
    let allow =
        |mode| fs::set_permissions(hosts.file(""), PermissionsExt::from_mode(mode)).unwrap();
    allow(0o500);
    let save = || Lines::connect(&host).ask("plugin save store");
    let refused = save();
    assert!(refused.starts_with("error: ") && refused.contains("Permission denied"), "{refused}");
    let info = host.info("store");
    assert!(
        info.get("snapshot-problem").unwrap().as_str().contains("Permission denied"),
        "{info:?}"
    );
    // The segment that is being written stays open.
    counter.flow(100);
    allow(0o700);
    wait_until("a snapshot can be taken", LIMIT, || !save().starts_with("error: "));
    assert_eq!(host.info("store").get("snapshot-problem"), Some(&Frame::Null));
    counter.flow(100);
    host.kill();
    let acknowledged = counter.end();
    assert_counters(&store_with(&hosts, &[]).start(), acknowledged);
}

/// Starts a host whose files can be limited.
#[cfg(target_os = "linux")]
#[track_caller]
fn start_limited(hosts: &SuccessiveHosts, sync: &str) -> Host {
    // With XFSZ ignored, a write fails at the limit instead of ending the writer.
    let shell = "trap '' XFSZ; ulimit -f unlimited; exec \"$0\" \"$@\"";
    store_with(hosts, &["--journal-sync", sync]).started_by(&["sh", "-c", shell]).start()
}

/// Limits the length of a host's files, which stands for any error of a write.
#[cfg(target_os = "linux")]
#[track_caller]
fn limit(host: &Host, limit: &str) {
    let mut command = Command::new("prlimit");
    command.args(["--pid", &host.pid().to_string(), &format!("--fsize={limit}:unlimited")]);
    assert!(command.status().unwrap().success());
}

#[cfg(target_os = "linux")]
#[test]
#[cfg_attr(not(tool = "prlimit"), ignore = "needs prlimit")]
fn each_request_of_a_batch_gets_one_reply() {
    let hosts = SuccessiveHosts::new();
    let host = start_limited(&hosts, "everysec");
    limit(&host, "40");
    let mut client = Lines::connect(&host).into_connection();
    // Two of the lines are no commands.
    client.send("set a 1\nset \"x\nset \"y\necho last\n");
    let mut client = Lines::from_connection(client);
    for _ in 0..4 {
        let reply = client.line();
        assert!(reply.starts_with("error: MISCONF plugin 'store': "), "{reply}");
    }
    assert_eq!(client.ask("echo next"), "next");
    limit(&host, "unlimited");
}

#[cfg(target_os = "linux")]
#[test]
#[cfg_attr(not(tool = "prlimit"), ignore = "needs prlimit")]
fn failing_writes_are_refused_until_they_succeed() {
    for sync in ["everysec", "always"] {
        let hosts = SuccessiveHosts::new();
        let host = start_limited(&hosts, sync);
        limit(&host, "300000");
        assert_nothing_is_lost(&hosts, host, |host| limit(host, "unlimited"));
    }
}
