//! Takes the state out of a plugin as commands, piece by piece, while its calls go on.

use std::time::{Duration, Instant};

use super::file::TakePiece;
use crate::{live::generation::Generation, write::now};

/// The length below which a piece is short, in bytes.
const SHORT: usize = 64 << 10;

/// So many short pieces one after the other are what has changed meanwhile: callers may wait for
/// the rest.
const SHORT_ONES: usize = 8;

/// The longest time for which pieces are taken while calls go on: a plugin that is changed faster
/// than it is read never comes to an end.
const MOST: Duration = Duration::from_secs(60);

/// The longest wait for a stream before, which a reader has not left.
const EARLIER: Duration = Duration::from_secs(5);

/// A stream of a plugin's state. A new one takes the place of one before, whose reader gets an error.
pub struct Stream<'a> {
    generation: &'a Generation,
    /// Its number among the streams of the generation.
    number: u64,
    bytes: u64,
}

/// A stream that goes on later.
#[derive(Clone, Copy, Debug)]
pub struct OpenStream {
    number: u64,
    bytes: u64,
}

impl OpenStream {
    /// Ends it, unless another one has taken its place.
    pub fn end(self, generation: &Generation) {
        drop(Stream::resume(generation, self));
    }
}

impl<'a> Stream<'a> {
    /// Begins a stream.
    ///
    /// # Errors
    /// The plugin's error, or that a reader of an earlier stream does not return.
    pub fn begin(generation: &'a Generation) -> Result<Self, String> {
        let last = generation.stream.try_lock_for(EARLIER);
        let mut last = last.ok_or("an earlier stream of its state has not returned yet")?;
        *last += 1;
        generation.live().stream_begin()?;
        Ok(Self { generation, number: *last, bytes: 0 })
    }

    /// Goes on with a stream that has begun.
    #[must_use]
    pub fn resume(generation: &'a Generation, open: OpenStream) -> Self {
        Self { generation, number: open.number, bytes: open.bytes }
    }

    /// Returns the length of all pieces so far, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Leaves the stream open, for [`resume`](Self::resume).
    #[must_use]
    pub fn leave_open(self) -> OpenStream {
        let open = OpenStream { number: self.number, bytes: self.bytes };
        std::mem::forget(self);
        open
    }

    /// Takes pieces while calls go on, until little is left.
    ///
    /// # Errors
    /// The plugin's error, or that of `take`.
    pub fn take_most(&mut self, take: &mut TakePiece<'_>) -> Result<(), String> {
        let (begun, mut short) = (Instant::now(), 0);
        while short < SHORT_ONES && begun.elapsed() < MOST {
            let Some(length) = self.take_one(take)? else { break };
            short = if length < SHORT { short + 1 } else { 0 };
        }
        Ok(())
    }

    /// Takes all that is left. No command that writes may run meanwhile.
    ///
    /// # Errors
    /// As [`take_most`](Self::take_most).
    pub fn take_rest(&mut self, take: &mut TakePiece<'_>) -> Result<(), String> {
        while self.take_one(take)?.is_some() {}
        Ok(())
    }

    fn take_one(&mut self, take: &mut TakePiece<'_>) -> Result<Option<usize>, String> {
        let commands = {
            let last = self.generation.stream.lock();
            if *last != self.number {
                return Err("another stream of its state has begun".to_owned());
            }
            self.generation.live().stream_next()?
        };
        let Some(commands) = commands else { return Ok(None) };
        self.bytes += commands.len() as u64;
        take(now(), &commands)?;
        Ok(Some(commands.len()))
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        let last = self.generation.stream.try_lock_for(EARLIER);
        if last.is_some_and(|last| *last == self.number) {
            self.generation.live().stream_end();
        }
    }
}
