//! One request at the front of the received bytes.

use super::{length::Length, line, request_error::RequestError};
use memchr::memchr;
pub(super) use plugin_api::abi::Span;

/// How much room a parser keeps while its session idles: arguments, and bytes of unquoted line.
const KEPT_SPANS: usize = 64;
const KEPT_SCRATCH: usize = 4096;

/// How much one request may ask for. Values above `u32::MAX` count as `u32::MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one argument, and of one plain line without its line end.
    pub argument: usize,
    /// Arguments of one request, the command name included.
    pub arguments: usize,
    /// Bytes of a whole RESP request, framing included.
    pub request: usize,
}

impl Limits {
    /// A span reaches 4 GiB far.
    fn within_reach(self) -> Self {
        let reach = u32::MAX as usize;
        Self {
            argument: self.argument.min(reach),
            arguments: self.arguments.min(reach),
            request: self.request.min(reach),
        }
    }
}

/// How a request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A line of words.
    Line,
    /// A RESP array of bulk strings.
    Resp,
}

/// What the front of the received bytes is. `consumed` counts the bytes to drop from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// Not a whole request yet: come again with more bytes behind the same ones.
    Incomplete,
    /// A request; [`Parser::request`] has its pieces.
    Request { framing: Framing, consumed: usize },
    /// A blank line or an array of no arguments, which gets no reply.
    Empty { framing: Framing, consumed: usize },
    /// This request is refused; what follows it is understood.
    Invalid { framing: Framing, consumed: usize, error: RequestError },
    /// Nobody knows where the next request starts: tell the error, then end the session.
    Broken { framing: Framing, error: RequestError },
}

/// An incremental parser of requests, one per session.
#[derive(Debug)]
pub struct Parser {
    limits: Limits,
    /// Bytes of the unfinished request that need not be looked at again; 0 before its first look.
    at: usize,
    /// Arguments of the unfinished array that are still to come.
    owed: usize,
    /// Bytes of the argument at `at`, once its header is read.
    bulk: Option<usize>,
    spans: Vec<Span>,
    scratch: Vec<u8>,
    /// Whether `spans` index `scratch` and not the input.
    unquoted: bool,
}

impl Parser {
    /// A parser that holds requests to `limits`.
    pub fn new(limits: Limits) -> Self {
        let (limits, spans, scratch) = (limits.within_reach(), Vec::new(), Vec::new());
        Self { limits, at: 0, owed: 0, bulk: None, spans, scratch, unquoted: false }
    }

    /// Holds the requests that come from now on to other limits.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits.within_reach();
    }

    /// Looks at `input`, the received bytes that no request has consumed yet.
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
            Some(b'*') => self.array(input),
            Some(_) => self.line(input),
        };
        if parsed != Parsed::Incomplete {
            self.at = 0;
            self.bulk = None;
        }
        parsed
    }

    /// The pieces of the request that [`parse`](Self::parse) just found in this same `input`.
    pub fn request<'a>(&'a self, input: &'a [u8]) -> RequestView<'a> {
        let bytes = if self.unquoted { &self.scratch } else { input };
        RequestView { bytes, spans: &self.spans }
    }

    /// Gives back memory above a small cap. For an idle session: it forgets the last request, but
    /// not what it knows of an unfinished one.
    pub fn shrink(&mut self) {
        self.scratch.clear();
        self.scratch.shrink_to(KEPT_SCRATCH);
        if self.at == 0 {
            self.spans.clear();
        }
        self.spans.shrink_to(KEPT_SPANS);
    }

    /// Bytes of memory that an unfinished or the last request takes beside the input.
    pub fn held(&self) -> usize {
        self.spans.capacity() * size_of::<Span>() + self.scratch.capacity()
    }

    /// What is allocated: spans, and bytes of scratch.
    #[cfg(test)]
    pub(super) fn room(&self) -> (usize, usize) {
        (self.spans.capacity(), self.scratch.capacity())
    }

    fn array(&mut self, input: &[u8]) -> Parsed {
        let framing = Framing::Resp;
        match self.bulks(input) {
            Ok(None) => Parsed::Incomplete,
            Ok(Some(consumed)) if self.spans.is_empty() => Parsed::Empty { framing, consumed },
            Ok(Some(consumed)) => Parsed::Request { framing, consumed },
            Err(error) => Parsed::Broken { framing, error },
        }
    }

    /// Collects an array's arguments: where it ends, or `None` when the rest is yet to come.
    fn bulks(&mut self, input: &[u8]) -> Result<Option<usize>, RequestError> {
        if self.at == 0 {
            match self.array_header(input)? {
                None => return Ok(None),
                Some((at, owed)) => (self.at, self.owed) = (at, owed),
            }
        }
        while self.owed > 0 {
            let length = match self.bulk {
                Some(length) => length,
                None => match self.bulk_header(input)? {
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

    /// Reads `*N`: where the first argument starts, and how many there are.
    // Else the compiler's mind changes with whatever else is compiled beside it.
    #[inline(always)]
    fn array_header(&self, input: &[u8]) -> Result<Option<(usize, usize)>, RequestError> {
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

    /// Reads `$N` at `self.at`: where the argument's bytes start, and how many there are.
    #[inline(always)]
    fn bulk_header(&self, input: &[u8]) -> Result<Option<(usize, usize)>, RequestError> {
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

    fn line(&mut self, input: &[u8]) -> Parsed {
        let framing = Framing::Line;
        let most = self.limits.argument;
        let too_big = Parsed::Broken { framing, error: RequestError::LineTooBig };
        let unseen = input.get(self.at..).unwrap_or_default();
        let Some(found) = memchr(b'\n', unseen) else {
            self.at = input.len();
            // One byte too many may yet be the CR of the line end, which does not count.
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

/// The pieces of one request, without a copy.
#[derive(Clone, Copy, Debug)]
pub struct RequestView<'a> {
    /// What the spans index.
    pub bytes: &'a [u8],
    /// The command's name, then its arguments.
    pub spans: &'a [Span],
}

impl<'a> RequestView<'a> {
    /// The command's name, as the client wrote it.
    pub fn name(&self) -> &'a [u8] {
        self.get(0).unwrap_or_default()
    }

    /// The arguments behind the name.
    pub fn arguments(&self) -> &'a [Span] {
        self.spans.get(1..).unwrap_or_default()
    }

    /// Piece `index`; 0 is the name.
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        let span = self.spans.get(index)?;
        self.bytes.get(span.start as usize..)?.get(..span.length as usize)
    }
}
