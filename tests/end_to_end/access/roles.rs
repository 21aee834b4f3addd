//! Roles: the commands that a key's holder may run, and the facts that it may see.

use dropin_tests::{Frame, LIMIT, Resp, Setup, keys::add_key, wait_until};

use super::{holder, login, untrusting_host};

fn refusal(client: &mut Resp, words: &[&str]) -> String {
    match client.ask(words) {
        Frame::Error(message) => message,
        other => panic!("{words:?} was run: {other:?}"),
    }
}

fn texts(frame: &Frame) -> Vec<String> {
    let Frame::List(items) = frame else { panic!("not a list: {frame:?}") };
    items.iter().map(|item| item.as_str().to_owned()).collect()
}

#[test]
fn looking_after_the_host_takes_an_admin() {
    let mut host = untrusting_host(&[]);
    let mut alice = holder(&host, "alice", &[]);
    for (words, name) in [
        (&["ks"][..], "ks"),
        (&["PLUGIN", "info", "text"], "plugin"),
        (&["stats"], "stats"),
        (&["loglevel"], "loglevel"),
    ] {
        assert_eq!(
            refusal(&mut alice, words),
            format!(
                "NOPERM User alice has no permissions to run the '{name}' command; it takes a key \
                 with the role admin"
            )
        );
    }
    let mut boss = holder(&host, "boss", &["--role", "admin"]);
    assert_eq!(boss.ask(&["plugin", "info", "text"]).get("name"), Some(&"text".into()));
    assert_eq!(boss.ask(&["ks"]), Frame::ok());
    assert_eq!(host.exit(), Some(0));
}

#[test]
fn whoami_tells_the_key_and_its_role() {
    let host = untrusting_host(&[]);
    for (name, flags, role) in [("alice", &[][..], "user"), ("boss", &["--role", "admin"], "admin")]
    {
        let answer = holder(&host, name, flags).ask(&["whoami"]);
        assert_eq!(answer.get("key"), Some(&name.into()), "{answer:?}");
        assert_eq!(answer.get("role"), Some(&role.into()), "{answer:?}");
    }
}

#[test]
fn user_sees_itself_and_admin_sees_everybody() {
    let host = untrusting_host(&[]);
    let (mut alice, mut boss) =
        (holder(&host, "alice", &[]), holder(&host, "boss", &["--role", "admin"]));
    let counts = |client: &mut Resp| {
        let listed = client.ask(&["CLIENT", "LIST"]).as_str().lines().count();
        (listed, client.ask(&["clients"]).items().len())
    };
    assert_eq!(counts(&mut alice), (1, 1));
    let own = format!("addr={} ", alice.local());
    assert!(alice.ask(&["CLIENT", "LIST"]).as_str().contains(&own));
    // Those that tried their keys before them may still be ending.
    wait_until("both see both", LIMIT, || counts(&mut boss) == (2, 2));
}

#[test]
fn info_shows_only_what_the_key_allows() {
    let host = untrusting_host(&[]);
    let mut boss = holder(&host, "boss", &["--role", "admin"]);
    let mut some = holder(&host, "some", &["--commands", "text.echo"]);
    let _ = (some.ask(&["echo", "x"]), boss.ask(&["upper", "x"]), boss.ask(&["stats"]));
    let info = |client: &mut Resp| client.ask(&["INFO", "all"]).as_str().to_owned();
    let (all, few) = (info(&mut boss), info(&mut some));
    for always in ["redis_version:", "loading:0", "role:master", "cmdstat_echo:calls=1,"] {
        assert!(all.contains(always) && few.contains(always), "{always}: {all} {few}");
    }
    for seldom in ["process_id:", "uptime_", "connected_", "total_", "cmdstat_upper:"] {
        assert!(all.contains(seldom), "{seldom}: {all}");
        let few = few.replace("connected_slaves", "");
        assert!(!few.contains(seldom), "{seldom}: {few}");
    }
    assert!(all.contains("cmdstat_stats:") && !few.contains("cmdstat_stats:"), "{few}");
    assert!(refusal(&mut Resp::connect(&host), &["INFO"]).starts_with("NOAUTH "));
}

