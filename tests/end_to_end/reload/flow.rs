//! Clients at full speed while plugins are replaced: no request fails, no session ends, nothing is
//! counted twice or lost.

use std::fs;

use dropin_tests::{
    Frame, LIMIT, Lines, Load, Resp, files,
    reload::{marked, variant},
    resp::encode,
    wait_until,
};

use super::{host_with, replace, setup};

const RELOADS: usize = 30;

/// Checks that a client sees versions 1, 2, 3 in this order, and never an older one again.
fn never_older() -> impl FnMut(&Frame) -> bool + Send + 'static {
    let mut newest = 0;
    move |reply| match reply {
        Frame::Text(text) => {
            let number = std::str::from_utf8(text).ok().and_then(|text| text.parse::<usize>().ok());
            let right = number.is_some_and(|number| number >= newest);
            newest = number.unwrap_or(newest);
            right
        }
        _ => false,
    }
}

fn is_hello(reply: &Frame) -> bool {
    *reply == "hello".into()
}

/// Checks that each sum is larger than the one before.
fn counts_up() -> impl FnMut(&Frame) -> bool + Send + 'static {
    let mut last = 0;
    move |reply| match reply {
        Frame::Integer(sum) => std::mem::replace(&mut last, *sum) < *sum,
        _ => false,
    }
}

#[test]
fn replacing_a_plugin_fails_no_request() {
    let host = host_with("chameleon", "1");
    let load = Load::new()
        .client(&host, &["colour"], 1, never_older())
        .client(&host, &["colour"], 1, never_older())
        .client(&host, &["colour"], 16, never_older())
        .client(&host, &["colour"], 100, never_older())
        .client(&host, &["echo", "hello"], 16, is_hello);
    for number in 2..RELOADS + 2 {
        replace(&host, "chameleon", &number.to_string());
        host.wait_for_answer("colour", &number.to_string());
        load.flow();
    }
    load.stop();
    assert_eq!(host.figure("chameleon", "generation"), RELOADS as i64 + 1);
    assert_eq!(host.figure("chameleon", "errors"), 0);
}

#[test]
fn replacing_stateful_plugin_fails_and_loses_nothing() {
    let host = setup().plugins(&["store", "text"]).start();
    let load = Load::new()
        .client(&host, &["incr", "sum"], 1, counts_up())
        .client(&host, &["incr", "sum"], 1, counts_up())
        .client(&host, &["incr", "sum"], 16, counts_up())
        .client(&host, &["incr", "sum"], 100, counts_up())
        .client(&host, &["echo", "hello"], 16, is_hello);
    for number in 1..=RELOADS {
        host.place("store", &variant("store", number));
        host.wait_for_swaps("store", number);
        load.flow();
    }
    let replies = load.stop();
    let sum: u64 = replies[..4].iter().sum();
    assert_eq!(Lines::connect(&host).ask("get sum"), sum.to_string());
}

#[test]
fn library_removed_and_created_again_fails_no_request() {
    let host = host_with("chameleon", "1");
    let load = Load::new().client(&host, &["colour"], 1, never_older()).client(
        &host,
        &["colour"],
        16,
        never_older(),
    );
    for mark in ["2", "3", "4"] {
        let library = marked("chameleon", mark);
        files::remove(host.library("chameleon"));
        files::write(host.library("chameleon"), library);
        host.wait_for_answer("colour", mark);
        load.flow();
    }
    load.stop();
    assert_eq!(host.figure("chameleon", "generation"), 4);
}

