//! A batch of requests runs on one registry, unless it takes too long.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use dropin_tests::{Host, LIMIT, Lines, Resp, files, resp::encode, wait_until};

use super::{host_with, replace};

/// Time after a swap during which a batch certainly stays on the old code. The host allows one
/// second.
const TIMEOUT: Duration = Duration::from_millis(700);

/// Attempts of a test on a machine that is too slow for that.
const TRIES: usize = 20;

/// Sends a first command that waits for the gate file, and `colour` many times, in one batch.
fn send_batch(host: &Host, first: &str, gate: &Path) -> Resp {
    let mut client = Resp::connect(host);
    let gate = gate.to_str().unwrap();
    let mut batch = encode(&[first, gate]);
    batch.extend(encode(&["colour"]).repeat(50));
    client.send(batch);
    client
}

fn gate(host: &Host, number: usize) -> PathBuf {
    host.state_dir().join(format!("gate-{number}"))
}

/// Returns the replies of a batch during which `colour` changes from "old" to "new".
fn answers_over_a_swap(host: &Host, first: &str, holder: &str) -> Vec<String> {
    for number in 0..TRIES {
        let (old, new) = (format!("old {number}"), format!("new {number}"));
        replace(host, "chameleon", &old);
        host.wait_for_answer("colour", &old);
        let gate = gate(host, number);
        let holds = || host.log().matches(holder).count();
        let before = holds();
        let mut client = send_batch(host, first, &gate);
        wait_until("the first one holds", LIMIT, || holds() > before);
        let (mut swapped, mut other) = (Instant::now(), Lines::connect(host));
        replace(host, "chameleon", &new);
        wait_until("the new code answers", LIMIT, || {
            let asked = Instant::now();
            let answer = other.ask("colour");
            if answer == old {
                swapped = asked;
            }
            answer == new
        });
        fs::write(&gate, "").unwrap();
        let answers: Vec<_> = (0..51).map(|_| client.frame().as_str().to_owned()).collect();
        if swapped.elapsed() < TIMEOUT {
            return answers[1..].iter().map(|text| text[..3].to_owned()).collect();
        }
    }
    panic!("the machine never answers within {TIMEOUT:?} of a swap");
}

#[test]
fn batch_with_slow_own_call_keeps_old_code() {
    let host = host_with("chameleon", "1");
    let answers = answers_over_a_swap(&host, "colour.hold", "chameleon: colour old");
    assert_eq!(answers, ["old"; 50]);
}

#[test]
fn batch_with_slow_foreign_call_keeps_old_code() {
    let host = host_with("chameleon", "1");
    replace(&host, "keeper", "1");
    host.wait_for_answer("keeper.version", "1");
    let answers = answers_over_a_swap(&host, "keeper.hold", "keeper: keeper 1 holds");
    assert_eq!(answers, ["old"; 50]);
}

#[test]
fn too_long_batch_continues_on_new_code() {
    let host = host_with("chameleon", "1");
    replace(&host, "keeper", "1");
    host.wait_for_answer("keeper.version", "1");
    let gate = gate(&host, 0);
    let mut client = send_batch(&host, "keeper.hold", &gate);
    host.wait_for_log("keeper: keeper 1 holds");
    replace(&host, "chameleon", "2");
    host.wait_for_answer("colour", "2");
    host.wait_for_log("plugin chameleon: generation 1 unloaded, ");
    fs::write(&gate, "").unwrap();
    assert_eq!(client.frame(), "1".into());
    for _ in 0..50 {
        assert_eq!(client.frame(), "2".into());
    }
}

#[test]
fn too_long_batch_gets_error_for_removed_command() {
    let host = host_with("chameleon", "1");
    replace(&host, "keeper", "1");
    host.wait_for_answer("keeper.version", "1");
    let gate = gate(&host, 0);
    let mut client = send_batch(&host, "keeper.hold", &gate);
    host.wait_for_log("keeper: keeper 1 holds");
    files::remove(host.library("chameleon"));
    host.wait_for_log("plugin chameleon: generation 1 unloaded, ");
    fs::write(&gate, "").unwrap();
    assert_eq!(client.frame(), "1".into());
    for _ in 0..50 {
        assert!(client.frame().as_str().starts_with("ERR unknown command 'colour'"));
    }
    assert_eq!(client.ask(&["echo", "fine"]), "fine".into());
}

#[test]
fn session_waiting_for_client_holds_no_old_code() {
    let host = host_with("chameleon", "1");
    let mut idle: Vec<_> = (0..8).map(|_| Lines::connect(&host)).collect();
    idle.iter_mut().for_each(|client| assert_eq!(client.ask("colour"), "1"));
    // An incomplete command behind a complete one is no reason to keep the old registry either.
    for client in &mut idle {
        client.send("colour\ncolo");
        assert_eq!(client.line(), "1");
    }
    replace(&host, "chameleon", "2");
    host.wait_for_log("plugin chameleon: generation 1 unloaded, ");
    for client in &mut idle {
        client.send("ur\n");
        assert_eq!(client.line(), "2");
    }
}
