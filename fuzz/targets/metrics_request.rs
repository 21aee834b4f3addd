//! An HTTP request for the metrics, split into arbitrary reads: the splits must not matter.
#![no_main]

#[path = "../../host/src/serve/metrics_http/request.rs"]
mod request;

use libfuzzer_sys::fuzz_target;
use request::{LONGEST, parse};

/// Number of splits: each parses again from the start.
const CUTS: usize = 64;

fuzz_target!(|bytes: &[u8]| {
    let whole = parse(bytes);
    // The first answer is final: the host reads on only while there is none.
    let mut ends = (0..bytes.len()).step_by(1 + bytes.len() / CUTS);
    let early = ends.find_map(|end| parse(&bytes[..end]));
    assert!(early.is_none() || early == whole, "{early:?} {whole:?}");

    match &whole {
        Some(Ok(asked)) => {
            let method = if asked.head { "HEAD " } else { "GET " };
            let line = [method.as_bytes(), asked.path.as_bytes()].concat();
            assert!(bytes.windows(line.len()).any(|window| window == line), "{asked:?}");
            assert!(!asked.path.contains(['?', ' ']) && !asked.path.contains(char::is_control));
        }
        Some(Err(refused)) => {
            assert!(refused.status().starts_with('4'));
            assert!(!refused.to_string().contains(char::is_control));
        }
        None => {}
    }

    // A full buffer is answered, whatever its content.
    let mut full = bytes.to_vec();
    full.resize(LONGEST, b'a');
    let answer = parse(&full);
    assert!(answer.is_some() && (whole.is_none() || answer == whole), "{answer:?} {whole:?}");
});