#[test]
fn restricted_key_runs_only_its_commands() {
    let host = untrusting_host(&[]);
    let mut some = holder(&host, "some", &["--commands", "text.*", "get"]);
    assert_eq!(some.ask(&["echo", "x"]), "x".into());
    assert_eq!(some.ask(&["UPPER", "x"]), "X".into());
    assert_eq!(some.ask(&["get", "x"]), Frame::Null);
    let missing = "has no permissions to run the 'set' command; the key is for: text.* get";
    assert_eq!(refusal(&mut some, &["set", "x", "1"]), format!("NOPERM User some {missing}"));
    assert_eq!(refusal(&mut some, &["SET"]), format!("NOPERM User some {missing}"));
    for words in
        [&["PING"][..], &["CLIENT", "ID"], &["SELECT", "0"], &["HELLO", "2"], &["COMMAND", "COUNT"]]
    {
        assert!(!matches!(some.ask(words), Frame::Error(_)), "{words:?}");
    }
    let mut boss = holder(&host, "boss", &["--role", "admin", "--commands", "get"]);
    assert!(refusal(&mut boss, &["ks"]).ends_with("the key is for: get"));
    assert!(super::is_there(&host));
}

#[test]
fn session_sees_only_commands_it_may_run() {
    let host = untrusting_host(&[]);
    let mut some = holder(&host, "some", &["--commands", "store.get", "help"]);
    let listed = texts(&some.ask(&["COMMAND", "LIST"]));
    let housekeeping = [
        "auth", "client", "close", "command", "discard", "exec", "hello", "info", "multi", "ping",
        "quit", "reset", "select", "unwatch", "watch",
    ];
    let mut expected: Vec<_> = housekeeping.iter().copied().chain(["get", "help"]).collect();
    expected.sort_unstable();
    assert_eq!(listed, expected);
    assert_eq!(some.ask(&["COMMAND", "COUNT"]), Frame::Integer(17));
    let count = |frame: Frame| match frame {
        Frame::List(items) => items.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(count(some.ask(&["COMMAND"])), 17);
    assert_eq!(count(some.ask(&["COMMAND", "DOCS"])), 34);
    assert_eq!(count(some.ask(&["COMMAND", "DOCS", "set", "ks"])), 0);
    assert_eq!(some.ask(&["COMMAND", "INFO", "set"]), Frame::List(vec![Frame::Null]));
    let mut few = holder(&host, "few", &["--commands", "store.get", "plugins"]);
    let plugins = few.ask(&["plugins"]);
    let shown: Vec<_> =
        plugins.items().iter().map(|plugin| texts(plugin.get("commands").unwrap())).collect();
    assert_eq!(shown, [vec!["plugins".to_owned()], vec!["get".to_owned()]]);
    let help = format!("{:?}", some.ask(&["help"]));
    assert!(help.contains("get KEY") && !help.contains("ks") && !help.contains("incr"), "{help}");
    assert_eq!(refusal(&mut some, &["incrr"]), "ERR unknown command 'incrr'");
    let mut boss = holder(&host, "boss", &["--role", "admin"]);
    assert!(texts(&boss.ask(&["COMMAND", "LIST"])).contains(&"ks".to_owned()));
    assert!(refusal(&mut boss, &["incrr"]).contains("did you mean 'incr'?"));
}

#[test]
fn user_cancels_only_calls_of_same_key() {
    let host = Setup::new().plugins(&["busy"]).flags(&["--trust", "none"]).start();
    let key = add_key(&host, "alice", &[]);
    // Once the host knows this key, it knows the other too.
    let mut bob = holder(&host, "bob", &[]);
    let (mut one, mut two) = (login(&host, "alice", &key), login(&host, "alice", &key));
    let id = one.ask(&["CLIENT", "ID"]).as_integer().to_string();
    one.say(&["linger", "600000"]);
    host.wait_for_log(&format!("lingering for {}", one.local()));
    let none = Frame::error(&format!("ERR there is no session {id}"));
    assert_eq!(bob.ask(&["client", "cancel", &id]), none);
    assert_eq!(two.ask(&["client", "cancel", &id]), Frame::Integer(1));
    assert_eq!(one.frame(), Frame::error("CANCELLED lingered no longer"));
}
