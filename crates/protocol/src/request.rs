//! The parser of requests.

use super::{length::Length, line, request_error::RequestError};
use memchr::memchr;
pub(super) use plugin_api::abi::Span;

/// The capacity that a parser keeps while its session is idle: spans, and bytes of scratch.
const KEPT_SPANS: usize = 64;
const KEPT_SCRATCH: usize = 4096;

/// The limits of one request. Values above `u32::MAX` count as `u32::MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes of one argument, and of one plain line without its line end.
    pub argument: usize,
    /// The most arguments of one request, with the command's name.
    pub arguments: usize,
    /// The most bytes of a whole RESP request, with its framing.
    pub request: usize,
}

impl Limits {
    /// Caps the limits at the reach of a [`Span`], 4 GiB.
    fn within_reach(self) -> Self {
        let reach = u32::MAX as usize;
        Self {
            argument: self.argument.min(reach),
            arguments: self.arguments.min(reach),
            request: self.request.min(reach),
        }
    }
}

/// The form of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A line of words.
    Line,
    /// A RESP array of bulk strings.
    Resp,
}

/// The outcome of parsing the front of the received bytes. `consumed` is the number of bytes to
/// drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// No whole request yet: parse again with more bytes behind the same ones.
    Incomplete,
    /// A request, whose parts [`Parser::request`] returns.
    Request { framing: Framing, consumed: usize },
    /// A blank line or an empty array, which gets no reply.
    Empty { framing: Framing, consumed: usize },
    /// A request that is refused; the bytes behind it can be parsed.
    Invalid { framing: Framing, consumed: usize, error: RequestError },
    /// A request whose end is unknown: the session sends the error and ends.
    Broken { framing: Framing, error: RequestError },
}

/// An incremental parser of requests, one per session.
#[derive(Debug)]
pub struct Parser {
    limits: Limits,
    /// The number of bytes of the unfinished request that are parsed; 0 before the first attempt.
    at: usize,
    /// The number of arguments of the unfinished array that have not been parsed.
    owed: usize,
    /// The length of the argument at `at`, once its header is parsed.
    bulk: Option<usize>,
    spans: Vec<Span>,
    scratch: Vec<u8>,
    /// True if `spans` index `scratch` and not the input.
    unquoted: bool,
}

impl Parser {
    /// Makes a parser with these limits.
    pub fn new(limits: Limits) -> Self {
        let (limits, spans, scratch) = (limits.within_reach(), Vec::new(), Vec::new());
        Self { limits, at: 0, owed: 0, bulk: None, spans, scratch, unquoted: false }
    }

