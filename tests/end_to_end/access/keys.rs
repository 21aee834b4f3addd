//! Keys: created, shown once, used, revoked, expired, rejected.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use dropin_tests::{
    Frame, Host, LIMIT, Lines, Resp, Setup,
    cable::Cable,
    files,
    keys::{add_key, key_command},
    setup::Ended,
    wait_until,
};

use super::{NOAUTH, WRONGPASS, holder, untrusting_host};

/// Time within which a change of the keys takes effect.
const SECOND: Duration = Duration::from_secs(1);

/// The last error to a session whose key is gone.
const FAREWELL: &str = "NOAUTH the key of this session is revoked or has expired";

#[test]
fn key_is_accepted_in_every_client_form() {
    let host = untrusting_host(&[]);
    drop(holder(&host, "first", &[]));
    let key = add_key(&host, "alice", &[]);
    wait_until("the host knows the key", LIMIT, || {
        Lines::connect(&host).ask(&format!("auth {key}")) == "OK"
    });
    for words in [&["AUTH", &key][..], &["AUTH", "alice", &key], &["auth", "default", &key]] {
        let mut client = Resp::connect(&host);
        assert!(matches!(client.ask(&["echo", "x"]), Frame::Error(_)));
        assert_eq!(client.ask(words), Frame::ok());
        assert_eq!(client.ask(&["echo", "x"]), "x".into());
        assert_eq!(client.ask(&["RESET"]), Frame::Status("RESET".into()));
        assert!(matches!(client.ask(&["echo", "x"]), Frame::Error(_)), "it is a stranger again");
    }
    let mut client = Resp::connect(&host);
    let hello = client.ask(&["HELLO", "3", "AUTH", "alice", &key, "SETNAME", "lee"]);
    assert_eq!(hello.get("proto"), Some(&Frame::Integer(3)));
    assert_eq!(client.ask(&["CLIENT", "GETNAME"]), "lee".into());
    client.send(format!(
        "*1\r\n$5\r\nRESET\r\n*2\r\n$4\r\nAUTH\r\n$64\r\n{key}\r\n*2\r\n$4\r\necho\r\n$1\r\ny\r\n"
    ));
    assert_eq!(client.frame(), Frame::Status("RESET".into()));
    assert_eq!((client.frame(), client.frame()), (Frame::ok(), "y".into()), "all at once");
    let long = "x".repeat(20 << 10);
    assert_eq!(client.ask(&["echo", &long]), Frame::text(&long), "its limits are the usual ones");
}

#[test]
fn wrong_key_is_rejected_and_never_logged() {
    let host = untrusting_host(&[]);
    drop(holder(&host, "bob", &[]));
    let key = add_key(&host, "alice", &[]);
    let (other, short) = ("f".repeat(64), &key[1..]);
    let begun = Instant::now();
    for words in [
        &["AUTH", &other][..],
        &["AUTH", ""],
        &["AUTH", "bob", &key],
        &["AUTH", &key, "alice"],
        &["AUTH", "alice", short],
        &["AUTH", "alice", "alice"],
        &["HELLO", "3", "AUTH", "alice", &other],
    ] {
        let mut client = Resp::connect(&host);
        let started = Instant::now();
        assert_eq!(client.ask(words), Frame::error(WRONGPASS), "{words:?}");
        assert!(started.elapsed().as_millis() >= 100, "it is slowed");
        assert!(matches!(client.ask(&["echo", "x"]), Frame::Error(_)));
    }
    let mut client = Resp::connect(&host);
    let started = Instant::now();
    for _ in 0..3 {
        assert_eq!(client.ask(&["AUTH", &other]), Frame::error(WRONGPASS));
    }
    assert!(started.elapsed().as_millis() >= 700, "each takes longer");
    let line = host.wait_for_log("failed login from 127.0.0.1:");
    assert!(line.contains("failed since the start"), "{line}");
    let log = host.log();
    for secret in [&key, &other, short] {
        assert!(!log.contains(secret), "a key is logged");
    }
    let most = usize::try_from(begun.elapsed().as_secs()).unwrap() + 3;
    assert!(log.matches("failed login").count() <= most, "the log is not filled");
}

#[test]
fn revoked_key_ends_only_its_sessions() {
    let host = untrusting_host(&[]);
    let (mut alice, mut bob) = (holder(&host, "alice", &[]), holder(&host, "bob", &[]));
    assert_eq!(alice.ask(&["echo", "x"]), "x".into());
    assert_eq!(key_command(host.state_dir(), &["revoke", "alice"]).status, Some(0));
    assert_eq!(alice.end(), [Frame::error(FAREWELL)]);
    assert_eq!(bob.ask(&["echo", "x"]), "x".into());
    let again = key_command(host.state_dir(), &["revoke", "alice"]);
    assert_eq!(again.status, Some(1), "{again:?}");
    assert!(again.stderr.contains("there is no key 'alice'"), "{again:?}");
}

