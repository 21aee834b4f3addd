//! `command watch`: a subscribed session is notified when the commands change.

use dropin_tests::{Frame, Host, LIMIT, Resp, Setup, files, keys::add_key, wait_until};

fn changed() -> Frame {
    Frame::Push(vec!["commands".into(), "changed".into()])
}

fn names(client: &mut Resp) -> Vec<String> {
    let list = client.ask(&["COMMAND", "LIST"]);
    list.items().iter().map(|name| name.as_str().to_owned()).collect()
}

#[test]
fn subscriber_gets_event_and_sees_new_registry() {
    let host = Host::start(&["text"]);
    let mut client = Resp::connect3(&host);
    assert_eq!(client.ask(&["command", "watch"]), Frame::ok());
    host.install("store");
    assert_eq!(client.frame(), changed());
    assert!(names(&mut client).contains(&"incr".to_owned()));
    files::remove(host.library("store"));
    assert_eq!(client.frame(), changed());
    assert!(!names(&mut client).contains(&"incr".to_owned()));
    let mut other = Resp::connect3(&host);
    let reloaded = other.ask(&["plugin", "reload", "text"]);
    assert!(matches!(reloaded, Frame::Text(_)), "{reloaded:?}");
    assert_eq!(client.frame(), changed());
    assert_eq!(client.ask(&["COMMAND", "UNWATCH"]), Frame::ok());
    host.install("store");
    host.wait_for_answer("incr n", "1");
    assert_eq!(client.ask(&["ping", "next"]), "next".into());
}

#[test]
fn session_subscribes_to_plugins_and_commands() {
    let host = Host::start(&[]);
    let mut client = Resp::connect3(&host);
    assert_eq!(client.ask(&["command", "watch"]), Frame::ok());
    assert_eq!(client.ask(&["plugin", "watch"]), Frame::ok());
    host.install("text");
    let Frame::Push(news) = client.frame() else { panic!("no push") };
    assert_eq!(news[..3], ["plugin".into(), "loaded".into(), "text".into()]);
    assert_eq!(client.frame(), changed());
    assert_eq!(client.ask(&["plugin", "unwatch"]), Frame::ok());
    host.install("store");
    assert_eq!(client.frame(), changed());
    // `RESET` ends the subscription, and HELLO 3 alone does not restore it.
    assert_eq!(client.ask(&["RESET"]), Frame::Status("RESET".into()));
    client.ask(&["HELLO", "3"]);
    host.install("clock");
    host.wait_for_answer("ping clock", "clock");
    assert_eq!(client.ask(&["ping", "next"]), "next".into());
}

#[test]
fn every_role_may_subscribe_and_learns_its_role() {
    let host = Setup::new().flags(&["--trust", "none"]).start();
    let (user, boss) = (add_key(&host, "alice", &[]), add_key(&host, "boss", &["--role", "admin"]));
    let mut stranger = Resp::connect3(&host);
    assert!(matches!(stranger.ask(&["command", "watch"]), Frame::Error(_)));
    let mut alice = Resp::connect3(&host);
    dropin_tests::wait_until("the host knows the key", dropin_tests::LIMIT, || {
        alice.ask(&["AUTH", "alice", &user]) == Frame::ok()
    });
    assert_eq!(alice.ask(&["command", "watch"]), Frame::ok());
    let ends =
        |line: Frame, end: &str| assert!(line.as_str().trim_end().ends_with(end), "{line:?}");
    let info = alice.ask(&["client", "info"]);
    assert!(info.as_str().contains(" user=alice "), "{info:?}");
    ends(info, " role=user");
    let mut admin = Resp::connect3(&host);
    dropin_tests::wait_until("the host knows the key", dropin_tests::LIMIT, || {
        admin.ask(&["AUTH", "boss", &boss]) == Frame::ok()
    });
    ends(admin.ask(&["client", "info"]), " role=admin");
    let list = admin.ask(&["client", "list"]);
    let of_stranger = format!("addr={} ", stranger.local());
    let line = list.as_str().lines().find(|line| line.contains(&of_stranger)).unwrap();
    assert!(line.ends_with(" role=none") && line.contains(" user=default "), "{line}");
    host.install("text");
    assert_eq!(alice.frame(), changed());
}

#[test]
fn protocols_without_pushes_cannot_watch() {
    let host = Host::start(&[]);
    let error = Frame::error("ERR watching takes RESP3: send HELLO 3 first");
    assert_eq!(Resp::connect(&host).ask(&["command", "watch"]), error);
}

#[test]
fn the_docs_name_the_subcommands_of_builtins() {
    let host = Host::start(&[]);
    let docs = Resp::connect3(&host).ask(&["COMMAND", "DOCS"]);
    let client = docs.get("client").and_then(|client| client.get("subcommands")).unwrap();
    let cancel = client.get("client|cancel").unwrap();
    assert_eq!(cancel.get("group"), Some(&"host".into()));
    let arguments = cancel.get("arguments").unwrap().items();
    assert_eq!(arguments[0].get("name"), Some(&"ID".into()));
    assert_eq!(client.get("client|id").unwrap().get("arguments"), None);
    assert_eq!(docs.get("ks").unwrap().get("subcommands"), None);
}

#[test]
fn login_as_user_ends_plugin_subscription() {
    let host = Host::start(&["text"]);
    let key = add_key(&host, "alice", &[]);
    let mut client = Resp::connect3(&host);
    for topic in ["plugin", "command"] {
        assert_eq!(client.ask(&[topic, "watch"]), Frame::ok());
    }
    wait_until("the host knows the key", LIMIT, || {
        client.ask(&["AUTH", "alice", &key]) == Frame::ok()
    });
    host.install("store");
    assert_eq!(client.frame(), changed());
}
