//! Requests, split into arbitrary reads: the splits must not matter, and limits must hold.
//!
//! The first five bytes choose the limits, the reads and the encoding of the rest; text is fine.
#![no_main]

use dropin_fuzz::net::read_buffer::ReadBuffer;
use libfuzzer_sys::fuzz_target;
use protocol::{Framing, Limits, Parsed, Parser, RequestError};

/// More than any incomplete header.
const HEADER: usize = 64;

/// The parser's results, free of positions.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Request(Framing, Vec<Vec<u8>>),
    Empty(Framing),
    Invalid(Framing, RequestError),
    Broken(Framing, RequestError),
}

/// A session's parser and its results so far.
struct Feed {
    parser: Parser,
    limits: [Limits; 2],
    read_buffer: ReadBuffer,
    found: Vec<Outcome>,
}

impl Feed {
    /// The first limits hold for the first request, as before a login.
    fn new(limits: [Limits; 2]) -> Self {
        let parser = Parser::new(limits[0]);
        Self { parser, limits, read_buffer: ReadBuffer::default(), found: Vec::new() }
    }

    /// Parses these bytes. Returns whether the session continues.
    fn read(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let read = self.read_buffer.fill(|room| {
                let count = room.len().min(bytes.len());
                room[..count].copy_from_slice(&bytes[..count]);
                Ok(count)
            });
            bytes = &bytes[read.unwrap()..];
            if !self.parse() {
                return false;
            }
        }
        true
    }

    fn parse(&mut self) -> bool {
        loop {
            let limits = self.limits[usize::from(!self.found.is_empty())];
            let unread = self.read_buffer.unread();
            let (outcome, consumed) = match self.parser.parse(unread) {
                Parsed::Incomplete => {
                    let most = (limits.argument + 1).max(limits.request + HEADER);
                    assert!(unread.len() <= most, "{} bytes wait for more", unread.len());
                    return true;
                }
                Parsed::Request { framing, consumed } => {
                    let view = self.parser.request(unread);
                    let count = view.spans.len();
                    assert!((1..=limits.arguments).contains(&count), "{count} arguments");
                    assert_eq!((view.get(0), view.get(count)), (Some(view.name()), None));
                    assert_eq!(view.arguments().len() + 1, count);
                    let piece = |index| view.get(index).expect("a span lies inside").to_vec();
                    let pieces: Vec<_> = (0..count).map(piece).collect();
                    assert!(pieces.iter().all(|piece| piece.len() <= limits.argument));
                    assert!(framing == Framing::Line || consumed <= limits.request);
                    (Outcome::Request(framing, pieces), consumed)
                }
                Parsed::Empty { framing, consumed } => (Outcome::Empty(framing), consumed),
                Parsed::Invalid { framing, consumed, error } => {
                    can_be_told(error);
                    (Outcome::Invalid(framing, error), consumed)
                }
                Parsed::Broken { framing, error } => {
                    can_be_told(error);
                    self.found.push(Outcome::Broken(framing, error));
                    return false;
                }
            };
            assert!(0 < consumed && consumed <= unread.len(), "{consumed} of {}", unread.len());
            self.read_buffer.consume(consumed);
            self.found.push(outcome);
            self.parser.set_limits(self.limits[1]);
            if self.read_buffer.is_empty() {
                return true;
            }
        }
    }
}

fn can_be_told(error: RequestError) {
    let mut message = Vec::new();
    error.write_message(&mut message);
    assert!(message.iter().all(|byte| *byte == b' ' || byte.is_ascii_graphic()), "{error:?}");
}

/// Encodes the words of each line as a RESP array.
fn arrays(text: &[u8]) -> (Vec<Vec<Vec<u8>>>, Vec<u8>) {
    let words = |line: &[u8]| line.split(|byte| *byte == b' ').map(<[u8]>::to_vec).collect();
    let requests: Vec<Vec<Vec<u8>>> = text.split(|byte| *byte == b'\n').map(words).collect();
    let mut stream = Vec::new();
    for request in &requests {
        stream.extend(format!("*{}\r\n", request.len()).bytes());
        for word in request {
            stream.extend(format!("${}\r\n", word.len()).bytes());
            stream.extend_from_slice(word);
            stream.extend(b"\r\n");
        }
    }
    (requests, stream)
}

fuzz_target!(|data: &[u8]| {
    let Some((&[argument, arguments, request, cuts, writing], text)) = data.split_first_chunk()
    else {
        return;
    };
    // Small enough to be reached, and for the digits 0 to 9 larger than any input.
    let limit = |byte: u8, unit: usize| match byte {
        b'0'..=b'9' => 1 << 16,
        _ => usize::from(byte) * unit,
    };
    let later = Limits {
        argument: limit(argument, 1),
        arguments: limit(arguments, 1) / 16,
        request: limit(request, 4),
    };
    let first = Limits { argument: later.argument / 2, arguments: 10, request: later.request / 2 };
    let limits = if writing & 1 == 0 { [later; 2] } else { [first, later] };
    let (requests, stream) = match writing & 6 {
        2 => arrays(text),
        4 => (Vec::new(), [text, b"\r\n"].concat()),
        _ => (Vec::new(), text.to_vec()),
    };

    let mut whole = Feed::new(limits);
    let whole_goes_on = whole.read(&stream);

    // One byte at a time, or pieces of pseudo-random sizes.
    let mut pieces = Feed::new(limits);
    let (mut rest, mut size, mut goes_on) = (&stream[..], usize::from(cuts), true);
    while goes_on && !rest.is_empty() {
        size = if cuts == b'1' { 1 } else { (size * 137 + 29) % 251 };
        let (read, tail) = rest.split_at(rest.len().min(size % (usize::from(cuts) + 1) + 1));
        goes_on = pieces.read(read);
        rest = tail;
        if size % 3 == 0 {
            pieces.parser.shrink();
            pieces.read_buffer.shrink();
        }
    }
    assert_eq!(whole.found, pieces.found);
    assert_eq!(whole_goes_on, goes_on);
    assert!(!goes_on || whole.read_buffer.unread() == pieces.read_buffer.unread());

    let fits = |request: &Vec<Vec<u8>>| {
        request.len() <= 10
            && request.concat().len() + 40 * request.len() < later.request / 2
            && request.iter().all(|word| word.len() <= later.argument / 2)
            && request.len() <= later.arguments
    };
    if !requests.is_empty() && requests.iter().all(fits) {
        let sent = requests.into_iter().map(|words| Outcome::Request(Framing::Resp, words));
        assert_eq!(whole.found, sent.collect::<Vec<_>>());
    }
});
