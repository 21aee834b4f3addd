//! Judges a file by its first bytes, those of ELF and PE files above all, before the loader opens
//! it.

use object::{LittleEndian, U32, elf, pe, pod};

/// The number of first bytes that are judged: the table of sections of PE files is among them.
pub const LENGTH: usize = 4096;

/// Returns true if a file of this length with this start ends before the end that its headers
/// state. Nearly every incomplete file is recognized, also those that a loader would accept. Only
/// 64-bit little-endian ELF files and PE files are judged.
#[must_use]
pub fn is_cut_short(start: &[u8], length: u64) -> bool {
    if start.starts_with(b"\x7fELF") {
        is_elf_cut_short(start, length)
    } else if start.starts_with(b"MZ") {
        pe_end(start).is_none_or(|end| end > length)
    } else {
        false
    }
}

/// Compares the length with the end of the table of sections, which linkers write last.
fn is_elf_cut_short(start: &[u8], length: u64) -> bool {
    let Some(header) = elf_header(start) else { return true };
    let ident = &header.e_ident;
    if (ident.class, ident.data) != (elf::ELFCLASS64, elf::ELFDATA2LSB) {
        return false;
    }
    let entry = u64::from(header.e_shentsize.get(LittleEndian));
    let table = entry * u64::from(header.e_shnum.get(LittleEndian));
    let end = header.e_shoff.get(LittleEndian).checked_add(table);
    end.is_none_or(|end| end > length)
}

fn elf_header(start: &[u8]) -> Option<&elf::FileHeader64<LittleEndian>> {
    let (header, _) = pod::from_bytes::<elf::FileHeader64<LittleEndian>>(start).ok()?;
    (header.e_ident.magic == elf::ELFMAG).then_some(header)
}

/// Returns the end of the last section and of the symbols of a PE file, in bytes; `None` if the
/// headers are incomplete.
fn pe_end(start: &[u8]) -> Option<u64> {
    let (header, rest) = pe_header(start)?;
    let table = rest.get(usize::from(header.size_of_optional_header.get(LittleEndian))..)?;
    let count = usize::from(header.number_of_sections.get(LittleEndian));
    let (sections, _) = pod::slice_from_bytes::<pe::ImageSectionHeader>(table, count).ok()?;
    let at = |place: U32<LittleEndian>| u64::from(place.get(LittleEndian));
    let symbols = at(header.number_of_symbols) * pe::IMAGE_SIZEOF_SYMBOL as u64;
    let ends = sections
        .iter()
        .map(|section| at(section.pointer_to_raw_data) + at(section.size_of_raw_data));
    ends.chain([at(header.pointer_to_symbol_table) + symbols]).max()
}

/// Returns the header of a PE file, and the bytes after it.
fn pe_header(start: &[u8]) -> Option<(&pe::ImageFileHeader, &[u8])> {
    let (dos, _) = pod::from_bytes::<pe::ImageDosHeader>(start).ok()?;
    let at = usize::try_from(dos.e_lfanew.get(LittleEndian)).ok()?;
    pod::from_bytes(start.get(at..)?.strip_prefix(b"PE\0\0")?).ok()
}

/// Describes a file with this start and the remedy, if it is a library for another system or
/// processor, or an archive. The loader's own message for it is of little help.
#[must_use]
pub fn foreign_format(start: &[u8]) -> Option<String> {
    use std::env::consts::{ARCH, OS};
    let starts = |magic: &[u8]| start.starts_with(magic);
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
    is_for_another_machine(start)
        .then(|| format!("it is for another processor than this host's: build it for {ARCH}"))
}

/// Returns the platform that a plugin's file with this start needs, as `x86_64-linux`: the names of
/// [`std::env::consts`]. A script needs `any`. `None`: it is no plugin of a known platform.
#[must_use]
pub fn platform_of(start: &[u8]) -> Option<String> {
    const MACH_O: &[u8] = b"\xcf\xfa\xed\xfe";
    if start.starts_with(b"#!") {
        return Some("any".to_owned());
    }
    let (machine, system) = if let Some(header) = elf_header(start) {
        let machine = match header.e_machine.get(LittleEndian) {
            elf::EM_X86_64 => "x86_64",
            elf::EM_AARCH64 => "aarch64",
            elf::EM_RISCV => "riscv64",
            elf::EM_ARM => "arm",
            elf::EM_386 => "x86",
            _ => return None,
        };
        (machine, "linux")
    } else if let Some(rest) = start.strip_prefix(MACH_O) {
        let machine = match rest.first_chunk().map(|kind| u32::from_le_bytes(*kind))? {
            0x0100_0007 => "x86_64",
            0x0100_000c => "aarch64",
            _ => return None,
        };
        (machine, "macos")
    } else if start.starts_with(b"MZ") {
        let machine = match pe_header(start)?.0.machine.get(LittleEndian) {
            pe::IMAGE_FILE_MACHINE_AMD64 => "x86_64",
            pe::IMAGE_FILE_MACHINE_ARM64 => "aarch64",
            _ => return None,
        };
        (machine, "windows")
    } else {
        return None;
    };
    Some(format!("{machine}-{system}"))
}

