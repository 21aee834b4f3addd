//! Reports the progress of a running command to its client, at once.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use plugin_engine::state::durable::Durable;
use protocol::{Encoder, Protocol};

use crate::{net::stream::ClientStream, runtime::shutdown::Shutdown};

/// The minimum interval between two reports to a client.
const INTERVAL: Duration = Duration::from_millis(50);

/// The longest text, in bytes: a socket that is writable accepts this at once.
const TEXT: usize = 256;

/// Reports the progress of one command. The client gets reports ahead of all replies that are not
/// sent yet, including those to earlier commands of the same batch.
pub struct Progress<'a> {
    /// The lock is for workers that report from several threads.
    line: Mutex<ProgressLine<'a>>,
    /// The session's protocol: only RESP3 has a message for progress.
    protocol: Protocol,
}

struct ProgressLine<'a> {
    /// `None` once a message could not be sent.
    transport: Option<&'a mut ClientStream>,
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
    pub fn new(transport: &'a mut ClientStream, protocol: Protocol) -> Self {
        let line = ProgressLine { transport: Some(transport), last_report: None };
        Self { line: Mutex::new(line), protocol }
    }

    /// Sends a report, unless the client cannot receive it or the last one is too recent.
    pub fn report(&self, done: u64, total: u64, text: &str, shutdown: &Shutdown) {
        if self.protocol == Protocol::Resp3 {
            let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
            line.report(done, total, text, shutdown);
        }
    }
}

impl Progress<'_> {
    /// Notes that a reply may be held back, see [`ClientStream::hold_from`].
    pub fn hold_from(&self, start: usize) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(transport) = line.transport() {
            transport.hold_from(start);
        }
    }

    /// Holds replies back until a record is safe, see [`ClientStream::hold`].
    pub fn hold(&self, durable: &Arc<Durable>, record: u64) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(transport) = line.transport() {
            transport.hold(durable, record);
        }
    }
}

impl ProgressLine<'_> {
    fn transport(&mut self) -> Option<&mut ClientStream> {
        self.transport.as_deref_mut()
    }

    fn report(&mut self, done: u64, total: u64, text: &str, shutdown: &Shutdown) {
        let Some(transport) = &mut self.transport else { return };
        let (when, complete) = (Instant::now(), total > 0 && done >= total);
        let too_soon = self.last_report.as_ref().is_some_and(|last_report| {
            when - last_report.when < INTERVAL && (last_report.complete || !complete)
        });
        if too_soon {
            return;
        }
        // A reply may wait for a client that does not read, but not inside of the plugin's gate:
        // here that would delay a reload.
        if !transport.is_writable() {
            return;
        }
        self.last_report = Some(LastReport { when, complete });
        let mut push = Encoder::new(Protocol::Resp3);
        push.progress(done, total, &text[..text.floor_char_boundary(TEXT)]);
        if transport.send(&mut push, shutdown).is_err() {
            // A part of the push may have been sent: nothing must follow it.
            transport.abort();
            self.transport = None;
        }
    }
}
