//! A long command of a shipped plugin does not delay other clients.

use std::thread;

use dropin_tests::{Frame, Host, LIMIT, Lines, Resp, wait_until};

/// Returns a key of the maximum length.
fn long_key(number: usize) -> String {
    format!("{}{number:02}", "a".repeat((1 << 20) - 2))
}

/// Returns a host whose store has many such keys, and a pattern that matches each of them almost to
/// its end.
fn host_with_keys(keys: usize) -> (Host, String) {
    let host = Host::start(&["store"]);
    let mut client = Resp::connect(&host);
    for number in 0..keys {
        assert_eq!(client.ask(&["set", &long_key(number), "1"]), Frame::ok());
    }
    (host, format!("*{}b", "a".repeat(1_022)))
}

#[test]
fn long_keys_command_blocks_nobody_and_is_cancelled() {
    let (host, pattern) = host_with_keys(8);
    let (mut client, mut other) = (Resp::connect(&host), Resp::connect(&host));
    let id = client.ask(&["CLIENT", "ID"]).as_integer().to_string();
    let cancelled = Frame::error("CANCELLED the command was cancelled");
    thread::scope(|scope| {
        let keys = scope.spawn(|| {
            // On a loaded machine it may end before it is cancelled.
            wait_until("the command is cancelled", LIMIT, || {
                client.ask(&["keys", &pattern]) == cancelled
            });
        });
        for number in (0..).take_while(|_| !keys.is_finished()) {
            let key = format!("key {number}");
            assert_eq!(other.ask(&["set", &key, "1"]), Frame::ok());
            assert_eq!(other.ask(&["get", &key]), "1".into());
            assert!(matches!(other.ask(&["client", "cancel", &id]), Frame::Integer(0 | 1)));
        }
    });
    assert_eq!(client.ask(&["get", &long_key(0)]), "1".into());
}

#[test]
fn store_is_replaced_during_long_keys_command() {
    let (mut host, pattern) = host_with_keys(2);
    let mut client = Resp::connect(&host);
    // Half as long as the keys: comparing the two at every position would take minutes.
    client.say(&["keys", &format!("*{}b", "a".repeat(500_000))]);
    let mut other = Lines::connect(&host);
    let said = other.ask("plugin reload store");
    assert!(said.starts_with("plugin 'store' serves"), "{said}");
    client.say(&["keys", &pattern]);
    assert_eq!(host.ks(), Some(0));
    assert_eq!(host.logged("not saved"), None);
    assert_eq!(host.logged("saved while in use"), None);
}

#[test]
fn pattern_that_is_too_long_is_an_error() {
    let host = Host::start(&["store"]);
    let mut client = Resp::connect(&host);
    let error = Frame::error("ERR GLOB is longer than 1024 bytes");
    assert_eq!(client.ask(&["keys", &"*a".repeat(250_000)]), error);
}
