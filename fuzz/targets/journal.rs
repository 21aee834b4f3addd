//! The journal of a plugin, which a crash may have cut and a disk may have changed.
#![no_main]

use journal::{
    frame,
    segment::{self, End, Header, Unreadable},
};
use libfuzzer_sys::fuzz_target;
use plugin_api::{abi::Span, commands::CommandReader};

type Records = Vec<(u64, Vec<u8>)>;

/// Returns a header that no input knows: a record that was made for it is not in the input.
fn header(data: &[u8]) -> Header {
    let sum = data.iter().fold(1_u64, |sum, byte| sum.wrapping_mul(31) ^ u64::from(*byte));
    Header { number: 7, first: 40, begun: sum }
}

fn read(bytes: &[u8], header: Header) -> Result<(Records, End), Unreadable<()>> {
    let mut records = Records::new();
    let (next, end) = segment::read_records(bytes, header, &mut |record| {
        assert_eq!(record.number, header.first + records.len() as u64);
        records.push((record.time, record.commands.to_vec()));
        Ok(())
    })?;
    assert_eq!(next, header.first + records.len() as u64);
    Ok((records, end))
}

fn write(records: &Records, header: Header) -> Vec<u8> {
    let (mut bytes, mut payload, mut before) = (Vec::new(), Vec::new(), header.begun);
    for (time, commands) in records {
        segment::write_payload(&mut payload, before, *time, commands);
        let place = header.place().behind(bytes.len());
        frame::write(&mut bytes, place, &payload);
        before = *time;
    }
    bytes
}

/// Reads a list of commands, whose words must lie inside it and behind each other.
fn read_commands(list: &[u8]) {
    let (mut reader, mut spans, mut behind) = (CommandReader::new(list), Vec::new(), 0);
    while let Ok(Some(place)) = reader.next(&mut spans) {
        assert!(!spans.is_empty() && place.start == behind && place.end <= list.len());
        for Span { start, length } in &spans {
            assert!(*start as usize >= behind, "{spans:?}");
            behind = *start as usize + *length as usize;
        }
        assert_eq!(behind, place.end);
    }
}

fuzz_target!(|data: &[u8]| {
    read_commands(data);
    let fixed = Header { number: 7, first: 40, begun: 1_000 };
    if let Ok((records, end)) = read(data, fixed) {
        let whole = match end {
            End::Clean => data.len(),
            End::Torn(offset) => offset as usize - segment::HEADER,
        };
        let (again, end) = read(&data[..whole], fixed).expect("the whole records are read again");
        assert_eq!((again, end), (records, End::Clean));
    }

    // Records end at a comma; the first two bytes choose a bit to flip and a place to cut.
    let Some(([bit, cut], rest)) = data.split_first_chunk() else { return };
    let parts = rest.split(|byte| *byte == b',').take(32);
    let records: Records = parts.zip(0..).map(|(part, time)| (time * 977, part.to_vec())).collect();
    let header = header(data);
    let bytes = write(&records, header);
    let (found, end) = read(&bytes, header).expect("what was written is read");
    assert_eq!((&found, end), (&records, End::Clean));
    let cut = bytes.len() * usize::from(*cut) / 256;
    let (found, _) = read(&bytes[..cut], header).expect("a cut is no damage");
    assert_eq!(found, records[..found.len()]);
    let mut flipped = bytes;
    let bit = flipped.len() * 8 * usize::from(*bit) / 256;
    flipped[bit / 8] ^= 1 << (bit % 8);
    assert!(matches!(read(&flipped, header), Err(Unreadable::Damaged(..))), "bit {bit}");
});
