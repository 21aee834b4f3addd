//! Access: which clients may connect, and which commands they may run.

mod client;
mod keys;
mod plugin_signatures;
mod plugin_trust;
mod proxy;
mod roles;
mod room;
mod tls;
mod trust;

use dropin_tests::{Frame, Host, LIMIT, Lines, Resp, Setup, keys::add_key, wait_until};

/// The error that a stranger gets.
const NOAUTH: &str = "NOAUTH Authentication required. ";

/// Returns whether the host is running and tells a stranger to log in.
#[track_caller]
fn is_there(host: &Host) -> bool {
    Lines::connect(host).ask("ping").starts_with(&format!("error: {NOAUTH}"))
}

/// The error after a wrong key.
const WRONGPASS: &str = "WRONGPASS invalid username-password pair or user is disabled.";

/// Starts a host that trusts no address, not even this machine's.
fn untrusting_host(flags: &[&str]) -> Host {
    Setup::new()
        .plugins(&["server", "store", "text"])
        .flags(&["--trust", "none"])
        .flags(flags)
        .start()
}

/// Returns a session that has logged in with a new key with these flags.
#[track_caller]
fn holder(host: &Host, name: &str, flags: &[&str]) -> Resp {
    let key = add_key(host, name, flags);
    wait_until("the host knows the key", LIMIT, || {
        Lines::connect(host).ask(&format!("auth {name} {key}")) == "OK"
    });
    login(host, name, &key)
}

/// Returns a session that has logged in with a key that the host knows.
#[track_caller]
fn login(host: &Host, name: &str, key: &str) -> Resp {
    let mut client = Resp::connect(host);
    assert_eq!(client.ask(&["AUTH", name, key]), Frame::ok());
    client
}