#[test]
fn expired_key_ends_sessions_and_is_rejected() {
    let host = untrusting_host(&[]);
    let key = add_key(&host, "alice", &["--expires", "1"]);
    let mut alice = Resp::connect(&host);
    wait_until("the host knows the key", LIMIT, || alice.ask(&["AUTH", &key]) == Frame::ok());
    set_expiry(&host, 1000);
    assert!(alice.end().last().is_some_and(|last| matches!(last, Frame::Error(_))));
    assert_eq!(Resp::connect(&host).ask(&["AUTH", &key]), Frame::error(WRONGPASS));
    let list = key_command(host.state_dir(), &["list"]).stdout;
    assert!(list.contains("expired 1970-01-01"), "{list}");
}

/// Writes a new expiry of alice's key, the only one, into the key file, in seconds since 1970.
fn set_expiry(host: &Host, end: u64) {
    place_key(host, &host.state_dir().join("keys.toml"), end);
}

/// Puts a key file in the host's place, with this expiry of its only key.
fn place_key(host: &Host, keys: &Path, end: u64) {
    let text = fs::read_to_string(keys).unwrap();
    let line = text.lines().find(|line| line.starts_with("expires = ")).unwrap();
    let beside = host.state_dir().join("beside");
    fs::copy(keys, &beside).unwrap();
    fs::write(&beside, text.replace(line, &format!("expires = {end}"))).unwrap();
    files::rename(&beside, host.state_dir().join("keys.toml"));
}

/// Returns a session with a key of alice that expires soon, the time of its expiry, and the key.
fn session_until_expiry(host: &Host) -> (Resp, u64, String) {
    // Made elsewhere: the host must never see it with its first expiry, since a key that changes
    // ends its sessions as well.
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = folder.path().join("made-private");
    let added = key_command(&elsewhere, &["add", "alice", "--expires", "1"]);
    assert_eq!(added.status, Some(0), "{added:?}");
    let key = added.stdout.trim_end().to_owned();
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    // Longer where the machine is too slow to log in before the expiry.
    let made = [2, 10, 60].into_iter().find_map(|seconds| {
        let (mut alice, end) = (Resp::connect(host), now() + seconds);
        place_key(host, &elsewhere.join("keys.toml"), end);
        let mut is_in = false;
        wait_until("alice is in, or too late", LIMIT, || {
            is_in = alice.ask(&["AUTH", &key]) == Frame::ok();
            is_in || now() >= end
        });
        (is_in && alice.ask(&["echo", "x"]) == "x".into()).then_some((alice, end))
    });
    let (alice, end) = made.expect("a login takes less than a minute");
    (alice, end, key)
}

#[test]
fn key_that_expires_ends_open_session() {
    let host = untrusting_host(&[]);
    let (mut alice, end, key) = session_until_expiry(&host);
    // From here on the file is not changed.
    assert_eq!(alice.end(), [Frame::error(FAREWELL)]);
    assert!(SystemTime::now() >= UNIX_EPOCH + Duration::from_secs(end), "not before its time");
    assert_eq!(Resp::connect(&host).ask(&["AUTH", &key]), Frame::error(WRONGPASS));
}

#[test]
fn keys_count_and_end_within_a_second() {
    let host = untrusting_host(&[]);
    let (mut known, mut revoked) = (Vec::new(), Vec::new());
    // The fastest of a few: a busy machine may stand still during one.
    for name in ["a", "b", "c"] {
        let key = add_key(&host, name, &[]);
        let made = Instant::now();
        let mut client = Resp::connect(&host);
        // Within a session, each reply to a wrong key is slower than the one before.
        wait_until("the host knows the key", LIMIT, || {
            let is_in = client.ask(&["AUTH", name, &key]) == Frame::ok();
            if !is_in {
                client = Resp::connect(&host);
            }
            is_in
        });
        known.push(made.elapsed());
        assert_eq!(key_command(host.state_dir(), &["revoke", name]).status, Some(0));
        let gone = Instant::now();
        assert_eq!(client.end(), [Frame::error(FAREWELL)]);
        revoked.push(gone.elapsed());
        if known.iter().min() < Some(&SECOND) && revoked.iter().min() < Some(&SECOND) {
            return;
        }
    }
    panic!("known after {known:?}, ended after {revoked:?}");
}

