//! The first bytes of a file that may be a library, and the file's length.
//!
//! The length comes first, as 64 bits, lowest byte first.
#![no_main]

use dropin_fuzz::files::object_header::{foreign_format, is_cut_short};
use libfuzzer_sys::fuzz_target;

const ELF: &[u8] = b"\x7fELF";
/// Length of the longest known magic number.
const MAGIC: usize = 8;
/// Number of shorter beginnings that are tried.
const CUTS: usize = 64;

/// Returns the end of an ELF file's section table, without a bound on its size.
fn sections_end(header: &[u8; 64]) -> u128 {
    let number = |from: usize, size: usize| {
        header[from..from + size].iter().rev().fold(0, |sum, byte| sum << 8 | u128::from(*byte))
    };
    number(0x28, 8) + number(0x3a, 2) * number(0x3c, 2)
}

fuzz_target!(|data: &[u8]| {
    let Some((length, beginning)) = data.split_first_chunk() else { return };
    let length = u64::from_le_bytes(*length);
    let is_cut = is_cut_short(beginning, length);

    // A longer file is not truncated either, and more of its beginning does not make it so.
    assert!(is_cut || !is_cut_short(beginning, length.saturating_add(1)));
    assert!(is_cut || !is_cut_short(beginning, u64::MAX));
    for end in (MAGIC..beginning.len()).step_by(1 + beginning.len() / CUTS) {
        assert!(is_cut_short(&beginning[..end], length) || !is_cut, "{end}");
    }

    match beginning.first_chunk::<64>() {
        Some(header) if header.starts_with(b"\x7fELF\x02\x01") => {
            assert_eq!(is_cut, sections_end(header) > length.into());
        }
        None if beginning.starts_with(ELF) => assert!(is_cut),
        // The DOS header is there. The PE header may lie in it.
        _ if beginning.starts_with(b"MZ") => assert!(is_cut || beginning.len() >= 0x40),
        _ => assert!(!is_cut),
    }

    let kind = foreign_format(beginning);
    if let Some(text) = &kind {
        assert!(!text.contains(char::is_control) && text.len() < 200, "{text:?}");
        let magics: [&[u8]; 4] = [ELF, b"MZ", b"\xcf\xfa\xed\xfe", b"!<arch>\n"];
        assert!(magics.iter().any(|magic| beginning.starts_with(magic)), "{text:?}");
    }
    if cfg!(all(target_os = "linux", target_arch = "x86_64")) && beginning.starts_with(ELF) {
        // A header that is not all there is truncated, whatever its machine.
        let header = beginning.first_chunk::<64>();
        let is_other = header.is_some_and(|header| header[0x12..0x14] != [62, 0]);
        assert_eq!(kind.is_some(), is_other);
    }
});
