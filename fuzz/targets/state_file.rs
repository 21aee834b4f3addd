//! A saved state, which may be cut, changed, or of an earlier version.
#![no_main]

use dropin_fuzz::state::file::{self, Form, HEADER, Saved};
use libfuzzer_sys::fuzz_target;

type Pieces = Vec<(u64, Vec<u8>)>;

fn read(bytes: &[u8]) -> Option<(Saved, Pieces)> {
    let mut pieces = Pieces::new();
    let saved = file::read(bytes, bytes.len() as u64, &mut |time, commands| {
        pieces.push((time, commands.to_vec()));
        Ok(())
    });
    saved.ok().map(|saved| (saved, pieces))
}

fn write(state: &[u8], record: u64, form: Form) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(state);
    [&file::header(hasher, state.len() as u64, record, form)[..], state].concat()
}

/// Checks that neither a part of a file nor a changed one is read.
fn check_damage(whole: &[u8], bit: u8) {
    for end in [HEADER / 2, whole.len() / 2, whole.len() - 1] {
        if end >= 4 {
            assert!(read(&whole[..end]).is_none(), "{end} of {}", whole.len());
        }
    }
    let mut flipped = whole.to_vec();
    let bit = flipped.len() * 8 * usize::from(bit) / 256;
    flipped[bit / 8] ^= 1 << (bit % 8);
    assert!(read(&flipped).is_none(), "bit {bit}");
}

fuzz_target!(|data: &[u8]| {
    if let Some((saved, pieces)) = read(data) {
        assert!(saved.bytes.is_none() || pieces.is_empty());
        assert!(saved.length <= data.len() as u64);
    }
    let Some((bit, rest)) = data.split_first() else { return };
    let whole = write(rest, 5, Form::Bytes);
    let (saved, _) = read(&whole).expect("what was written is read");
    assert_eq!((saved.record, saved.bytes.as_deref()), (5, Some(rest)));
    check_damage(&whole, *bit);

    // Pieces end at a comma.
    let mut state = Vec::new();
    let pieces: Pieces = rest.split(|byte| *byte == b',').map(|piece| (9, piece.to_vec())).collect();
    for (time, piece) in &pieces {
        state.extend_from_slice(&file::piece_head(*time, piece));
        state.extend_from_slice(piece);
    }
    let whole = write(&state, 6, Form::Commands);
    let (saved, found) = read(&whole).expect("what was written is read");
    assert_eq!((saved.record, saved.bytes, found), (6, None, pieces));
    check_damage(&whole, *bit);
});
