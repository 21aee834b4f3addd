//! Lines as arguments: quoted arguments come back, and the client splits as the host does.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::{Framing, Limits, Parsed, Parser, RequestError, quoting};

const ROOMY: usize = 1 << 20;

/// Returns the host's arguments of a line, which must not have a newline.
fn split(line: &[u8], most: usize) -> Result<Vec<Vec<u8>>, RequestError> {
    // The space keeps a star from being the start of an array.
    let sent = [b" ", line, b"\r\n"].concat();
    let mut parser = Parser::new(Limits { argument: ROOMY, arguments: most, request: ROOMY });
    let parsed = parser.parse(&sent);
    match parsed {
        Parsed::Request { framing: Framing::Line, consumed } => {
            assert_eq!(consumed, sent.len());
            let view = parser.request(&sent);
            Ok((0..view.spans.len()).map(|i| view.get(i).unwrap().to_vec()).collect())
        }
        Parsed::Empty { framing: Framing::Line, consumed } => {
            assert_eq!(consumed, sent.len());
            Ok(Vec::new())
        }
        Parsed::Invalid { framing: Framing::Line, consumed, error } => {
            assert_eq!(consumed, sent.len());
            Err(error)
        }
        other => panic!("{other:?}"),
    }
}

/// Checks that client and host agree on any line, for any limit of arguments.
fn agree(line: &[u8], most: usize) {
    let host = split(line, ROOMY);
    if line.contains(&0) {
        assert_eq!(host, Err(RequestError::NulByte));
        assert_eq!(split(line, most), Err(RequestError::NulByte));
        return;
    }
    assert_eq!(host, quoting::split(line));
    let too_many = Err(RequestError::TooManyArguments);
    match (host, split(line, most)) {
        (Ok(words), limited) if words.len() > most => assert_eq!(limited, too_many),
        // Either error may come first in the line.
        (Err(_), limited) if limited == too_many => {}
        (host, limited) => assert_eq!(host, limited),
    }
}

/// Writes an argument in one of the styles that a person may use, where that is possible.
fn quote(argument: &[u8], style: u8, line: &mut Vec<u8>) {
    let plain = !argument.iter().any(|byte| b"\0\n".contains(byte));
    match style % 3 {
        0 if plain && !argument.is_empty() => {
            for byte in argument {
                if b" \t\"'\\".contains(byte) {
                    line.push(b'\\');
                }
                line.push(*byte);
            }
        }
        1 if plain && !argument.ends_with(b"\\") => {
            line.push(b'\'');
            for byte in argument {
                if *byte == b'\'' {
                    line.push(b'\\');
                }
                line.push(*byte);
            }
            line.push(b'\'');
        }
        _ => {
            line.push(b'"');
            for byte in argument {
                match byte {
                    b'"' | b'\\' => line.extend([b'\\', *byte]),
                    b'\n' if style & 4 == 0 => line.extend(b"\\n"),
                    0 | b'\n' => line.extend(format!("\\x{byte:02x}").bytes()),
                    0x80.. if style & 8 == 0 => line.extend(format!("\\x{byte:02X}").bytes()),
                    _ => line.push(*byte),
                }
            }
            line.push(b'"');
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&most, text)) = data.split_first() else { return };
    let most = usize::from(most) % 16;
    for line in text.split(|byte| *byte == b'\n') {
        agree(line, most);
    }

    // Arguments end at a comma; the byte before each chooses its style.
    let mut arguments = Vec::new();
    let mut line = Vec::new();
    for piece in text.split(|byte| *byte == b',') {
        let Some((style, argument)) = piece.split_first() else { continue };
        line.extend(if style & 16 == 0 { &b" "[..] } else { b"\t \t" });
        quote(argument, *style, &mut line);
        arguments.push(argument.to_vec());
    }
    assert_eq!(split(&line, ROOMY), Ok(arguments));
    agree(&line, most);
});