#[test]
fn slow_reader_keeps_no_old_code() {
    const REPLIES: usize = 64;
    let host = setup().plugins(&["store"]).flags(&["--write-timeout", "600"]).start();
    let (mut reader, value) = (Resp::connect(&host), "x".repeat(900_000));
    assert_eq!(reader.ask(&["set", "key", &value]), Frame::ok());
    let before = host.figure("store", "calls");
    // More than the host and the system buffer: the session waits for its client.
    reader.send(encode(&["get", "key"]).repeat(REPLIES));
    let begun = || host.figure("store", "calls") - before;
    wait_until("some are answered", LIMIT, || begun() > 0);
    host.place("store", &variant("store", 1));
    host.wait_for_log("plugin store: generation 1 unloaded, ");
    assert!(begun() < REPLIES as i64, "the session did not wait for its client");
    for _ in 0..REPLIES {
        assert_eq!(reader.frame(), Frame::text(&value));
    }
}

#[test]
fn call_finishes_on_code_it_started_on() {
    let host = host_with("chameleon", "1");
    let gate = host.state_dir().join("gate");
    let mut client = Lines::connect(&host);
    client.say(&format!("colour.hold '{}'", gate.display()));
    host.wait_for_log("chameleon: colour 1 holds");
    replace(&host, "chameleon", "2");
    host.wait_for_answer("colour", "2");
    assert_eq!(host.figure("chameleon", "draining"), 1);
    // Two generations later, too.
    replace(&host, "chameleon", "3");
    host.wait_for_answer("colour", "3");
    fs::write(&gate, "").unwrap();
    assert_eq!(client.line(), "1");
    assert_eq!(client.ask("colour"), "3");
    host.wait_for_log("plugin chameleon: generation 1 unloaded, ");
}

#[test]
fn endless_call_keeps_no_other_on_old_code() {
    let host = host_with("chameleon", "1");
    let mut stuck = Lines::connect(&host);
    stuck.say("colour.hold /never/there");
    host.wait_for_log("chameleon: colour 1 holds");
    let load = Load::new().client(&host, &["colour"], 4, never_older());
    for number in 2..8 {
        replace(&host, "chameleon", &number.to_string());
        host.wait_for_answer("colour", &number.to_string());
        load.flow();
    }
    load.stop();
    // All but the first are gone; that one is counted and shown.
    host.wait_for_log("plugin chameleon: generation 6 unloaded, ");
    dropin_tests::wait_until("one is left", dropin_tests::LIMIT, || {
        host.figure("chameleon", "draining") == 1
    });
    assert_eq!(host.logged("generation 1 drained"), None);
}

#[test]
fn panic_in_either_generation_harms_nobody() {
    let host = host_with("chameleon", "1");
    let load = Load::new().client(&host, &["colour"], 4, never_older()).client(
        &host,
        &["colour.panic"],
        1,
        |reply| *reply == Frame::error("ERR 'colour.panic' panicked: all colours at once"),
    );
    for number in 2..8 {
        replace(&host, "chameleon", &number.to_string());
        host.wait_for_answer("colour", &number.to_string());
        load.flow();
    }
    let replies = load.stop();
    host.wait_for_log("plugin chameleon: generation 6 unloaded, ");
    assert_eq!(host.figure("chameleon", "errors"), i64::try_from(replies[1]).unwrap());
}

#[test]
fn quiesced_plugin_delays_only_its_own_callers() {
    let host = host_with("keeper", "1");
    let gate = host.state_dir().join("gate");
    let mut holder = Lines::connect(&host);
    assert_eq!(holder.ask("keep pearls"), "OK");
    holder.say(&format!("keeper.hold '{}'", gate.display()));
    host.wait_for_log("keeper: keeper 1 holds");
    // The swap has to wait for that call, and calls that arrive now wait for the swap.
    host.place("keeper", &marked("keeper", "2"));
    let load = Load::new().client(&host, &["echo", "hello"], 4, is_hello);
    let mut waiting = Lines::connect(&host);
    waiting.say("keeper.version");
    load.flow();
    fs::write(&gate, "").unwrap();
    assert_eq!(holder.line(), "1");
    let version = waiting.line();
    // The request may have been answered before the gate was closed.
    assert!(version == "1" || version == "2", "{version}");
    host.wait_for_answer("keeper.version", "2");
    assert_eq!(holder.ask("kept"), "pearls");
    load.stop();
}
