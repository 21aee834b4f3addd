//! The end of a host and of a plugin: no process and no private copy is left, in whatever way it
//! came.

use std::time::Duration;

use dropin_tests::{
    Host, LIMIT, Lines, Resp, Setup,
    executable::Script,
    files,
    reload::variant,
    system::{descendants, is_running, kill, open_files, session, threads},
    wait_until,
};

use super::*;

/// The time within which processes end whose host was killed.
const KILLED: Duration = Duration::from_secs(5);

/// Returns a host with plugins of every kind in processes. One of them ignores the end of its input
/// and every polite signal.
fn mixed() -> Setup {
    let setup = isolated_setup(&["crashes", "store"]);
    let deaf = Script::fixture("start").set("FAULT", "deaf");
    setup
        .executable("deaf.py", deaf)
        .executable("sound.py", Script::fixture("sound"))
        .executable("faulty.py", Script::fixture("faulty"))
}

/// A process in a session of its own, which survives its parent and is killed when this drops.
struct Left(u32);

impl Left {
    #[track_caller]
    fn new(pid: i64) -> Self {
        let left = Self(u32::try_from(pid).expect("a process id"));
        wait_until("it has a session of its own", LIMIT, || session(left.0) == Some(left.0));
        left
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        if is_running(self.0) {
            kill(self.0);
        }
    }
}

/// Returns the threads of a host that read what its processes write.
fn readers(host: &Host) -> usize {
    let names = ["plugin output", "plugin lines", "plugin log", "script output"];
    threads(host.pid()).iter().filter(|name| names.contains(&name.as_str())).count()
}

/// Starts such a host, and returns the processes that it has started.
#[track_caller]
fn start() -> (Host, Vec<u32>) {
    let host = mixed().start();
    for (command, reply) in
        [("start.version", "1"), ("sound.version", "1"), ("faulty.version", "1"), ("incr n", "1")]
    {
        host.wait_for_answer(command, reply);
    }
    let started = descendants(host.pid());
    for plugin in ["crashes", "store", "start", "sound", "faulty"] {
        assert!(started.contains(&pid(&host, plugin)), "{plugin}");
    }
    (host, started)
}

#[track_caller]
fn wait_until_gone(started: &[u32], limit: Duration) {
    wait_until("the processes have ended", limit, || !started.iter().any(|pid| is_running(*pid)));
}

#[test]
fn ks_leaves_no_process_and_no_copy() {
    let (mut host, started) = start();
    assert_eq!(host.ks(), Some(0));
    wait_until_gone(&started, LIMIT);
    assert!(host.copies().is_empty(), "{:?}", host.copies());
}

#[test]
fn sigterm_leaves_no_process_and_no_copy() {
    let (mut host, started) = start();
    let (mut native, mut script) = (Resp::connect(&host), Resp::connect(&host));
    native.say(&["crash.heed"]);
    script.say(&["faulty.heed"]);
    host.wait_for_log("heeding for ");
    host.wait_for_log("faulty: heeding");
    host.terminate();
    assert_eq!(host.exit(), Some(0));
    wait_until_gone(&started, LIMIT);
    assert!(host.copies().is_empty(), "{:?}", host.copies());
}

#[test]
fn stuck_calls_delay_no_end() {
    let host = mixed().flags(&["--grace", "1"]).start();
    host.wait_for_answer("faulty.version", "1");
    let (mut native, mut script) = (Resp::connect(&host), Resp::connect(&host));
    native.say(&["crash.spin"]);
    script.say(&["faulty.spin"]);
    host.wait_for_log("spinning for ");
    host.wait_for_log("faulty: spinning");
    let started = descendants(host.pid());
    let mut host = host;
    // The status may tell that calls were cut off.
    let _ = host.ks();
    wait_until_gone(&started, LIMIT);
}

#[test]
fn killed_host_leaves_no_process() {
    let (mut host, started) = start();
    let (mut native, mut script) = (Resp::connect(&host), Resp::connect(&host));
    native.say(&["crash.spin"]);
    script.say(&["faulty.spin"]);
    host.wait_for_log("spinning for ");
    host.wait_for_log("faulty: spinning");
    host.kill();
    wait_until_gone(&started, KILLED);
}

