//! Plugins outside of the host's process: libraries in worker processes, and executables.

#[cfg(unix)]
mod answers;
#[cfg(unix)]
mod command_lists;
#[cfg(unix)]
mod examples;
#[cfg(unix)]
mod executable_calls;
#[cfg(unix)]
mod executable_faults;
#[cfg(unix)]
mod executable_reloads;
#[cfg(unix)]
mod executable_starts;
#[cfg(unix)]
mod file_kinds;
mod interruptions;
mod isolated_calls;
mod isolated_reloads;
mod isolated_threads;
#[cfg(unix)]
mod library_faults;
#[cfg(unix)]
mod limits;
#[cfg(target_os = "linux")]
mod orphans;
mod places;
#[cfg(unix)]
mod quarantine;
#[cfg(unix)]
mod scripts;
#[cfg(unix)]
mod supervision;

use dropin_tests::{
    Frame, Host, LIMIT, Load, Resp, Setup, built,
    reload::{marked, variant},
    resp::encode,
    wait_until,
};

/// Returns a host with the plugin `text` in its own process, and with long time limits for plugins,
/// so that a machine that stands still fails no test.
fn setup() -> Setup {
    Setup::new().plugins(&["text"]).flags(&["--probe-timeout", "60", "--handover-timeout", "30"])
}

/// Returns such a host with these plugins in worker processes.
fn isolated_setup(plugins: &[&str]) -> Setup {
    let isolate = |setup: Setup, plugin: &&str| setup.flags(&["--isolate", plugin]);
    plugins.iter().fold(setup(), isolate).plugins(plugins)
}

#[track_caller]
fn isolated(plugins: &[&str]) -> Host {
    isolated_setup(plugins).start()
}

/// Returns a host with a fixture of this mark in a worker process.
#[track_caller]
fn isolated_with(package: &str, mark: &str) -> Host {
    let library = marked(package, mark);
    let setup = setup().flags(&["--isolate", package]);
    setup.file(&built::library_name(package), &library).start()
}

/// Writes another version of a fixture into the plugins folder.
fn replace(host: &Host, package: &str, mark: &str) {
    host.place(package, &marked(package, mark));
}

/// Starts a client of the plugin `text`, which runs in the host: none of its requests may fail.
fn others(host: &Host) -> Load {
    let is_right = |reply: &Frame| *reply == "beside".into();
    Load::new().client(host, &["echo", "beside"], 4, is_right)
}

/// Checks that the other client is served at the end, and has been all the time.
#[track_caller]
fn finish(others: Load) {
    others.flow();
    others.stop();
}

/// Returns the error of a call whose process has ended.
fn crashed(plugin: &str, cause: &str, command: &str) -> Frame {
    Frame::error(&format!("CRASHED plugin '{plugin}': {cause} in '{command}'"))
}

/// Checks that a reply is an error that starts with these words.
#[track_caller]
fn assert_error(reply: &Frame, start: &str) {
    assert!(matches!(reply, Frame::Error(text) if text.starts_with(start)), "{reply:?}");
}

/// Waits until a command has this reply. Until then its plugin may be unavailable, and nothing else.
#[track_caller]
fn wait_until_served(host: &Host, words: &[&str], reply: &Frame) {
    let mut client = Resp::connect3(host);
    wait_until(&format!("{words:?} is served"), LIMIT, || {
        let said = client.ask(words);
        if said == *reply {
            return true;
        }
        assert_error(&said, "UNAVAILABLE plugin '");
        false
    });
}

/// Returns the ids of a plugin's processes.
#[track_caller]
fn pids(host: &Host, plugin: &str) -> Vec<u32> {
    let info = host.info(plugin);
    let pids = info.get("pids").unwrap_or_else(|| panic!("no pids in {info:?}"));
    let id = |pid: &Frame| u32::try_from(pid.as_integer()).expect("a process id");
    pids.items().iter().map(id).collect()
}

/// Returns the id of a plugin's only process.
#[track_caller]
pub fn pid(host: &Host, plugin: &str) -> u32 {
    let [pid] = pids(host, plugin)[..] else { panic!("{:?}", host.info(plugin)) };
    pid
}

/// Returns the place where a plugin's workers run.
#[track_caller]
fn place(host: &Host, plugin: &str) -> String {
    host.info(plugin).get("place").expect("it has a place").as_str().to_owned()
}

/// Returns a session that is subscribed to the events of plugins.
#[track_caller]
fn watcher(host: &Host) -> Resp {
    let mut client = Resp::connect3(host);
    assert_eq!(client.ask(&["plugin", "watch"]), Frame::ok());
    client
}

/// Returns the kind and the detail of the next event of a plugin.
#[track_caller]
fn next_event(watcher: &mut Resp, plugin: &str) -> (String, String) {
    // Other plugins have events as well, but not that many.
    for _ in 0..1_000 {
        let Frame::Push(items) = watcher.frame() else { panic!("no push") };
        let [topic, kind, name, _, detail] = &items[..] else { panic!("{items:?}") };
        assert_eq!(topic.as_str(), "plugin");
        if name.as_str() == plugin {
            return (kind.as_str().to_owned(), detail.as_str().to_owned());
        }
    }
    panic!("no event of plugin '{plugin}'");
}

/// Waits for an event of this kind, and returns its detail.
#[track_caller]
fn wait_for_event(watcher: &mut Resp, plugin: &str, kind: &str) -> String {
    loop {
        let (found, detail) = next_event(watcher, plugin);
        if found == kind {
            return detail;
        }
    }
}

/// Writes the same library as a different file, and waits until it serves, as the replacement of
/// this number.
#[track_caller]
fn replace_by_variant(host: &Host, package: &str, number: usize) {
    host.place(package, &variant(package, number));
    host.wait_for_swaps(package, number);
}

/// Sends a batch at once and returns its replies.
#[track_caller]
fn batch(client: &mut Resp, requests: &[&[&str]]) -> Vec<Frame> {
    client.send(requests.iter().flat_map(|words| encode(words)).collect::<Vec<u8>>());
    requests.iter().map(|_| client.frame()).collect()
}
