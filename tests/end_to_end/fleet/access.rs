//! Rights, facts about the caller, and the operator's view of calls between hosts.

use std::fs;

use dropin_tests::{
    Frame, Host, LIMIT, Lines, Resp, built::library_name, keys::add_key, nats::Nats,
    reload::marked, wait_until,
};

use super::{linger, member, wait_for_hosts};

/// Logs in with a new key of a host that trusts no address.
#[track_caller]
fn holder(host: &Host, name: &str, flags: &[&str]) -> Resp {
    let key = add_key(host, name, flags);
    let mut client = Resp::connect3(host);
    wait_until("the host knows the key", LIMIT, || {
        client.ask(&["AUTH", name, &key]) == Frame::ok()
    });
    client
}

/// Waits until a session knows a command.
#[track_caller]
fn wait_until_known(client: &mut Resp, command: &str) {
    wait_until(&format!("'{command}' is known"), LIMIT, || {
        client.ask(&["COMMAND", "LIST"]).items().contains(&command.into())
    });
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn key_with_a_pattern_runs_only_these_commands() {
    let nats = Nats::start();
    let a = member(&nats, "a", &[]).flags(&["--trust", "none"]).start();
    let b = member(&nats, "b", &["store", "text"]).start();
    let mut some = holder(&a, "some", &["--commands", "get", "--commands", "text.*"]);
    wait_until_known(&mut some, "get");
    wait_until_known(&mut some, "echo");
    assert_eq!(some.ask(&["get", "key"]), Frame::Null);
    assert_eq!(some.ask(&["echo", "text"]), "text".into());
    for words in [&["set", "key", "1"][..], &["SET", "key", "1"], &["del", "key"], &["fleet"]] {
        let reply = some.ask(words);
        let is_refused =
            matches!(&reply, Frame::Error(text) if text.starts_with("NOPERM User some "));
        assert!(is_refused, "{words:?}: {reply:?}");
    }
    assert_eq!(Lines::connect(&b).ask("dbsize"), "0");
    let mut all = holder(&a, "all", &[]);
    assert_eq!(all.ask(&["set", "key", "1"]), Frame::ok());
    assert_eq!(some.ask(&["get", "key"]), "1".into());
    let mut stranger = Resp::connect(&a);
    let reply = stranger.ask(&["get", "key"]);
    assert!(matches!(&reply, Frame::Error(text) if text.starts_with("NOAUTH ")), "{reply:?}");
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn worker_sees_the_clients_facts() {
    let nats = Nats::start();
    let a = member(&nats, "a", &[]).flags(&["--trust", "none"]).start();
    let b = member(&nats, "b", &["facts", "server"]).start();
    for (name, flags, role) in [("alice", &[][..], "user"), ("boss", &["--role", "admin"], "admin")]
    {
        let mut client = holder(&a, name, flags);
        wait_until_known(&mut client, "facts");
        let id = client.ask(&["CLIENT", "ID"]);
        assert_eq!(client.ask(&["CLIENT", "SETNAME", "sam"]), Frame::ok());
        let facts = client.ask(&["facts", "text"]);
        let expected = [
            ("command", "facts".into()),
            ("peer", Frame::text(client.local().to_string())),
            ("session", id.clone()),
            ("name", "sam".into()),
            ("cancelled", Frame::Boolean(false)),
        ];
        for (fact, value) in expected {
            assert_eq!(facts.get(fact), Some(&value), "{fact} in {facts:?}");
        }
        let who = client.ask(&["whoami"]);
        let expected = [
            ("key", name.into()),
            ("role", role.into()),
            ("id", id),
            ("name", "sam".into()),
            ("port", i64::from(client.local().port()).into()),
        ];
        for (fact, value) in expected {
            assert_eq!(who.get(fact), Some(&value), "{fact} in {who:?}");
        }
    }
    // A client that is trusted by its address has no key, and the same rights there.
    let c = member(&nats, "c", &[]).start();
    wait_for_hosts(&c, "whoami", 1);
    let (far, near) = (Resp::connect3(&c).ask(&["whoami"]), Resp::connect3(&b).ask(&["whoami"]));
    for fact in ["key", "role"] {
        assert_eq!(far.get(fact), near.get(fact), "{far:?}");
    }
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn slow_call_is_logged_with_its_caller() {
    let nats = Nats::start();
    let a = member(&nats, "a", &[]).start();
    let b = member(&nats, "b", &["busy"]).flags(&["--slow-call", "1"]).start();
    wait_for_hosts(&a, "linger", 1);
    let (client, id) = linger(&a, &b);
    let caller = format!(
        "fleet: 'linger' of session {id} of host 'a' from {} has been running for ",
        client.local()
    );
    let line = b.wait_for_log(&caller);
    assert!(line.contains(" WARN "), "{line}");
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn replacement_waits_for_a_call_of_another_host() {
    let nats = Nats::start();
    let a = member(&nats, "a", &[]).start();
    let b = member(&nats, "b", &[])
        .flags(&["--handover-timeout", "600", "--probe-timeout", "60"])
        .file(&library_name("keeper"), &marked("keeper", "1"))
        .start();
    wait_for_hosts(&a, "keeper.hold", 1);
    let mut client = Resp::connect(&a);
    assert_eq!(client.ask(&["keep", "pearls"]), Frame::ok());
    let gate = b.state_dir().join("gate");
    let mut holder = Resp::connect(&a);
    let id = holder.ask(&["CLIENT", "ID"]).as_integer();
    holder.say(&["keeper.hold", gate.to_str().unwrap()]);
    b.wait_for_log("keeper: keeper 1 holds");
    b.place("keeper", &marked("keeper", "2"));
    let waiting = || match b.info("keeper").get("waiting") {
        Some(Frame::Text(text)) => Some(String::from_utf8_lossy(text).into_owned()),
        _ => None,
    };
    wait_until("the replacement waits", LIMIT, || waiting().is_some());
    let caller = format!("'keeper.hold' of session {id} of host 'a' from {}", holder.local());
    let text = waiting().unwrap();
    assert!(text.contains(&caller), "{text}");
    // Callers are served meanwhile.
    for _ in 0..100 {
        assert_eq!(client.ask(&["keeper.version"]), "1".into());
    }
    fs::write(&gate, "").unwrap();
    assert_eq!(holder.frame(), "1".into());
    b.wait_for_answer("keeper.version", "2");
    assert_eq!(client.ask(&["keeper.version"]), "2".into());
    assert_eq!(client.ask(&["kept"]), "pearls".into());
    assert_eq!(waiting(), None);
}
