//! The requests of a transaction, until it runs.

use plugin_api::abi::Span;
use protocol::RequestView;

/// The most requests of a transaction.
const MOST: usize = 1 << 20;

/// The memory that an idle session may take for requests, in bytes: more is accounted.
const SMALL: usize = 4 << 10;

/// The requests of a transaction, until it runs.
#[derive(Default)]
pub(super) struct QueuedRequests {
    /// The parts of all requests, one behind the other.
    bytes: Vec<u8>,
    /// Each part, relative to the start of its request.
    spans: Vec<Span>,
    /// The ends of each request in `bytes` and in `spans`.
    ends: Vec<(usize, usize)>,
    is_failed: bool,
}

impl QueuedRequests {
    /// Appends a request. `most` is the limit of all requests together, in bytes.
    ///
    /// # Errors
    /// The transaction is too large and has failed: the text of an error.
    pub(super) fn push(&mut self, request: &RequestView<'_>, most: usize) -> Result<(), String> {
        if self.is_failed {
            // It will not run, and takes no memory.
            return Ok(());
        }
        let start = self.bytes.len();
        for index in 0..request.spans.len() {
            let part = request.get(index).unwrap_or_default();
            // A request is shorter than 4 GiB.
            let place = (self.bytes.len() - start) as u32;
            self.spans.push(Span { start: place, length: part.len() as u32 });
            self.bytes.extend_from_slice(part);
        }
        self.ends.push((self.bytes.len(), self.spans.len()));
        let problem = if self.ends.len() > MOST {
            format!("transaction of more than {MOST} commands")
        } else if self.used() > most {
            format!("transaction larger than {most} bytes (--max-request)")
        } else {
            return Ok(());
        };
        self.fail();
        Err(problem)
    }

    /// Notes that the transaction cannot run, and frees its memory.
    pub(super) fn fail(&mut self) {
        *self = Self { is_failed: true, ..Self::default() };
    }

    /// Returns true if the transaction cannot run.
    pub(super) fn is_failed(&self) -> bool {
        self.is_failed
    }

    /// Returns the requests.
    pub(super) fn iter(&self) -> impl Iterator<Item = RequestView<'_>> {
        let starts = std::iter::once(&(0, 0)).chain(&self.ends);
        starts.zip(&self.ends).map(|(start, end)| RequestView {
            bytes: self.bytes.get(start.0..end.0).unwrap_or_default(),
            spans: self.spans.get(start.1..end.1).unwrap_or_default(),
        })
    }

    /// Returns true if the memory is more than an idle session may take.
    pub(super) fn is_large(&self) -> bool {
        self.held() > SMALL
    }

    /// Returns the bytes of memory that the requests take.
    pub(super) fn held(&self) -> usize {
        let spans = self.spans.capacity() * size_of::<Span>();
        self.bytes.capacity() + spans + self.ends.capacity() * size_of::<(usize, usize)>()
    }

    fn used(&self) -> usize {
        let spans = self.spans.len() * size_of::<Span>();
        self.bytes.len() + spans + self.ends.len() * size_of::<(usize, usize)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request<'a>(bytes: &'a [u8], spans: &'a [Span]) -> RequestView<'a> {
        RequestView { bytes, spans }
    }

    #[test]
    fn requests_come_out_as_they_went_in() {
        let mut queued = QueuedRequests::default();
        let spans = [Span { start: 4, length: 3 }, Span { start: 9, length: 0 }];
        queued.push(&request(b"$3\r\nset\r\n", &spans), 1_000).unwrap();
        queued.push(&request(b"get key", &[Span { start: 4, length: 3 }]), 1_000).unwrap();
        let parts = |view: RequestView<'_>| {
            (0..view.spans.len()).map(|index| view.get(index).unwrap().to_vec()).collect::<Vec<_>>()
        };
        let all: Vec<_> = queued.iter().map(parts).collect();
        assert_eq!(all, [vec![b"set".to_vec(), Vec::new()], vec![b"key".to_vec()]]);
    }

    #[test]
    fn failed_transaction_takes_no_memory() {
        let mut queued = QueuedRequests::default();
        let (bytes, spans) = ([0; 500], [Span { start: 0, length: 500 }]);
        queued.push(&request(&bytes, &spans), 1_000).unwrap();
        assert!(queued.held() >= 500 && !queued.is_failed());
        let problem = queued.push(&request(&bytes, &spans), 1_000).unwrap_err();
        assert!(problem.contains("1000 bytes (--max-request)"), "{problem}");
        assert!(queued.is_failed() && queued.held() == 0 && queued.iter().count() == 0);
        queued.push(&request(&bytes, &spans), 1_000).unwrap();
        assert_eq!(queued.held(), 0);
    }

    #[test]
    fn number_of_requests_has_a_limit() {
        let mut queued = QueuedRequests::default();
        let one = [Span { start: 0, length: 0 }];
        for _ in 0..MOST {
            queued.push(&request(b"", &one), usize::MAX).unwrap();
        }
        assert!(queued.push(&request(b"", &one), usize::MAX).is_err());
    }
}
