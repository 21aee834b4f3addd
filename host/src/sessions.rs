//! Who is connected, by `(ip, port)`.

use std::{
    collections::BTreeMap,
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    access::keys::Key,
    platform::{self, Hangup},
};

/// How long after the end of its sending side a client still counts as there.
const HALF_CLOSED: Duration = Duration::from_secs(1);

/// The live sessions. Its lock is taken when a client comes or goes and when somebody looks, never
/// for a request.
#[derive(Default)]
pub struct Sessions {
    list: Mutex<List>,
    next_id: AtomicU64,
}

#[derive(Default)]
struct List {
    /// The number tells apart one client's connections to two addresses of this host, whose peer
    /// may be the same.
    live: BTreeMap<(SocketAddr, u64), Arc<SessionEntry>>,
    closed: bool,
}

/// What others may know of a session.
pub struct SessionEntry {
    /// Its number, from 1, never used twice while the host runs.
    pub id: u64,
    /// Where its client is.
    pub peer: SocketAddr,
    /// The connection; also held by the session, which closes it by ending.
    pub stream: TcpStream,
    started: Instant,
    /// Milliseconds after `started`.
    last_active: AtomicU64,
    commands: AtomicU64,
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

impl Sessions {
    /// Enters a new client. `None` once the list is closed: the host is ending.
    #[must_use]
    pub fn enter(&self, stream: TcpStream, peer: SocketAddr) -> Option<Arc<SessionEntry>> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed) + 1;
        let entry = Arc::new(SessionEntry {
            id,
            peer,
            stream,
            started: Instant::now(),
            last_active: AtomicU64::new(0),
            commands: AtomicU64::new(0),
            names: Mutex::default(),
            key: Mutex::default(),
            dismissed: AtomicBool::new(false),
            failures: AtomicU32::new(0),
            half_closed: OnceLock::new(),
        });
        let mut list = self.list();
        if list.closed {
            return None;
        }
        list.live.insert((peer, id), Arc::clone(&entry));
        Some(entry)
    }

    /// Takes a client off the list.
    pub fn leave(&self, entry: &SessionEntry) {
        self.list().live.remove(&(entry.peer, entry.id));
    }

    /// The live sessions, by address.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<SessionEntry>> {
        self.list().live.values().cloned().collect()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list().live.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Lets nobody in any more, and wakes every session that waits for its client. What a client
    /// has already sent can still be read.
    pub fn close(&self) {
        let mut list = self.list();
        list.closed = true;
        for entry in list.live.values() {
            // A failure means that the connection is gone, and its session with it.
            let _ = entry.stream.shutdown(Shutdown::Read);
        }
    }

    /// Ends the sessions whose key is not valid any more.
    pub fn dismiss_unless(&self, valid: impl Fn(&Key) -> bool) {
        for entry in self.list().live.values() {
            let key = entry.key().clone();
            if key.is_some_and(|key| !valid(&key)) && !entry.is_dismissed() {
                log::info!("session {} from {}: its key is no longer valid", entry.id, entry.peer);
                entry.dismiss();
            }
        }
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SessionEntry {
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
        self.commands.store(self.commands.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Notes that the client is active now.
    pub fn touch(&self) {
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
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
        *self.key() = key;
    }

    /// Has its session end.
    pub fn dismiss(&self) {
        self.dismissed.store(true, Ordering::SeqCst);
        // A failure means that the connection is gone, and its session with it.
        let _ = self.stream.shutdown(Shutdown::Read);
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

    fn key(&self) -> MutexGuard<'_, Option<Arc<Key>>> {
        self.key.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
