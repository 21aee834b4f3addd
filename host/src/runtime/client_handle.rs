//! What others may know of a session, and what they may ask of it.

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

/// How long after the end of its sending side a client still counts as there.
const HALF_CLOSED: Duration = Duration::from_secs(1);

/// What others may know of a session.
pub struct ClientHandle {
    /// Its number, from 1, never used twice while the host runs.
    pub id: u64,
    /// Where its client is.
    pub peer: SocketAddr,
    /// The connection; also held by the session, which closes it by ending.
    pub stream: TcpStream,
    /// Its receiving side.
    pub reader: InterruptibleReader,
    started: Instant,
    /// Milliseconds after `started`.
    last_active: AtomicU64,
    commands: AtomicU64,
    /// The place in memory of the command that is being run; 0 while there is none.
    running: AtomicUsize,
    /// The number of the command that is to end early; 0 for none.
    cancelled: AtomicU64,
    names: Mutex<Names>,
    /// The key that let it in.
    key: Mutex<Option<Arc<Key>>>,
    /// A [`Dismissal`]; 0 for none.
    dismissed: AtomicU8,
    /// Milliseconds after `started` at which it was dismissed.
    dismissed_at: AtomicU64,
    /// Bytes that its requests and replies take, where that is more than an idle session keeps.
    memory: AtomicUsize,
    /// One more than the milliseconds after `started` at which an unfinished request began; 0 for
    /// none.
    unfinished: AtomicU64,
    /// How many commands had been answered then; with any more the request is finished.
    unfinished_after: AtomicU64,
    /// When its bytes that came last were looked at, as `last_active` had it.
    unfinished_seen: AtomicU64,
    failures: AtomicU32,
    /// When the client was first seen to have ended its sending side.
    half_closed: OnceLock<Instant>,
}

/// Why the host ends a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Dismissal {
    /// Its key is no longer valid.
    Key = 1,
    /// It takes the most memory, and all sessions together take too much.
    Memory,
    /// It has not finished a request in time.
    Unfinished,
    /// An admin has asked for it.
    Killed,
}

/// The reasons that do not wait for a client that does not read.
const AT_ONCE: [u8; 2] = [Dismissal::Memory as u8, Dismissal::Killed as u8];

/// What a client calls itself and its library.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// By `CLIENT SETNAME`; empty where it gave none.
    pub session: String,
    /// By `CLIENT SETINFO LIB-NAME`.
    pub library: String,
    /// By `CLIENT SETINFO LIB-VER`.
    pub library_version: String,
}

impl ClientHandle {
    /// A client that has just come.
    #[must_use]
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

    /// Since the client connected.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Since its last command.
    #[must_use]
    pub fn idle(&self) -> Duration {
        let last = Duration::from_millis(self.last_active.load(Ordering::Relaxed));
        self.age().saturating_sub(last)
    }

    /// How many commands it has sent.
    #[must_use]
    pub fn commands(&self) -> u64 {
        self.commands.load(Ordering::Relaxed)
    }

    /// What the client calls itself.
    #[must_use]
    pub fn names(&self) -> Names {
        self.lock_names().clone()
    }

    /// Changes what the client calls itself.
    pub fn rename(&self, change: impl FnOnce(&mut Names)) {
        change(&mut self.lock_names());
    }

    /// Notes one more command. Called by the session's own thread alone, so that a plain store
    /// does what would else be a locked addition.
    pub fn count_command(&self) {
        self.commands.store(self.commands.load(Ordering::Relaxed) + 1, Ordering::Release);
    }

    /// Notes that a command is being run now, by its place in memory, or with 0 that none is.
    pub fn note_running(&self, command: usize) {
        self.running.store(command, Ordering::Relaxed);
    }

    /// What [`note_running`](Self::note_running) has noted last.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// Has the command that is being run end early, as far as its worker looks; says whether there
    /// is one.
    ///
    /// The command is meant by its number, so that one which ends meanwhile takes nothing over to
    /// the next.
    #[must_use]
    pub fn cancel_running(&self) -> bool {
        // Who sees that a command is counted sees that it does not run any more.
        let number = self.commands.load(Ordering::Acquire) + 1;
        if self.running() == 0 {
            return false;
        }
        self.cancelled.store(number, Ordering::Relaxed);
        true
    }

