//! Admission: the way of an accepted connection to a session that is served.

use std::{
    fmt,
    io::{Read, Write},
    net::{Shutdown as Side, SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use auth::trust::Trust;
use plugin_engine::registry::LiveRegistry;

use crate::{
    config::Serve,
    crash,
    net::{
        proxy_header::{self, HeaderError},
        thread_pool::{ThreadPool, Work},
    },
    runners::{Client, Runners},
    runtime::{
        clients::{LimitReached, SessionLimits},
        context::Shared,
        registered::Registered,
    },
    session::Session,
};

/// The limit of sending an error to a client that is rejected, and the acceptor's pause after a
/// failed accept.
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// Takes new connections in. It does not hold the thread pool, which ends with the acceptors.
#[derive(Clone)]
pub(super) struct Admission {
    shared: Arc<Shared>,
    registry: Arc<LiveRegistry>,
    /// Present if they serve the clients.
    runners: Option<Arc<Runners>>,
    /// The connections from proxies whose header has not been read yet.
    unnamed: Arc<AtomicUsize>,
}

impl Admission {
    pub(super) fn new(
        shared: &Arc<Shared>,
        registry: &Arc<LiveRegistry>,
        runners: Option<&Arc<Runners>>,
    ) -> Self {
        Self {
            shared: Arc::clone(shared),
            registry: Arc::clone(registry),
            runners: runners.cloned(),
            unnamed: Arc::default(),
        }
    }

    /// Has a client served, or rejects it. Does not wait for the client.
    pub(super) fn admit(&self, pool: &ThreadPool, stream: TcpStream, mut peer: SocketAddr) {
        // An inherited IPv6 socket may accept IPv4 clients under IPv4-mapped addresses.
        peer.set_ip(peer.ip().to_canonical());
        if self.shared.config.access.is_proxy(peer.ip()) {
            return self.admit_after_header(pool, stream, peer);
        }
        let Some(registered) = self.register(stream, peer) else { return };
        let handle = Arc::clone(&registered.handle);
        let started = match &self.runners {
            None => {
                let (registry, name) = (Arc::clone(&self.registry), session_name(&registered));
                let run = Box::new(move || run_session(&registered, registry));
                pool.run(Work { name, run }).map_err(|error| no_thread(&error))
            }
            Some(runners) => self.hand_to_runners(runners, registered),
        };
        if let Err(rejection) = started {
            self.reject_started(&handle.stream, peer, rejection);
        }
    }

    /// Has a thread of the pool read the header of a proxy, and then serve the client or hand it to
    /// the runners.
    fn admit_after_header(&self, pool: &ThreadPool, stream: TcpStream, proxy: SocketAddr) {
        let most = self.shared.config.bounds.max_sessions as usize;
        let unnamed = Unnamed::count(&self.unnamed);
        if self.shared.sessions.len() + unnamed.before >= most {
            return reject_over_limit(&self.shared, &stream, proxy, LimitReached::Total(most));
        }
        let admission = self.clone();
        let run = Box::new(move || {
            let named = admission.read_header(&stream, proxy);
            drop(unnamed);
            if let Some(peer) = named {
                admission.serve_here(stream, peer);
            }
        });
        if let Err(error) = pool.run(Work { name: "proxy header".into(), run }) {
            // The connection went with the work, so that the client only sees its end.
            self.shared.metrics.rejected.count();
            let (_, logged) = no_thread(&error);
            self.shared.rejected.warn(Instant::now(), || format!("{proxy} rejected: {logged}"));
        }
    }

    /// Reads the header of a proxy. Returns the client's address; `None` if it is rejected.
    fn read_header(&self, stream: &TcpStream, proxy: SocketAddr) -> Option<SocketAddr> {
        let shared = &self.shared;
        let limit = shared.config.access.login_timeout;
        let read = proxy_header::read(stream, proxy, limit, || shared.shutdown.is_stopping());
        match read {
            Ok(peer) => {
                log::debug!("{peer} connects through the proxy {proxy}");
                return Some(peer);
            }
            // Some proxies check the port like this.
            Err(HeaderError::Closed(0) | HeaderError::Ending) => {}
            Err(error) => {
                reject(shared, stream, "a PROXY header is required from your address");
                shared.rejected.warn(Instant::now(), || format!("{proxy} rejected: {error}"));
            }
        }
        None
    }

    /// Serves a client on this thread, or has the runners serve it.
    fn serve_here(&self, stream: TcpStream, peer: SocketAddr) {
        let Some(registered) = self.register(stream, peer) else { return };
        let Some(runners) = &self.runners else {
            platform::name_thread(&session_name(&registered));
            return run_session(&registered, Arc::clone(&self.registry));
        };
        let handle = Arc::clone(&registered.handle);
        if let Err(rejection) = self.hand_to_runners(runners, registered) {
            self.reject_started(&handle.stream, peer, rejection);
        }
    }

    /// Enters a client in the list of sessions, or rejects it because of a limit.
    fn register(&self, stream: TcpStream, peer: SocketAddr) -> Option<Registered> {
        let shared = &self.shared;
        let Serve { bounds, access, .. } = &shared.config;
        let trusted = access.trust.covers(peer.ip());
        let per_address = (!trusted).then_some(bounds.max_sessions_per_address as usize);
        let total = bounds.max_sessions as usize;
        // A tenth is reserved for trusted clients, so that an admin can always connect.
        let reserved = if trusted || access.trust == Trust::None { 0 } else { total / 10 };
        let limits = SessionLimits { total: total - reserved, per_address };
        match shared.sessions.add(stream, peer, limits) {
            Ok(handle) => Some(Registered { shared: Arc::clone(shared), handle }),
            Err((why, stream)) => {
                reject_over_limit(shared, &stream, peer, why);
                None
            }
        }
    }

    /// Has the runners serve a session.
    fn hand_to_runners(&self, runners: &Runners, registered: Registered) -> Result<(), Rejection> {
        if runners.is_starved() {
            return Err(no_thread(&"workers block all that can be started"));
        }
        let registry = Arc::clone(&self.registry);
        match new_session(&registered, registry, true) {
            None => Ok(()),
            Some(session) => {
                let rejected = |(_, error)| {
                    let why = format!("its connection cannot be waited for: {error}");
                    ("the server is out of memory, try later", why)
                };
                runners.insert(Client { session, registered }).map_err(rejected)
            }
        }
    }

    /// Rejects a client whose session cannot be run.
    fn reject_started(&self, stream: &TcpStream, peer: SocketAddr, (sent, logged): Rejection) {
        // The runners may have ended while the header was read.
        if self.shared.shutdown.is_stopping() {
            return;
        }
        reject(&self.shared, stream, sent);
        self.shared.rejected.warn(Instant::now(), || format!("{peer} rejected: {logged}"));
    }
}

/// A connection from a proxy whose header has not been read yet.
struct Unnamed {
    all: Arc<AtomicUsize>,
    /// The number of others when this one came.
    before: usize,
}

impl Unnamed {
    fn count(all: &Arc<AtomicUsize>) -> Self {
        Self { before: all.fetch_add(1, Ordering::Relaxed), all: Arc::clone(all) }
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Ordering::Relaxed);
    }
}

fn session_name(registered: &Registered) -> String {
    format!("session {}", registered.handle.id)
}

/// Runs a session on this thread, to its end.
fn run_session(registered: &Registered, registry: Arc<LiveRegistry>) {
    if let Some(mut session) = new_session(registered, registry, false) {
        let handle = &registered.handle;
        let reason = crash::in_session(handle, || session.run());
        log::debug!("session {} from {} ended: {reason}", handle.id, handle.peer);
    }
}

/// Sends an error to a client that is not served, and ends the connection's sending side.
pub(super) fn reject(shared: &Shared, mut stream: &TcpStream, why: &str) {
    shared.metrics.rejected.count();
    // Best effort: the client may already be gone.
    let _ = stream.set_write_timeout(Some(PAUSE));
    let _ = stream.write_all(format!("-ERR {why}\r\n").as_bytes());
    let _ = stream.shutdown(Side::Write);
    // A close with unread input would send a reset, which can overtake the error.
    let _ = stream.set_nonblocking(true);
    let _ = stream.read(&mut [0; 4096]);
}

/// Rejects a client because of a session limit, and logs the reason. Sends nothing while the host
/// is ending.
fn reject_over_limit(shared: &Shared, stream: &TcpStream, peer: SocketAddr, why: LimitReached) {
    let (sent, logged) = match why {
        LimitReached::Ending => return,
        // The wording is Redis's.
        LimitReached::Total(most) => (
            "max number of clients reached",
            format!("there are {most} sessions already (--max-sessions)"),
        ),
        LimitReached::PerAddress(most) => (
            "max number of clients from your address reached",
            format!("there are {most} sessions from its address (--max-sessions-per-address)"),
        ),
    };
    reject(shared, stream, sent);
    shared.rejected.warn(Instant::now(), || format!("{peer} rejected: {logged}"));
}

/// The message to a rejected client, and the reason for the log.
type Rejection = (&'static str, String);

fn no_thread(why: &dyn fmt::Display) -> Rejection {
    ("the server is out of threads, try later", format!("cannot start a thread: {why}"))
}

/// Makes the session of a client; `None` if it is already gone.
fn new_session(
    registered: &Registered,
    registry: Arc<LiveRegistry>,
    is_polled: bool,
) -> Option<Box<Session>> {
    let Registered { shared, handle } = registered;
    let (id, peer) = (handle.id, handle.peer);
    log::debug!("session {id} from {peer} started");
    match Session::new(Arc::clone(shared), registry, Arc::clone(handle), is_polled) {
        Ok(session) => Some(session),
        Err(error) => {
            log::debug!("session {id} from {peer} not started: {error}");
            None
        }
    }
}
