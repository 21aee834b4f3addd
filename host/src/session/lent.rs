//! The buffers that a thread lends to the sessions that it serves, one after another.

use std::mem;

use protocol::{Limits, Parser};

use super::buffers::Buffers;
use crate::{
    config::Bounds,
    net::{lease::Lease, read_buffer::ReadBuffer},
};

/// The most memory that a thread keeps between turns, in bytes.
const KEPT: usize = 8 << 20;

/// The size above which a session gets a buffer only for a part that fills a quarter of it, in bytes.
/// Less is copied, or a client would hold megabytes for a few bytes.
const LARGE: usize = 64 << 10;

/// The buffers that a thread lends, and those that it keeps for requests that are unfinished when
/// their turn ends. The last one that came back is the first that is used again: it is warm.
pub struct Lent {
    pub(super) buffers: Box<Buffers>,
    #[expect(clippy::vec_box, reason = "a session gets the box, too")]
    spare: Vec<Box<Unfinished>>,
    /// The bytes that the spare ones take.
    spare_bytes: usize,
    limits: Limits,
}

/// An unfinished request: what has arrived of it, and how far it is parsed.
pub(super) struct Unfinished {
    read_buffer: ReadBuffer,
    parser: Parser,
}

impl Lent {
    /// Makes the buffers of the thread of this number.
    pub fn new(bounds: &Bounds, thread: u64, lease: Box<dyn Lease>) -> Self {
        let buffers = Buffers::lent(bounds, thread, lease);
        Self { buffers, spare: Vec::new(), spare_bytes: 0, limits: bounds.limits() }
    }

    /// Puts an unfinished request into the buffers, which have none.
    pub(super) fn take_up(&mut self, mut unfinished: Box<Unfinished>) {
        unfinished.swap(&mut self.buffers);
        self.spare_bytes += unfinished.held();
        self.spare.push(unfinished);
    }

    /// Takes the unfinished request out of the buffers.
    #[cold]
    pub(super) fn leave(&mut self) -> Box<Unfinished> {
        let Buffers { read_buffer, parser, .. } = &mut *self.buffers;
        if parser.held() > LARGE {
            parser.shrink();
        }
        let held = read_buffer.held();
        if held > LARGE && read_buffer.unread().len() < held / 4 {
            let mut unfinished = Box::new(Unfinished::new(self.limits));
            read_buffer.move_into(&mut unfinished.read_buffer);
            mem::swap(&mut unfinished.parser, parser);
            return unfinished;
        }
        let mut unfinished = match self.spare.pop() {
            Some(spare) => {
                self.spare_bytes -= spare.held();
                spare
            }
            None => Box::new(Unfinished::new(self.limits)),
        };
        unfinished.swap(&mut self.buffers);
        unfinished
    }

    /// Has another thread wait for the other sessions, if this one still does.
    pub fn give_up_lease(&self) {
        if let Some(lease) = &self.buffers.lease {
            lease.give_up();
        }
    }

    /// Frees memory if the thread has more of it than it keeps.
    #[inline(always)]
    pub(super) fn tidy(&mut self) {
        if self.buffers.held() + self.spare_bytes > KEPT {
            self.free();
        }
    }

    #[cold]
    fn free(&mut self) {
        if self.buffers.held() > KEPT {
            self.buffers.shrink();
        }
        let most = KEPT.saturating_sub(self.buffers.held());
        // The first ones have been used longest ago.
        let mut left = self.spare_bytes;
        let enough = self.spare.iter().take_while(|spare| {
            let is_over = left > most;
            left -= if is_over { spare.held() } else { 0 };
            is_over
        });
        let count = enough.count();
        self.spare.drain(..count);
        self.spare_bytes = left;
    }
}

impl Unfinished {
    fn new(limits: Limits) -> Self {
        Self { read_buffer: ReadBuffer::for_many(), parser: Parser::new(limits) }
    }

    fn swap(&mut self, buffers: &mut Buffers) {
        mem::swap(&mut self.read_buffer, &mut buffers.read_buffer);
        mem::swap(&mut self.parser, &mut buffers.parser);
    }

    /// Returns the bytes of memory that it takes.
    pub(super) fn held(&self) -> usize {
        self.read_buffer.held() + self.parser.held()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Arguments {
        #[command(flatten)]
        bounds: Bounds,
    }

    struct NoLease;

    impl Lease for NoLease {
        fn give_up(&self) {}
    }

    fn lent() -> Lent {
        Lent::new(&Arguments::parse_from(["host"]).bounds, 1, Box::new(NoLease))
    }

    /// Has a request's part arrive, and returns it as unfinished.
    fn receive(lent: &mut Lent, part: &[u8]) -> Box<Unfinished> {
        let mut left = part;
        while !left.is_empty() {
            let read = |room: &mut [u8]| io::Read::read(&mut left, room);
            lent.buffers.read_buffer.fill(read).unwrap();
        }
        lent.leave()
    }

    /// Returns what has arrived of an unfinished request, and ends it.
    fn finish(lent: &mut Lent, unfinished: Box<Unfinished>) -> Vec<u8> {
        lent.take_up(unfinished);
        lent.buffers.read_buffer.take()
    }

    #[test]
    fn requests_are_kept_apart() {
        let mut lent = lent();
        for size in [10, 100_000, 2 << 20] {
            let parts = [vec![b'a'; size], vec![b'b'; size], vec![b'c'; 10]];
            let all = parts.each_ref().map(|part| receive(&mut lent, part));
            assert!(lent.buffers.read_buffer.is_empty());
            for (part, unfinished) in parts.iter().zip(all) {
                assert!(finish(&mut lent, unfinished) == *part);
            }
        }
    }

    #[test]
    fn little_part_takes_no_large_buffer() {
        let mut lent = lent();
        let large = receive(&mut lent, &[1; 2 << 20]);
        finish(&mut lent, large);
        let held = lent.buffers.held();
        assert!(held >= 2 << 20);
        for size in [1, 5_000, 70_000, 500_000] {
            let part = vec![b'S'; size];
            let little = receive(&mut lent, &part);
            assert!(little.held() <= (2 * size).max(LARGE), "{size}: {}", little.held());
            assert_eq!(lent.buffers.held() / LARGE, held / LARGE);
            assert!(finish(&mut lent, little) == part);
        }
    }

    #[test]
    fn memory_is_bounded_and_the_warm_is_kept() {
        let mut lent = lent();
        let all: Vec<_> = (0..20).map(|_| receive(&mut lent, &[1; 1 << 20])).collect();
        for unfinished in all {
            finish(&mut lent, unfinished);
            lent.tidy();
            assert!(lent.buffers.held() + lent.spare_bytes <= KEPT);
        }
        let sizes: Vec<_> = lent.spare.iter().map(|spare| spare.held()).collect();
        assert_eq!(lent.spare_bytes, sizes.iter().sum::<usize>());
        assert!(sizes.len() > 1 && sizes.iter().all(|size| *size >= 1 << 20), "{sizes:?}");
    }
}
