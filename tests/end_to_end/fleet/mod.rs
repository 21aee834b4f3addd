//! A fleet: hosts that answer each other's commands over NATS.

mod access;
#[cfg(target_os = "linux")]
mod cables;
mod calls;
mod cancelling;
#[cfg(unix)]
mod chaos;
mod commands;
mod credentials;
#[cfg(unix)]
mod failures;
mod independent;
mod leaving;
mod members;
mod outages;
mod replies;
mod sites;
mod slow;
#[cfg(unix)]
mod versions;

use dropin_tests::{Frame, Host, LIMIT, Lines, Resp, Setup, nats::Nats, wait_until};

/// Returns a member of a fleet with these plugins, before its start.
fn member(nats: &Nats, name: &str, plugins: &[&str]) -> Setup {
    member_at(&nats.url(), name, plugins)
}

/// Returns the same, of a NATS server at this address.
fn member_at(url: &str, name: &str, plugins: &[&str]) -> Setup {
    Setup::new().plugins(plugins).flags(&["--fleet", url, "--fleet-host", name])
}

/// Starts host `a` without plugins and host `b` with these, and waits until `a` has the command of
/// this name from `b`.
#[track_caller]
fn pair(nats: &Nats, plugins: &[&str], command: &str) -> (Host, Host) {
    let (a, b) = (member(nats, "a", &[]).start(), member(nats, "b", plugins).start());
    wait_for_hosts(&a, command, 1);
    (a, b)
}

/// Returns the number of other hosts that answer a command; `None` if this host answers it, or if
/// it is unknown.
#[track_caller]
fn hosts_of(host: &Host, command: &str) -> Option<i64> {
    let docs = Resp::connect(host).ask(&["COMMAND", "DOCS", command]);
    Some(docs.get(command)?.get("hosts")?.as_integer())
}

/// Waits until this many other hosts answer a command.
#[track_caller]
fn wait_for_hosts(host: &Host, command: &str, count: i64) {
    wait_until(&format!("'{command}' is answered by {count} other hosts"), LIMIT, || {
        hosts_of(host, command) == Some(count)
    });
}

/// Returns the description of another host by the command `fleet`; `None` if it is no member.
#[track_caller]
fn described(host: &Host, name: &str) -> Option<Frame> {
    let fleet = Resp::connect3(host).ask(&["fleet"]);
    let hosts = fleet.get("hosts").expect("the hosts are listed").items();
    hosts.iter().find(|host| host.get("host") == Some(&name.into())).cloned()
}

/// Returns the state of the connection to NATS by the command `fleet`.
#[track_caller]
fn nats_state(host: &Host) -> String {
    let fleet = Resp::connect3(host).ask(&["fleet"]);
    fleet.get("nats").expect("the state is listed").as_str().to_owned()
}

/// Waits until a host is connected to NATS.
#[track_caller]
fn wait_until_connected(host: &Host) {
    wait_until("the host is connected to NATS", LIMIT, || nats_state(host) == "connected");
}

/// Returns a session whose call of `linger` runs at another host, and the session's number.
#[track_caller]
fn linger(caller: &Host, answering: &Host) -> (Resp, String) {
    let mut client = Resp::connect3(caller);
    let id = client.ask(&["CLIENT", "ID"]).as_integer().to_string();
    client.say(&["linger", "600000"]);
    answering.wait_for_log(&format!("lingering for {}", client.local()));
    (client, id)
}

/// Returns the error's kind and text.
#[track_caller]
fn error(frame: &Frame) -> (&str, &str) {
    let Frame::Error(text) = frame else { panic!("not an error: {frame:?}") };
    text.split_once(' ').unwrap_or((text, ""))
}

/// Returns true if an error says that the answering host, or all of them, cannot be reached.
fn is_outage(frame: &Frame) -> bool {
    matches!(frame, Frame::Error(text)
        if text.starts_with("HOSTDOWN ") || text.starts_with("UNAVAILABLE "))
}

/// Checks that a session's next reply is that of its next command.
#[track_caller]
fn expect_in_step(client: &mut Resp, mark: &str) {
    assert_eq!(client.ask(&["ping", mark]), mark.into());
}

/// Waits until a command of another host is answered with this.
#[track_caller]
fn wait_for_reply(client: &mut Resp, words: &[&str], reply: &Frame) {
    let mut last = Frame::Null;
    wait_until(&format!("{words:?} is answered {reply:?}"), LIMIT, || {
        last = client.ask(words);
        last == *reply
    });
}

/// Waits until a host answers a command in lines with an error that begins so, and returns it.
#[track_caller]
fn wait_for_error(host: &Host, command: &str, start: &str) -> String {
    let (mut client, mut last) = (Lines::connect(host), String::new());
    wait_until(&format!("'{command}' is answered with {start}"), LIMIT, || {
        last = client.ask(command);
        last.starts_with(&format!("error: {start}"))
    });
    last
}
