//! The handle of a session, by which other threads read its state and end it.

use std::{
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use auth::keys::Key;
use platform::{Hangup, InterruptibleReader};

/// The time for which a client that has ended its sending side still counts as connected.
const HALF_CLOSED: Duration = Duration::from_secs(1);

/// The handle of a session, which other threads share.
pub struct ClientHandle {
    /// The session's number, from 1. It is never reused while the host runs.
    pub id: u64,
    /// The client's address.
    pub peer: SocketAddr,
    /// The connection. The session holds it too, and closes it at its end.
    pub stream: TcpStream,
    /// The connection's receiving side.
    pub reader: InterruptibleReader,
    started: Instant,
    /// Milliseconds after `started`.
    last_active: AtomicU64,
    commands: AtomicU64,
    /// The address in memory of the running command; 0 for none.
    running: AtomicUsize,
    /// The number of the command that is cancelled; 0 for none.
    cancelled: AtomicU64,
    names: Mutex<Names>,
    /// The key that the session logged in with.
    key: Mutex<Option<Arc<Key>>>,
    /// A [`Dismissal`]; 0 for none.
    dismissed: AtomicU8,
    /// The time of the dismissal, in milliseconds after `started`.
    dismissed_at: AtomicU64,
    /// The bytes that its requests and replies take; 0 if no more than an idle session keeps.
    memory: AtomicUsize,
    /// The time at which an unfinished request began, in milliseconds after `started`, plus 1; 0
    /// for none.
    unfinished: AtomicU64,
    /// The number of commands answered by then. A higher number means that the request is finished.
    unfinished_after: AtomicU64,
    /// The value of `last_active` when its latest bytes were parsed.
    unfinished_seen: AtomicU64,
    failures: AtomicU32,
    /// The time at which the client was first seen to have ended its sending side.
    half_closed: OnceLock<Instant>,
}

/// The reason for which the host ends a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Dismissal {
    /// Its key is no longer valid.
    Key = 1,
    /// All sessions together take too much memory, and this one takes the most.
    Memory,
    /// A request was not finished in time.
    Unfinished,
    /// An admin ended it with `CLIENT KILL`.
    Killed,
}

/// The reasons for which the session does not wait for a client that does not read.
const AT_ONCE: [u8; 2] = [Dismissal::Memory as u8, Dismissal::Killed as u8];

/// The names that a client has given its session and its library.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// From `CLIENT SETNAME`; empty for none.
    pub session: String,
    /// From `CLIENT SETINFO LIB-NAME`.
    pub library: String,
    /// From `CLIENT SETINFO LIB-VER`.
    pub library_version: String,
}

impl ClientHandle {
    /// Makes the handle of a new client.
    pub fn new(id: u64, peer: SocketAddr, stream: TcpStream) -> Self {
        Self {
            id,
            peer,
            stream,
            reader: InterruptibleReader::new(),
            started: Instant::now(),
            last_active: AtomicU64::new(0),
            commands: AtomicU64::new(0),
            running: AtomicUsize::new(0),
            cancelled: AtomicU64::new(0),
            names: Mutex::default(),
            key: Mutex::default(),
            dismissed: AtomicU8::new(0),
            dismissed_at: AtomicU64::new(0),
            memory: AtomicUsize::new(0),
            unfinished: AtomicU64::new(0),
            unfinished_after: AtomicU64::new(0),
            unfinished_seen: AtomicU64::new(0),
            failures: AtomicU32::new(0),
            half_closed: OnceLock::new(),
        }
    }

    /// Returns the time since the client connected.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Returns the time since the client's last input.
    pub fn idle(&self) -> Duration {
        let last = Duration::from_millis(self.last_active.load(Ordering::Relaxed));
        self.age().saturating_sub(last)
    }

    /// Returns the number of answered commands.
    pub fn commands(&self) -> u64 {
        self.commands.load(Ordering::Relaxed)
    }

    /// Returns the names that the client has given.
    pub fn names(&self) -> Names {
        self.lock_names().clone()
    }

