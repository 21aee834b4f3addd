//! What the first bytes of a file, those of an ELF file above all, tell before the loader is asked.

/// Whether a 64-bit little-endian ELF file of this length, which begins like this, ends before its
/// table of sections does. That table comes last in what linkers write, so nearly every half file
/// shows here, among them those that the loader would take. Anything else is not judged.
///
/// Offsets: `Elf64_Ehdr` in the System V ABI.
#[must_use]
pub fn is_cut_short(beginning: &[u8], length: u64) -> bool {
    let Some(header) = beginning.first_chunk::<64>() else {
        return beginning.starts_with(b"\x7fELF");
    };
    if !header.starts_with(b"\x7fELF\x02\x01") {
        return false;
    }
    let Some(sections_at) = header[0x28..].first_chunk() else { return false };
    let sections_at = u64::from_le_bytes(*sections_at);
    let size = u64::from(u16::from_le_bytes([header[0x3a], header[0x3b]]));
    let count = u64::from(u16::from_le_bytes([header[0x3c], header[0x3d]]));
    sections_at.checked_add(size * count).is_none_or(|end| end > length)
}

/// What a file that begins like this is, and what to do, where it is a library but not one for this
/// system. The loader's own words for it are of little help.
#[must_use]
pub fn other_kind(beginning: &[u8]) -> Option<String> {
    use std::env::consts::{ARCH, OS};
    let starts = |magic: &[u8]| beginning.starts_with(magic);
    let system = if starts(b"MZ") {
        "windows"
    } else if starts(b"\xcf\xfa\xed\xfe") {
        "macos"
    } else if starts(b"\x7fELF") {
        "linux"
    } else if starts(b"!<arch>\n") {
        return Some(
            "it is an archive for the compiler, not a library that a host can load: put \
             `crate-type = [\"cdylib\"]` under [lib] in the plugin's Cargo.toml"
                .into(),
        );
    } else {
        return None;
    };
    let known = ["linux", "macos", "windows"].contains(&OS);
    if known && system != OS {
        return Some(format!("it is a library for {system}: build it for {OS}"));
    }
    is_for_another_machine(beginning)
        .then(|| format!("it is for another processor than this host's: build it for {ARCH}"))
}

/// Whether it is an ELF file for another kind of processor than this program. The loader says of
/// such a file that it is not there.
fn is_for_another_machine(beginning: &[u8]) -> bool {
    let machine = if cfg!(target_arch = "x86_64") {
        62
    } else if cfg!(target_arch = "aarch64") {
        183
    } else {
        return false;
    };
    beginning.starts_with(b"\x7fELF")
        && beginning.get(0x12..0x14).is_some_and(|field| field != u16::to_le_bytes(machine))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_library_for_others_is_told_by_its_beginning() {
        let said = |beginning: &[u8]| other_kind(beginning).unwrap();
        assert_eq!(said(b"MZ\x90\0"), "it is a library for windows: build it for linux");
        assert!(said(b"\xcf\xfa\xed\xfe\x07").contains("for macos"));
        assert!(said(b"!<arch>\n/ 0").contains("`crate-type = [\"cdylib\"]`"));
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        for beginning in [&own[..64], b"", b"just text"] {
            assert_eq!(other_kind(beginning), None);
        }
    }

    #[test]
    fn a_file_for_another_processor_is_told() {
        let mut header = [0; 64];
        header[..6].copy_from_slice(b"\x7fELF\x02\x01");
        header[0x12] = 8;
        assert_eq!(is_for_another_machine(&header), cfg!(target_pointer_width = "64"));
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(!is_for_another_machine(&own));
        assert!(!is_for_another_machine(b"\x7fELF"));
    }

    #[test]
    fn a_file_is_whole_when_its_sections_are() {
        let mut header = [0; 64];
        header[..6].copy_from_slice(b"\x7fELF\x02\x01");
        header[0x28..0x30].copy_from_slice(&1000_u64.to_le_bytes());
        header[0x3a] = 64;
        header[0x3c] = 10;
        assert!(!is_cut_short(&header, 1640));
        assert!(!is_cut_short(&header, 5000));
        assert!(is_cut_short(&header, 1639));
        assert!(is_cut_short(&header[..63], 63));
        assert!(!is_cut_short(b"text", 4));
        header[0x28..0x30].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(is_cut_short(&header, u64::MAX));
    }
}