    /// Changes the limits, for all further requests.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits.within_reach();
    }

    /// Parses the request at the front of `input`, the received bytes that no request has consumed.
    ///
    /// After [`Parsed::Incomplete`] the next `input` must start with the same bytes; they are not
    /// scanned again. The outcome does not depend on how the bytes were cut into reads.
    pub fn parse(&mut self, input: &[u8]) -> Parsed {
        if self.at == 0 {
            self.spans.clear();
            self.unquoted = false;
        }
        let parsed = match input.first() {
            None => return Parsed::Incomplete,
            Some(b'*') => self.parse_array(input),
            Some(_) => self.parse_line(input),
        };
        if parsed != Parsed::Incomplete {
            self.at = 0;
            self.bulk = None;
        }
        parsed
    }

    /// Forgets an unfinished request: the next input starts with other bytes.
    pub fn restart(&mut self) {
        (self.at, self.owed, self.bulk) = (0, 0, None);
    }

    /// Returns the parts of the request that [`parse`](Self::parse) has just found in `input`.
    pub fn request<'a>(&'a self, input: &'a [u8]) -> RequestView<'a> {
        let bytes = if self.unquoted { &self.scratch } else { input };
        RequestView { bytes, spans: &self.spans }
    }

    /// Frees memory, for an idle session. It drops the last request, but keeps the progress of an
    /// unfinished one.
    pub fn shrink(&mut self) {
        self.scratch.clear();
        self.scratch.shrink_to(KEPT_SCRATCH);
        if self.at == 0 {
            self.spans.clear();
        }
        self.spans.shrink_to(KEPT_SPANS);
    }

    /// Returns the bytes of memory that an unfinished or the last request takes beside the input.
    pub fn held(&self) -> usize {
        self.spans.capacity() * size_of::<Span>() + self.scratch.capacity()
    }

    /// Returns the capacity of the spans, and of the scratch in bytes.
    #[cfg(test)]
    pub(super) fn room(&self) -> (usize, usize) {
        (self.spans.capacity(), self.scratch.capacity())
    }

    fn parse_array(&mut self, input: &[u8]) -> Parsed {
        let framing = Framing::Resp;
        match self.parse_bulks(input) {
            Ok(None) => Parsed::Incomplete,
            Ok(Some(consumed)) if self.spans.is_empty() => Parsed::Empty { framing, consumed },
            Ok(Some(consumed)) => Parsed::Request { framing, consumed },
            Err(error) => Parsed::Broken { framing, error },
        }
    }

    /// Parses an array's arguments. Returns the array's end, or `None` if it is incomplete.
    fn parse_bulks(&mut self, input: &[u8]) -> Result<Option<usize>, RequestError> {
        if self.at == 0 {
            match self.parse_array_header(input)? {
                None => return Ok(None),
                Some((at, owed)) => (self.at, self.owed) = (at, owed),
            }
        }
        while self.owed > 0 {
            let length = match self.bulk {
                Some(length) => length,
                None => match self.parse_bulk_header(input)? {
                    None => return Ok(None),
                    Some((at, length)) => {
                        self.at = at;
                        *self.bulk.insert(length)
                    }
                },
            };
            let end = self.at + length;
            match input.get(end..) {
                Some([b'\r', b'\n', ..]) => {}
                None | Some([] | [b'\r']) => return Ok(None),
                Some(_) => return Err(RequestError::BulkEnd),
            }
            self.spans.push(Span { start: self.at as u32, length: length as u32 });
            self.at = end + 2;
            self.bulk = None;
            self.owed -= 1;
        }
        Ok(Some(self.at))
    }

    /// Parses `*N`. Returns the offset of the first argument, and the number of arguments.
    // Inlined explicitly: otherwise the compiler's decision varies with unrelated code.
    #[inline(always)]
    fn parse_array_header(&self, input: &[u8]) -> Result<Option<(usize, usize)>, RequestError> {
        match Length::read(input.get(1..).unwrap_or_default()) {
            Length::Incomplete => Ok(None),
            Length::Known { value, negative: true, taken } if value <= 1 << 63 => {
                Ok(Some((1 + taken, 0)))
            }
            Length::Known { value, negative: false, taken }
                if value <= self.limits.arguments as u64 =>
            {
                Ok(Some((1 + taken, value as usize)))
            }
            Length::Known { .. } | Length::Invalid => Err(RequestError::MultibulkLength),
            Length::TooLong => Err(RequestError::MultibulkCountTooLong),
        }
    }

    /// Parses `$N` at `self.at`. Returns the offset of the argument's bytes, and their number.
    #[inline(always)]
    fn parse_bulk_header(&self, input: &[u8]) -> Result<Option<(usize, usize)>, RequestError> {
        let digits = match input.get(self.at..) {
            None | Some([]) => return Ok(None),
            Some([b'$', b'-', ..]) => return Err(RequestError::BulkLength),
            Some([b'$', digits @ ..]) => digits,
            Some([byte, ..]) => return Err(RequestError::ExpectedBulk(*byte)),
        };
        match Length::read(digits) {
            Length::Incomplete => Ok(None),
            Length::Known { value, taken, .. } if value <= self.limits.argument as u64 => {
                let (start, length) = (self.at + 1 + taken, value as usize);
                match start.saturating_add(length).saturating_add(2) <= self.limits.request {
                    true => Ok(Some((start, length))),
                    false => Err(RequestError::RequestTooBig),
                }
            }
            Length::Known { .. } | Length::Invalid => Err(RequestError::BulkLength),
            Length::TooLong => Err(RequestError::BulkCountTooLong),
        }
    }

    fn parse_line(&mut self, input: &[u8]) -> Parsed {
        let framing = Framing::Line;
        let most = self.limits.argument;
        let too_big = Parsed::Broken { framing, error: RequestError::LineTooBig };
        let unseen = input.get(self.at..).unwrap_or_default();
        let Some(found) = memchr(b'\n', unseen) else {
            self.at = input.len();
            // One byte above the limit may be the CR of the line end, which does not count.
            return match input.get(most..) {
                None | Some([] | [b'\r']) => Parsed::Incomplete,
                Some(_) => too_big,
            };
        };
        let end = self.at + found;
        let line = input.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > most {
            return too_big;
        }
        let consumed = end + 1;
        match line::split(line, self.limits.arguments, &mut self.spans, &mut self.scratch) {
            Ok(_) if self.spans.is_empty() => Parsed::Empty { framing, consumed },
            Ok(unquoted) => {
                self.unquoted = unquoted;
                Parsed::Request { framing, consumed }
            }
            Err(error) => Parsed::Invalid { framing, consumed, error },
        }
    }
}

/// The parts of one request, without a copy.
#[derive(Clone, Copy, Debug)]
pub struct RequestView<'a> {
    /// The bytes that the spans index.
    pub bytes: &'a [u8],
    /// The command's name, then its arguments.
    pub spans: &'a [Span],
}

impl<'a> RequestView<'a> {
    /// Returns the command's name, as the client wrote it.
    pub fn name(&self) -> &'a [u8] {
        self.get(0).unwrap_or_default()
    }

    /// Returns the spans of the arguments behind the name.
    pub fn arguments(&self) -> &'a [Span] {
        self.spans.get(1..).unwrap_or_default()
    }

    /// Returns the part at `index`; 0 is the name.
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        let span = self.spans.get(index)?;
        self.bytes.get(span.start as usize..)?.get(..span.length as usize)
    }
}
