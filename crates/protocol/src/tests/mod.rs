//! Tests of the protocols with examples, with arbitrary input, and against another implementation
//! of RESP.

mod cuts;
mod delivery;
mod elements;
mod frames;
mod lines;
mod plain_replies;
mod replies;
mod requests;

use super::{Framing, Limits, Parsed, Parser, RequestError};

/// Limits that are small enough for tests to reach each of them.
const LIMITS: Limits = Limits { argument: 40, arguments: 5, request: 120 };

/// An outcome with its arguments, without positions.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Request(Framing, Vec<Vec<u8>>),
    Empty(Framing),
    Invalid(Framing, RequestError),
    Broken(Framing, RequestError),
}

/// Feeds `reads` to `parser` as a session does. Returns the outcomes, and the bytes left over.
fn feed<'a>(
    parser: &mut Parser,
    reads: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Outcome>, Vec<u8>) {
    let mut outcomes = Vec::new();
    let mut buffer = Vec::new();
    for read in reads {
        buffer.extend_from_slice(read);
        loop {
            let (outcome, consumed) = match parser.parse(&buffer) {
                Parsed::Incomplete => break,
                Parsed::Request { framing, consumed } => {
                    let view = parser.request(&buffer);
                    assert_eq!(view.arguments().len() + 1, view.spans.len());
                    assert_eq!(view.get(0), Some(view.name()));
                    assert_eq!(view.get(view.spans.len()), None);
                    let pieces = (0..view.spans.len()).map(|i| view.get(i).unwrap().to_vec());
                    (Outcome::Request(framing, pieces.collect()), consumed)
                }
                Parsed::Empty { framing, consumed } => (Outcome::Empty(framing), consumed),
                Parsed::Invalid { framing, consumed, error } => {
                    (Outcome::Invalid(framing, error), consumed)
                }
                Parsed::Broken { framing, error } => {
                    outcomes.push(Outcome::Broken(framing, error));
                    return (outcomes, Vec::new());
                }
            };
            assert!(0 < consumed && consumed <= buffer.len(), "{consumed} of {}", buffer.len());
            outcomes.push(outcome);
            buffer.drain(..consumed);
        }
    }
    (outcomes, buffer)
}

/// Returns the outcomes of `input`, and checks that no bytes are left over.
fn outcomes(input: &[u8]) -> Vec<Outcome> {
    let (outcomes, rest) = feed(&mut Parser::new(LIMITS), [input]);
    assert_eq!(rest, b"", "left over");
    outcomes
}

fn request(framing: Framing, pieces: &[&[u8]]) -> Outcome {
    Outcome::Request(framing, pieces.iter().map(|piece| piece.to_vec()).collect())
}

fn message(error: RequestError) -> String {
    let mut out = Vec::new();
    error.write_message(&mut out);
    assert_eq!(out, error.to_string().into_bytes());
    String::from_utf8(out).unwrap()
}