#[test]
fn process_of_old_version_ends_after_reload() {
    let (host, _) = start();
    let before = [pid(&host, "store"), pid(&host, "sound"), pid(&host, "start")];
    host.place("store", &variant("store", 1));
    host.place_executable("sound.py", Script::fixture("sound").set("VERSION", "2"));
    let deaf = Script::fixture("start").set("FAULT", "deaf").set("VERSION", "2");
    host.place_executable("deaf.py", deaf);
    host.wait_for_answer("sound.version", "2");
    host.wait_for_answer("start.version", "2");
    host.wait_for_log("plugin store: generation 2 swapped, ");
    wait_until_gone(&before, LIMIT);
    assert_eq!(Lines::connect(&host).ask("incr n"), "2");
}

#[test]
fn removed_plugin_leaves_no_process() {
    let (mut host, _) = start();
    let before = ["crashes", "store", "start", "sound", "faulty"].map(|plugin| pid(&host, plugin));
    for name in ["deaf.py", "sound.py", "faulty.py"] {
        files::remove(host.executable(name));
    }
    for package in ["crashes", "store"] {
        files::remove(host.library(package));
    }
    wait_until_gone(&before, LIMIT);
    for command in ["start.version", "sound.version", "faulty.version", "crash.version", "get n"] {
        host.wait_until_unknown(command);
    }
    wait_until("every process has ended", LIMIT, || descendants(host.pid()).is_empty());
    assert_eq!(host.ks(), Some(0));
}

#[test]
fn refused_executables_leave_no_process() {
    let host = Setup::new().plugins(&["text"]).flags(&["--probe-timeout", "6"]).start();
    host.wait_for_answer("echo fine", "fine");
    for fault in ["silent", "half", "closes", "claims ks", "no JSON", "deep"] {
        let name = fault.replace(' ', "-");
        host.place_executable(&name, Script::fixture("start").set("FAULT", fault));
        host.wait_for_log(&format!(": refused {name} ("));
    }
    wait_until("their processes have ended", LIMIT, || descendants(host.pid()).is_empty());
    assert_eq!(Lines::connect(&host).ask("echo fine"), "fine");
}

#[test]
fn left_process_keeps_nothing_of_the_host() {
    /// Two for each process that serves.
    const READERS: usize = 4;
    let script = "#!/bin/sh\n# dropin: leave PATH -- Leaves a process.\n\
                  setsid sh -c 'echo $$ >\"$1\"; exec sleep 60' left \"$1\" &\n\
                  until [ -s \"$1\" ]; do sleep 0.01; done; cat \"$1\"\n";
    let faulty = Script::fixture("faulty");
    let setup = isolated_setup(&["crashes"]).executable("faulty.py", faulty);
    let host = setup.executable("leave.sh", script).start();
    host.wait_for_answer("crash.version", "1");
    host.wait_for_answer("faulty.version", "1");
    host.wait_for_log("plugin leave: generation 1");
    let mut client = Resp::connect(&host);
    // A thread takes its name only when it runs.
    wait_until("every reader has its name", LIMIT, || readers(&host) == READERS);
    let files = open_files(host.pid());
    let mut left = Vec::new();
    for number in 0..3 {
        for (plugin, start) in [("crashes", "crash"), ("faulty", "faulty")] {
            let pid = client.ask(&[&format!("{start}.leaves")]).as_integer();
            left.push(Left::new(pid));
            let exit = format!("{start}.exit");
            assert_eq!(client.ask(&[&exit, "7"]), crashed(plugin, "exit status 7", &exit));
            wait_until_served(&host, &[&format!("{start}.echo"), "again"], &"again".into());
        }
        let path = host.state_dir().join(format!("left-{number}"));
        let pid = client.ask(&["leave", path.to_str().expect("UTF-8")]);
        left.push(Left::new(pid.as_str().parse().expect("a process id")));
    }
    wait_until("no reader is left", LIMIT, || readers(&host) == READERS);
    // A reader that is left has at least one for each of the nine processes.
    wait_until("no descriptor is left", LIMIT, || open_files(host.pid()) < files + 9);
    assert!(left.iter().all(|left| is_running(left.0)), "they have kept the pipes open");
}

#[test]
fn end_of_input_lets_a_worker_finish() {
    let (host, _) = start();
    let ended = host.own_dir().join("data/sound/ended");
    assert!(!ended.exists());
    files::remove(host.executable("sound.py"));
    wait_until("the worker has come to its end", LIMIT, || {
        std::fs::read_to_string(&ended).is_ok_and(|text| text == "1")
    });
}
