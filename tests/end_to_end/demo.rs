//! `cargo xtask demo`: a plugin replaced several times while a client counts with it.

use std::fs;

use dropin_tests::{Setup, workspace::Checkout};

use super::new_plugin::said;

const SHORT: [&str; 6] = ["demo", "--debug", "--swaps", "1", "--seconds", "1"];

#[test]
fn demo_replaces_a_plugin_and_no_request_fails() {
    let setup = Setup::new();
    let checkout = Checkout::copy(&setup.plugins_folder());
    let picture = setup.plugins_folder().join("demo.svg");
    let arguments = [&SHORT[..], &["--svg", picture.to_str().unwrap()]].concat();
    let transcript = said(&checkout.xtask(&arguments), true);
    for part in
        ["  2    2.0.0  ", "\n1 replacement, ", " requests, 0 failures, ", ": no request was "]
    {
        assert!(transcript.contains(part), "{part}: {transcript}");
    }
    let picture = fs::read_to_string(picture).unwrap();
    assert!(picture.contains("1 replacement, "), "{picture}");
    // Nothing has to be built now, and each version is still its own.
    said(&checkout.xtask(&SHORT), true);

    // A version that forgets what it takes over fails the next request.
    let source = checkout.folder().join("examples/counter/src/lib.rs");
    let code = fs::read_to_string(&source).unwrap();
    let forgets =
        code.replace("= std::str::from_utf8(saved)?.parse()?", "= saved.len() as i64 / 100");
    assert_ne!(forgets, code);
    fs::write(&source, forgets).unwrap();
    let transcript = said(&checkout.xtask(&SHORT), false);
    for part in [": it replied 1, and ", "xtask: a request failed: request ", "the host's log:\n"] {
        assert!(transcript.contains(part), "{part}: {transcript}");
    }
}
