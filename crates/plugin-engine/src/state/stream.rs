//! Takes the state out of a plugin as commands, piece by piece, while its calls go on.

use std::time::{Duration, Instant};

use super::file::TakePiece;
use crate::{live::plugin::Plugin, write::now};

/// The length below which a piece is short, in bytes.
const SHORT: usize = 64 << 10;

/// So many short pieces one after the other are what has changed meanwhile: callers may wait for
/// the rest.
const SHORT_ONES: usize = 8;

/// The longest time for which pieces are taken while calls go on: a plugin that is changed faster
/// than it is read never comes to an end.
const MOST: Duration = Duration::from_secs(60);

/// A stream of a plugin's state.
pub struct Stream<'a> {
    plugin: &'a dyn Plugin,
    bytes: u64,
}

impl<'a> Stream<'a> {
    /// Begins a stream.
    ///
    /// # Errors
    /// The plugin's error.
    pub fn begin(plugin: &'a dyn Plugin) -> Result<Self, String> {
        plugin.stream_begin()?;
        Ok(Self { plugin, bytes: 0 })
    }

    /// Goes on with a stream that has begun.
    #[must_use]
    pub fn resume(plugin: &'a dyn Plugin, bytes: u64) -> Self {
        Self { plugin, bytes }
    }

    /// Returns the length of all pieces so far, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Leaves the stream open, for [`resume`](Self::resume). Returns the length of its pieces.
    #[must_use]
    pub fn leave_open(self) -> u64 {
        let bytes = self.bytes;
        std::mem::forget(self);
        bytes
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
        let Some(commands) = self.plugin.stream_next()? else { return Ok(None) };
        self.bytes += commands.len() as u64;
        take(now(), &commands)?;
        Ok(Some(commands.len()))
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        self.plugin.stream_end();
    }
}
