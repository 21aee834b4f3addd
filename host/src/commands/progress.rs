//! Reports the progress of a running command to its client, at once.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    net::stream::Transport,
    runtime::shutdown::Shutdown,
    wire::{Encoder, Protocol},
};

/// The minimum interval between two reports to a client.
const INTERVAL: Duration = Duration::from_millis(50);

/// The longest text, in bytes: a socket that is writable accepts this at once.
const TEXT: usize = 256;

/// Reports the progress of one command. The client gets reports ahead of all replies that are not
/// sent yet, including those to earlier commands of the same batch.
pub struct Progress<'a> {
    /// The lock is for workers that report from several threads.
    line: Mutex<Line<'a>>,
}

struct Line<'a> {
    /// `None` if the client cannot receive reports, or no longer can.
    transport: Option<&'a mut Transport>,
    shutdown: &'a Shutdown,
    last_report: Option<LastReport>,
}

/// The last report to the client.
struct LastReport {
    when: Instant,
    complete: bool,
}

impl<'a> Progress<'a> {
    /// Makes the progress of a command that is about to run.
    #[inline]
    pub fn new(transport: &'a mut Transport, shutdown: &'a Shutdown, protocol: Protocol) -> Self {
        let transport = (protocol == Protocol::Resp3).then_some(transport);
        Self { line: Mutex::new(Line { transport, shutdown, last_report: None }) }
    }

    /// Sends a report, unless the client cannot receive it or the last one is too recent.
    pub fn report(&self, done: u64, total: u64, text: &str) {
        self.line.lock().unwrap_or_else(PoisonError::into_inner).report(done, total, text);
    }
}

impl Line<'_> {
    fn report(&mut self, done: u64, total: u64, text: &str) {
        let Some(transport) = &mut self.transport else { return };
        let (when, complete) = (Instant::now(), total > 0 && done >= total);
        let too_soon = self.last_report.as_ref().is_some_and(|last_report| {
            when - last_report.when < INTERVAL && (last_report.complete || !complete)
        });
        if too_soon {
            return;
        }
        // A reply may wait for a client that does not read, but not inside of the plugin's gate:
        // here
        // that would delay a reload.
        if !transport.is_writable() {
            return;
        }
        self.last_report = Some(LastReport { when, complete });
        let mut push = Encoder::new(Protocol::Resp3);
        push.progress(done, total, &text[..text.floor_char_boundary(TEXT)]);
        if transport.write(&mut push, self.shutdown).is_err() {
            // A part of the push may have been sent: nothing must follow it.
            transport.give_up();
            self.transport = None;
        }
    }
}