    /// Changes the names.
    pub fn rename(&self, change: impl FnOnce(&mut Names)) {
        change(&mut self.lock_names());
    }

    /// Counts an answered command. Only the session's own thread calls this, so a plain store is
    /// enough, and no atomic addition is needed.
    pub fn count_command(&self) {
        self.commands.store(self.commands.load(Ordering::Relaxed) + 1, Ordering::Release);
    }

    /// Records the running command by its address in memory; 0 for none.
    pub fn note_running(&self, command: usize) {
        self.running.store(command, Ordering::Relaxed);
    }

    /// Returns the value of the last [`note_running`](Self::note_running).
    pub fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// Cancels the running command, and returns whether there is one. It ends early if its worker
    /// checks for cancellation.
    ///
    /// The command's number is cancelled, so that the next command is not if this one ends first.
    pub fn cancel_running(&self) -> bool {
        // `Acquire`: a thread that sees the new count also sees that the command no longer runs.
        let number = self.commands.load(Ordering::Acquire) + 1;
        if self.running() == 0 {
            return false;
        }
        self.cancelled.store(number, Ordering::Relaxed);
        true
    }

    /// Returns whether the running command is cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed) == self.commands() + 1
    }

    /// Records that the client is active now.
    pub fn touch(&self, now: Instant) {
        let age = now.saturating_duration_since(self.started);
        let millis = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        self.last_active.store(millis, Ordering::Relaxed);
    }

    fn age_millis(&self) -> u64 {
        u64::try_from(self.age().as_millis()).unwrap_or(u64::MAX)
    }

    /// RetryOn up to `time` for the client to be gone, and returns whether it is.
    ///
    /// A client that was killed and one that only ended its sending side (`nc -N`) look the same.
    /// So an ended sending side counts as gone, but only after 1 s.
    pub fn wait_until_gone(&self, time: Duration) -> bool {
        if let Some(since) = self.half_closed.get() {
            return platform::wait_for_hangup(&self.stream, time, true) == Hangup::Full
                || since.elapsed() >= HALF_CLOSED;
        }
        match platform::wait_for_hangup(&self.stream, time, false) {
            Hangup::No => false,
            Hangup::Full => true,
            Hangup::Half => {
                self.half_closed.get_or_init(Instant::now);
                false
            }
        }
    }

    /// Records the key that the session logged in with; `None` for none.
    pub fn set_key(&self, key: Option<Arc<Key>>) {
        *self.lock_key() = key;
    }

    /// Shuts the connection's reading side, which wakes a session that waits for input. Input that
    /// has arrived can still be read.
    pub fn interrupt(&self) {
        self.reader.end(&self.stream);
    }

    /// Ends the session because its key is no longer valid.
    pub fn dismiss(&self) {
        self.dismiss_for(Dismissal::Key);
    }

    /// Ends the session. The first reason counts, but `Memory` and `Killed` replace the others.
    pub fn dismiss_for(&self, why: Dismissal) {
        if !self.is_dismissed() {
            self.dismissed_at.store(self.age_millis(), Ordering::SeqCst);
        }
        let (set, read) = (Ordering::SeqCst, Ordering::SeqCst);
        let is_urgent = matches!(why, Dismissal::Memory | Dismissal::Killed);
        // A failure means that there is a reason already.
        let _ = self.dismissed.fetch_update(set, read, |before| {
            let comes_before = before == 0 || (is_urgent && !AT_ONCE.contains(&before));
            comes_before.then_some(why as u8)
        });
        self.interrupt();
    }

    /// Returns whether the session is to end.
    #[inline]
    pub fn is_dismissed(&self) -> bool {
        self.dismissed.load(Ordering::Relaxed) != 0
    }

    /// Ends the session at once: cancels its command, and closes the connection even if the worker
    /// goes on.
    pub fn kill(&self) {
        self.dismiss_for(Dismissal::Killed);
        if self.cancel_running() {
            // A failure means that the connection is already gone.
            let _ = self.stream.shutdown(Shutdown::Both);
        }
    }

    /// Returns whether the session is to end without waiting for a client that does not read.
    pub fn is_evicted(&self) -> bool {
        AT_ONCE.contains(&self.dismissed.load(Ordering::Relaxed))
    }

    /// Returns the reason for which the session is to end; `None` if it is not.
    pub fn dismissal(&self) -> Option<Dismissal> {
        [Dismissal::Key, Dismissal::Memory, Dismissal::Unfinished, Dismissal::Killed]
            .into_iter()
            .find(|why| *why as u8 == self.dismissed.load(Ordering::SeqCst))
    }

    /// Returns the time since the dismissal; `None` if there was none.
    pub fn dismissed_for(&self) -> Option<Duration> {
        let at = Duration::from_millis(self.dismissed_at.load(Ordering::SeqCst));
        self.is_dismissed().then(|| self.age().saturating_sub(at))
    }

    /// Records how many bytes its requests and replies take, and returns the previous number.
    pub fn note_memory(&self, bytes: usize) -> usize {
        self.memory.swap(bytes, Ordering::Relaxed)
    }

    /// Returns the value of the last [`note_memory`](Self::note_memory).
    pub fn memory(&self) -> usize {
        self.memory.load(Ordering::Relaxed)
    }

    /// Records that a request has begun and is not finished; the first call for a request counts.
    /// Only the session's own thread calls this.
    #[cold]
    pub fn note_unfinished(&self) {
        let (answered, now) = (self.commands(), self.last_active.load(Ordering::Relaxed));
        self.unfinished_seen.store(now, Ordering::Relaxed);
        let noted = self.unfinished.load(Ordering::Relaxed) != 0
            && self.unfinished_after.load(Ordering::Relaxed) == answered;
        if !noted {
            // In this order, so that no reader pairs this request with the time of another.
            self.unfinished.store(0, Ordering::Relaxed);
            self.unfinished_after.store(answered, Ordering::Release);
            // Not the batch's start: the batch may have begun with a long command.
            self.unfinished.store(self.age_millis() + 1, Ordering::Release);
        }
    }

    /// Records that the unfinished request is finished and was no command.
    pub fn note_finished(&self) {
        self.unfinished.store(0, Ordering::Relaxed);
    }

    /// Returns how long the session has waited for the rest of a request; `None` if it does not.
    pub fn unfinished_for(&self) -> Option<Duration> {
        let noted = self.unfinished.load(Ordering::Acquire);
        let since = noted.checked_sub(1)?;
        let (seen, active) = (&self.unfinished_seen, &self.last_active);
        let waits = self.unfinished_after.load(Ordering::Acquire) == self.commands()
            && seen.load(Ordering::Relaxed) == active.load(Ordering::Relaxed)
            && self.running() == 0
            && self.unfinished.load(Ordering::Relaxed) == noted;
        waits.then(|| self.age().saturating_sub(Duration::from_millis(since)))
    }

    /// Counts a wrong key, and returns the number before.
    pub fn count_failure(&self) -> u32 {
        self.failures.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns the key that the session logged in with.
    pub fn key(&self) -> Option<Arc<Key>> {
        self.lock_key().clone()
    }

    fn lock_key(&self) -> MutexGuard<'_, Option<Arc<Key>>> {
        self.key.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn an_unfinished_request_ends_with_the_next_command() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let handle = ClientHandle::new(1, stream.local_addr().unwrap(), stream);
        assert_eq!(handle.unfinished_for(), None);
        handle.touch(Instant::now());
        handle.note_unfinished();
        assert!(handle.unfinished_for().is_some());
        handle.note_running(1);
        assert_eq!(handle.unfinished_for(), None, "a command is being run");
        handle.note_running(0);
        handle.touch(Instant::now() + Duration::from_secs(1));
        assert_eq!(handle.unfinished_for(), None, "more has come");
        handle.note_unfinished();
        assert!(handle.unfinished_for().is_some(), "and it was not the rest");
        handle.count_command();
        assert_eq!(handle.unfinished_for(), None);
        handle.note_unfinished();
        assert!(handle.unfinished_for().is_some(), "of another request");
        handle.note_finished();
        assert_eq!(handle.unfinished_for(), None);
    }
}