/// Returns true if it is for another kind of processor than this program. The loader of Linux
/// reports such a file as missing.
fn is_for_another_machine(start: &[u8]) -> bool {
    let (own_elf, own_pe) = if cfg!(target_arch = "x86_64") {
        (elf::EM_X86_64, pe::IMAGE_FILE_MACHINE_AMD64)
    } else if cfg!(target_arch = "aarch64") {
        (elf::EM_AARCH64, pe::IMAGE_FILE_MACHINE_ARM64)
    } else {
        return false;
    };
    match elf_header(start) {
        Some(header) => header.e_machine.get(LittleEndian) != own_elf,
        None => {
            pe_header(start).is_some_and(|(header, _)| header.machine.get(LittleEndian) != own_pe)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn header_tells_library_of_another_system() {
        let said = |start: &[u8]| foreign_format(start).unwrap();
        assert_eq!(said(b"MZ\x90\0"), "it is a library for windows: build it for linux");
        assert!(said(b"\xcf\xfa\xed\xfe\x07").contains("for macos"));
        assert!(said(b"!<arch>\n/ 0").contains("`crate-type = [\"cdylib\"]`"));
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        for start in [&own[..LENGTH], b"", b"just text"] {
            assert_eq!(foreign_format(start), None);
        }
    }

    #[test]
    fn first_bytes_tell_the_platform() {
        let mut header = [0; 64];
        header[..6].copy_from_slice(b"\x7fELF\x02\x01");
        header[0x12] = 0xb7;
        assert_eq!(platform_of(&header).as_deref(), Some("aarch64-linux"));
        header[0x12] = 0x3e;
        assert_eq!(platform_of(&header).as_deref(), Some("x86_64-linux"));
        header[0x12] = 0;
        assert_eq!(platform_of(&header), None);
        assert_eq!(platform_of(b"#!/bin/sh\n").as_deref(), Some("any"));
        let library = b"\xcf\xfa\xed\xfe\x0c\0\0\x01";
        assert_eq!(platform_of(library).as_deref(), Some("aarch64-macos"));
        for start in [&b"MZ"[..], b"", b"just text", &library[..6]] {
            assert_eq!(platform_of(start), None);
        }
        #[cfg(any(target_os = "linux", target_os = "macos", windows))]
        {
            let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
            let platform = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
            assert_eq!(platform_of(&own), Some(platform));
        }
    }

    #[test]
    fn library_for_another_processor_is_reported() {
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
    #[test]
    fn pe_file_is_complete_with_sections_and_symbols() {
        let mut file = [0; 0x200];
        file[..2].copy_from_slice(b"MZ");
        file[0x3c] = 0x80;
        file[0x80..0x84].copy_from_slice(b"PE\0\0");
        file[0x84..0x86].copy_from_slice(&0x8664_u16.to_le_bytes());
        (file[0x86], file[0x94]) = (2, 0x10);
        // Two sections, 3,000 bytes and 1,000 from 4,000 on.
        for (section, size, at) in [(0, 3000_u32, 0x200_u32), (1, 1000, 4000)] {
            let header = 0x80 + 24 + 0x10 + section * 40;
            file[header + 16..header + 20].copy_from_slice(&size.to_le_bytes());
            file[header + 20..header + 24].copy_from_slice(&at.to_le_bytes());
        }
        assert!(!is_cut_short(&file, 5000) && is_cut_short(&file, 4999));
        assert!(is_cut_short(&file[..0x100], 0x100), "the table of sections is not there");
        assert!(is_cut_short(b"MZ", 2));
        file[0x8c..0x90].copy_from_slice(&5000_u32.to_le_bytes());
        file[0x90] = 10;
        assert!(!is_cut_short(&file, 5180) && is_cut_short(&file, 5179));
        assert_eq!(is_for_another_machine(&file), cfg!(not(target_arch = "x86_64")));
        file[0x84] = 0;
        assert_eq!(is_for_another_machine(&file), cfg!(target_pointer_width = "64"));
    }
}
