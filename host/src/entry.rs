//! What others may know of a session, and what they may ask of it.

use std::{
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    access::keys::Key,
    platform::{self, Hangup, Hearing},
};

/// How long after the end of its sending side a client still counts as there.
const HALF_CLOSED: Duration = Duration::from_secs(1);

/// What others may know of a session.
pub struct SessionEntry {
    /// Its number, from 1, never used twice while the host runs.
    pub id: u64,
    /// Where its client is.
    pub peer: SocketAddr,
    /// The connection; also held by the session, which closes it by ending.
    pub stream: TcpStream,
    /// Its receiving side.
    pub hearing: Hearing,
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
    dismissed: AtomicBool,
    failures: AtomicU32,
    /// When the client was first seen to have ended its sending side.
    half_closed: OnceLock<Instant>,
}

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

impl SessionEntry {
    /// A client that has just come.
    #[must_use]
    pub fn new(id: u64, peer: SocketAddr, stream: TcpStream) -> Self {
        Self {
            id,
            peer,
            stream,
            hearing: Hearing::new(),
            started: Instant::now(),
            last_active: AtomicU64::new(0),
            commands: AtomicU64::new(0),
            running: AtomicUsize::new(0),
            cancelled: AtomicU64::new(0),
            names: Mutex::default(),
            key: Mutex::default(),
            dismissed: AtomicBool::new(false),
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
    pub fn end_hearing(&self) {
        self.hearing.end(&self.stream);
    }

    /// Has its session end.
    pub fn dismiss(&self) {
        self.dismissed.store(true, Ordering::SeqCst);
        self.end_hearing();
    }

    /// Whether its session is to end.
    #[must_use]
    pub fn is_dismissed(&self) -> bool {
        self.dismissed.load(Ordering::Relaxed)
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