#[test]
fn key_is_shown_once_and_stored_as_hash() {
    let host = untrusting_host(&[]);
    let key = add_key(&host, "alice", &["--role", "admin", "--commands", "text.*", "get"]);
    assert_eq!(key.len(), 64);
    let Ended { status, stdout: list, .. } = key_command(host.state_dir(), &["list"]);
    assert_eq!(status, Some(0));
    assert!(list.starts_with("alice  admin  commands: text.* get  made "), "{list}");
    let kept = fs::read_to_string(host.state_dir().join("keys.toml")).unwrap();
    assert!(!kept.contains(&key) && !list.contains(&key));
    for (arguments, said) in [
        (&["add", "alice"][..], "there is a key 'alice' already"),
        (&["add", "a b"], "is not a valid key name"),
        (&["add", "x", "--commands", "a b"], "is not a valid pattern"),
        (&["add", "x", "--expires", "2001-01-01"], "a day to come"),
        (&["add", "x", "--expires", "0"], "a day to come"),
        (&["add", "x", "--role", "king"], "invalid value"),
    ] {
        let refused = key_command(host.state_dir(), arguments);
        assert_ne!(refused.status, Some(0), "{arguments:?}: {refused:?}");
        assert!(refused.stdout.is_empty(), "{arguments:?}: {refused:?}");
        assert!(refused.stderr.contains(said), "{arguments:?}: {refused:?}");
    }
}

#[cfg(unix)]
#[test]
fn state_directory_open_to_others_is_rejected() {
    use std::os::unix::fs::PermissionsExt;
    let state = tempfile::tempdir().unwrap();
    let set = |mode| {
        fs::set_permissions(state.path(), fs::Permissions::from_mode(mode)).unwrap();
    };
    set(0o750);
    let ended = Setup::new().state_dir(state.path()).run();
    assert_eq!(ended.status, Some(1));
    assert!(ended.stderr.contains("chmod go= "), "{ended:?}");
    assert_eq!(key_command(state.path(), &["add", "alice"]).status, Some(1));
    set(0o700);
    let host = Setup::new().state_dir(state.path()).start();
    assert_eq!(Lines::connect(&host).ask("ping"), "PONG");
    assert_eq!(key_command(state.path(), &["add", "alice"]).status, Some(0));
}

#[test]
#[cfg_attr(not(all(tool = "ip", right = "namespaces")), ignore = "needs ip and network namespaces")]
fn remote_plain_connection_cannot_send_key() {
    let cable = Cable::create();
    let host = Setup::new().plugins(&["text"]).started_by(&cable.host_end()).start();
    let key = add_key(&host, "alice", &["--role", "admin"]);
    wait_until("the host knows the key", LIMIT, || {
        let mut near = Lines::from_connection(cable.connect_locally(host.v4()));
        near.ask(&format!("auth alice {key}")) == "OK"
    });
    let mut far = Resp::from_connection(cable.connect(host.port()));
    for words in [&["AUTH", &key][..], &["HELLO", "3", "AUTH", "alice", &key]] {
        let Frame::Error(answer) = far.ask(words) else { panic!("{words:?} let in") };
        assert!(answer.starts_with("ERR a key is accepted over TLS only"), "{answer}");
    }
    let Frame::Error(answer) = far.ask(&["ks"]) else { panic!("it ended the host") };
    assert!(answer.starts_with(&format!("{NOAUTH}Connect over TLS")), "{answer}");
    assert!(!host.log().contains(&key));
}

#[test]
fn broken_key_file_is_reported_and_changes_nothing() {
    let host = untrusting_host(&[]);
    let mut alice = holder(&host, "alice", &[]);
    let path = host.state_dir().join("keys.toml");
    files::write(&path, "[[key]]\nname = 7\n");
    host.wait_for_log("the previous keys stay in force");
    assert_eq!(alice.ask(&["echo", "x"]), "x".into());
    let refused = key_command(host.state_dir(), &["list"]);
    assert_eq!(refused.status, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("cannot parse "), "{refused:?}");
}

#[test]
fn key_command_rejects_port_flag() {
    for (words, tip) in [
        (&["key", "list", "--port", "5000"][..], "keys belong to no port"),
        (&["key", "add", "alice", "--port=5000"], "keys belong to no port"),
        (&["fingerprint", "--port", "5000"], "the certificate belongs to no port"),
    ] {
        let ended = dropin_tests::setup::run_host(words);
        assert_eq!(ended.status, Some(2));
        assert!(ended.stderr.contains(tip), "{ended:?}");
        assert!(ended.stderr.contains("with --state-dir"), "{ended:?}");
    }
}