    /// Whether the command that is being run is to end early.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed) == self.commands() + 1
    }

    /// Notes that the client is active now.
    pub fn touch(&self, now: Instant) {
        let age = now.saturating_duration_since(self.started);
        let millis = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        self.last_active.store(millis, Ordering::Relaxed);
    }

    fn age_millis(&self) -> u64 {
        u64::try_from(self.age().as_millis()).unwrap_or(u64::MAX)
    }

    /// Waits up to `time` for the client to be gone, and says whether it is.
    ///
    /// A client that was killed and one that has only sent all it wants to (`nc -N`) look the same:
    /// both have ended their sending side. So that counts, but not at once.
    #[must_use]
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

    /// Notes which key has let it in.
    pub fn hold(&self, key: Option<Arc<Key>>) {
        *self.lock_key() = key;
    }

    /// Wakes its session where it waits for its client, of which it hears no more than what has come.
    pub fn interrupt(&self) {
        self.reader.end(&self.stream);
    }

    /// Has its session end, since its key is no longer valid.
    pub fn dismiss(&self) {
        self.dismiss_for(Dismissal::Key);
    }

    /// Has its session end. The first reason counts, but one that is not to wait for the client comes
    /// before one that does.
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

    /// Whether its session is to end.
    #[must_use]
    #[inline]
    pub fn is_dismissed(&self) -> bool {
        self.dismissed.load(Ordering::Relaxed) != 0
    }

    /// Ends its session at once: what it runs is cancelled, and its client sees the end even where
    /// the worker goes on.
    pub fn kill(&self) {
        self.dismiss_for(Dismissal::Killed);
        if self.cancel_running() {
            // A failure means that the connection is gone already.
            let _ = self.stream.shutdown(Shutdown::Both);
        }
    }

    /// Whether its session is to end without waiting for a client that does not read.
    #[must_use]
    pub fn is_evicted(&self) -> bool {
        AT_ONCE.contains(&self.dismissed.load(Ordering::Relaxed))
    }

    /// Why its session is to end, if it is.
    #[must_use]
    pub fn dismissal(&self) -> Option<Dismissal> {
        [Dismissal::Key, Dismissal::Memory, Dismissal::Unfinished, Dismissal::Killed]
            .into_iter()
            .find(|why| *why as u8 == self.dismissed.load(Ordering::SeqCst))
    }

    /// Since it was dismissed; `None` where it was not.
    #[must_use]
    pub fn dismissed_for(&self) -> Option<Duration> {
        let at = Duration::from_millis(self.dismissed_at.load(Ordering::SeqCst));
        self.is_dismissed().then(|| self.age().saturating_sub(at))
    }

    /// Notes how many bytes its requests and replies take; returns what was noted before.
    pub fn note_memory(&self, bytes: usize) -> usize {
        self.memory.swap(bytes, Ordering::Relaxed)
    }

    /// What [`note_memory`](Self::note_memory) has noted last.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.memory.load(Ordering::Relaxed)
    }

    /// Notes that a request has begun and is not finished, unless that has been noted of this one.
    /// Called by the session's own thread alone.
    #[cold]
    pub fn note_unfinished(&self) {
        let (answered, now) = (self.commands(), self.last_active.load(Ordering::Relaxed));
        self.unfinished_seen.store(now, Ordering::Relaxed);
        let noted = self.unfinished.load(Ordering::Relaxed) != 0
            && self.unfinished_after.load(Ordering::Relaxed) == answered;
        if !noted {
            // In this order: nobody takes the time of one request for that of another.
            self.unfinished.store(0, Ordering::Relaxed);
            self.unfinished_after.store(answered, Ordering::Release);
            // Not the time of the batch, which may have begun with a long command.
            self.unfinished.store(self.age_millis() + 1, Ordering::Release);
        }
    }

    /// Notes that what had begun is finished and was no command.
    pub fn note_finished(&self) {
        self.unfinished.store(0, Ordering::Relaxed);
    }

    /// For how long the session has waited for the rest of a request; `None` where it waits for
    /// none, or the rest has come.
    #[must_use]
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

    /// Notes one more wrong key, and says how many there were before.
    pub fn count_failure(&self) -> u32 {
        self.failures.fetch_add(1, Ordering::Relaxed)
    }

    /// The key that has let it in.
    #[must_use]
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
