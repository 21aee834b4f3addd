//! How far a running command is, told to its client at once.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use protocol::{Encoder, Protocol};

use crate::{net::stream::Transport, runtime::shutdown::Shutdown};

/// More often than this nobody looks.
const EVERY: Duration = Duration::from_millis(50);

/// The longest text, in bytes: a socket that takes anything takes this at once.
const TEXT: usize = 256;

/// What one command has for telling its client how far it is. The client gets it ahead of all
/// replies that are not sent yet, those to earlier commands of the same batch included.
pub struct Progress<'a> {
    /// Locked by a worker that has something to report, and by none other: a worker may do so from
    /// threads of its own.
    line: Mutex<Line<'a>>,
    /// The session's protocol: only RESP3 has a message for progress.
    protocol: Protocol,
}

struct Line<'a> {
    /// `None` once a message could not be sent.
    transport: Option<&'a mut Transport>,
    last_report: Option<LastReport>,
}

/// The last that the client was told.
struct LastReport {
    when: Instant,
    complete: bool,
}

impl<'a> Progress<'a> {
    /// For a command that is about to run.
    #[inline]
    pub fn new(transport: &'a mut Transport, protocol: Protocol) -> Self {
        let line = Line { transport: Some(transport), last_report: None };
        Self { line: Mutex::new(line), protocol }
    }

    /// Tells the client, if it can be told and it is not too soon.
    pub fn report(&self, done: u64, total: u64, text: &str, shutdown: &Shutdown) {
        if self.protocol == Protocol::Resp3 {
            let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
            line.report(done, total, text, shutdown);
        }
    }
}

impl Line<'_> {
    fn report(&mut self, done: u64, total: u64, text: &str, shutdown: &Shutdown) {
        let Some(transport) = &mut self.transport else { return };
        let (when, complete) = (Instant::now(), total > 0 && done >= total);
        let too_soon = self.last_report.as_ref().is_some_and(|last_report| {
            when - last_report.when < EVERY && (last_report.complete || !complete)
        });
        if too_soon {
            return;
        }
        // A reply waits for a client that does not read, but outside of the plugin's gate; here that
        // would hold up a reload.
        if !transport.is_writable() {
            return;
        }
        self.last_report = Some(LastReport { when, complete });
        let mut push = Encoder::new(Protocol::Resp3);
        push.progress(done, total, &text[..text.floor_char_boundary(TEXT)]);
        if transport.write(&mut push, shutdown).is_err() {
            // Half a push may be on its way: nothing must follow it.
            transport.give_up();
            self.transport = None;
        }
    }
}
