//! The commands of other hosts in the list of this one.

use dropin_tests::{Frame, Host, LIMIT, Lines, Resp, files, nats::Nats, wait_until};

use super::{hosts_of, member, pair, wait_for_hosts};

fn changed() -> Frame {
    Frame::Push(vec!["commands".into(), "changed".into()])
}

/// Reads notices of changed commands until the condition holds.
#[track_caller]
fn watch_until(watcher: &mut Resp, mut condition: impl FnMut() -> bool) {
    assert_eq!(watcher.frame(), changed());
    while !condition() {
        assert_eq!(watcher.frame(), changed());
    }
}

fn is_known(host: &Host, command: &str) -> bool {
    let list = Resp::connect(host).ask(&["COMMAND", "LIST"]);
    list.items().contains(&command.into())
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn local_command_precedes() {
    let nats = Nats::start();
    let a = member(&nats, "a", &["store"]).start();
    let b = member(&nats, "b", &["store", "text"]).start();
    wait_for_hosts(&a, "echo", 1);
    let mut client = Lines::connect(&a);
    for number in 0..20 {
        assert_eq!(client.ask(&format!("set key{number} {number}")), "OK");
    }
    for number in 0..20 {
        assert_eq!(client.ask(&format!("get key{number}")), number.to_string());
    }
    assert_eq!(client.ask("dbsize"), "20");
    assert_eq!(Lines::connect(&b).ask("dbsize"), "0");
    assert_eq!(hosts_of(&a, "get"), None);
    // Without the plugin here, the other host answers.
    files::remove(a.library("store"));
    wait_for_hosts(&a, "get", 1);
    assert_eq!(client.ask("dbsize"), "0");
    a.install("store");
    wait_until("the store is back", LIMIT, || hosts_of(&a, "get").is_none());
    assert_eq!(client.ask("dbsize"), "20");
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn help_and_documentation_name_the_hosts() {
    let nats = Nats::start();
    let a = member(&nats, "a", &["server"]).start();
    let b = member(&nats, "b", &["text"]).start();
    wait_for_hosts(&a, "echo", 1);
    let local = Resp::connect(&b).ask(&["COMMAND", "DOCS", "echo"]);
    let summary = local.get("echo").unwrap().get("summary").unwrap().as_str().to_owned();
    let docs = |host: &Host| {
        let docs = Resp::connect3(host).ask(&["COMMAND", "DOCS", "echo"]);
        docs.get("echo").unwrap().clone()
    };
    assert_eq!(docs(&b).get("hosts"), None);
    assert_eq!(docs(&a).get("summary"), Some(&format!("{summary} (1 other host)")[..].into()));
    let _c = member(&nats, "c", &["text"]).start();
    wait_for_hosts(&a, "echo", 2);
    let expected = format!("{summary} (2 other hosts)");
    assert_eq!(docs(&a).get("summary"), Some(&expected[..].into()));
    assert_eq!(docs(&a).get("group"), Some(&"text".into()));
    assert_eq!(docs(&a).get("arguments"), docs(&b).get("arguments"));
    let mut client = Resp::connect3(&a);
    let help = client.ask(&["help", "echo"]);
    assert_eq!(help.get("help"), Some(&expected[..].into()), "{help:?}");
    assert_eq!(help.get("plugin"), Some(&"text".into()), "{help:?}");
    let overview = Lines::connect(&a).ask_all("help");
    assert!(overview.iter().any(|line| line.contains(&expected)), "{overview:?}");
    // The number of arguments is checked here already, as for a command of this host.
    assert_eq!(client.ask(&["count"]), Resp::connect3(&b).ask(&["count"]));
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn watcher_learns_of_each_change() {
    let nats = Nats::start();
    let a = member(&nats, "a", &[]).start();
    let mut watcher = Resp::connect3(&a);
    assert_eq!(watcher.ask(&["COMMAND", "WATCH"]), Frame::ok());
    let mut b = member(&nats, "b", &["text"]).start();
    watch_until(&mut watcher, || is_known(&a, "echo"));
    b.install("clock");
    watch_until(&mut watcher, || is_known(&a, "time"));
    files::remove(b.library("clock"));
    watch_until(&mut watcher, || !is_known(&a, "time"));
    let mut c = member(&nats, "c", &["text"]).start();
    watch_until(&mut watcher, || hosts_of(&a, "echo") == Some(2));
    assert_eq!(b.ks(), Some(0));
    watch_until(&mut watcher, || hosts_of(&a, "echo") == Some(1));
    end_hard(&mut c);
    watch_until(&mut watcher, || !is_known(&a, "echo"));
    a.wait_until_unknown("echo text");
}

/// Kills a host, where the system can do that.
fn end_hard(host: &mut Host) {
    #[cfg(unix)]
    host.kill();
    #[cfg(not(unix))]
    host.ks();
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn dropped_plugin_serves_the_other_hosts() {
    let nats = Nats::start();
    let (a, c) = (member(&nats, "a", &[]).start(), member(&nats, "c", &["clock"]).start());
    let b = member(&nats, "b", &[]).start();
    let mut client = Lines::connect(&a);
    assert_eq!(client.ask("echo text"), "error: unknown command 'echo'");
    for _ in 0..3 {
        b.install("text");
        for host in [&a, &c] {
            host.wait_for_answer("echo text", "text");
        }
        files::remove(b.library("text"));
        for host in [&a, &b, &c] {
            host.wait_until_unknown("echo text");
        }
    }
    assert!(matches!(Resp::connect(&a).ask(&["sleep", "1"]), Frame::Integer(1..)));
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn remote_command_in_transaction_is_refused() {
    let nats = Nats::start();
    let a = member(&nats, "a", &["text"]).start();
    let b = member(&nats, "b", &["store"]).start();
    wait_for_hosts(&a, "set", 1);
    let mut client = Resp::connect(&a);
    assert_eq!(client.ask(&["MULTI"]), Frame::ok());
    assert_eq!(client.ask(&["echo", "local"]), Frame::Status("QUEUED".into()));
    let refused = "ERR the command is answered by another host, and not allowed inside MULTI";
    assert_eq!(client.ask(&["set", "key", "1"]), Frame::error(refused));
    let aborted = client.ask(&["EXEC"]);
    assert!(
        matches!(&aborted, Frame::Error(text) if text.starts_with("EXECABORT ")),
        "{aborted:?}"
    );
    assert_eq!(client.ask(&["get", "key"]), Frame::Null);
    assert_eq!(Lines::connect(&b).ask("dbsize"), "0");
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn call_is_forwarded_once_at_most() {
    let nats = Nats::start();
    let (a, b) = pair(&nats, &["text"], "echo");
    // Host `c` has the command from `b`, and does not offer it itself.
    let c = member(&nats, "c", &[]).start();
    wait_for_hosts(&c, "echo", 1);
    assert_eq!(hosts_of(&a, "echo"), Some(1));
    assert_eq!(hosts_of(&b, "echo"), None);
    files::remove(b.library("text"));
    for host in [&a, &b, &c] {
        host.wait_until_unknown("echo text");
    }
}
