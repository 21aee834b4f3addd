//! The acceptors: they accept clients and start the sessions' threads.

use std::{
    io::{self, Read, Write},
    net::{Shutdown as Side, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use auth::trust::Trust;
use crossbeam_channel::{Receiver, select, unbounded};
use platform::ReservedFd;
use plugin_engine::registry::LiveRegistry;
use telemetry::log_throttle::Throttle;

use super::sd_notify;
use crate::{
    config::{Scheduling, Serve, Threads},
    crash,
    net::{
        listener::Listeners,
        thread_pool::{ThreadPool, Work},
        thread_tracker::ThreadTracker,
    },
    runners::{Client, Runners},
    runtime::{
        clients::{LimitReached, SessionLimits},
        context::Shared,
        registered::Registered,
        shutdown::Reason,
    },
    session::Session,
};

/// The acceptor's pause after a failed accept, and the limit of sending an error to a client that
/// is rejected.
const PAUSE: Duration = Duration::from_millis(50);

/// The poll interval for shutdown: of an inherited listener's acceptor for the flag, and while
/// sessions end for the deadline.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// The outcome of serving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every thread was joined.
    Orderly,
    /// This many threads still ran a worker at the end of the grace.
    Stuck(usize),
    /// Not every state is known to be saved, and this many threads still ran.
    Unsaved(usize),
}

impl Outcome {
    /// Adds threads that still run.
    pub fn with_stuck(self, more: usize) -> Self {
        match self {
            Self::Orderly if more == 0 => Self::Orderly,
            Self::Orderly => Self::Stuck(more),
            Self::Stuck(threads) => Self::Stuck(threads + more),
            Self::Unsaved(threads) => Self::Unsaved(threads + more),
        }
    }
}

/// Serves until the host is asked to end, then ends every session and joins every thread. Fails
/// if the acceptors' threads cannot be started.
pub fn serve(
    shared: &Arc<Shared>,
    registry: &Arc<LiveRegistry>,
    listeners: Listeners,
    stop: &Receiver<Reason>,
) -> io::Result<Outcome> {
    // Kept to the end: a receiver without senders is always ready.
    let (events, happened) = unbounded();
    let Listeners { sockets, inherited } = listeners;
    if inherited {
        // Other processes keep using these sockets: they cannot be shut down to wake an acceptor.
        sockets.iter().try_for_each(|socket| socket.set_nonblocking(true))?;
    }
    let listeners: Vec<Arc<TcpListener>> = sockets.into_iter().map(Arc::new).collect();
    // Only the acceptors hold the pool, so its idle threads end with the last acceptor.
    let pool = Arc::new(ThreadPool::new(events.clone()));
    let mut threads = ThreadTracker::new()?;
    let runners = match shared.config.threads {
        Threads::PerClient => None,
        Threads::Shared => Some(Runners::start(shared, &pool)?),
    };
    let acceptors = listeners.iter().map(|listener| {
        let acceptor = Acceptor {
            shared: Arc::clone(shared),
            registry: Arc::clone(registry),
            pool: Arc::clone(&pool),
            runners: runners.clone(),
        };
        let listener = Arc::clone(listener);
        thread::Builder::new().name("accept".into()).spawn(move || acceptor.accept(&listener))
    });
    let acceptors = acceptors.collect::<io::Result<Vec<_>>>()?;
    drop(pool);

    loop {
        select! {
            recv(stop) -> reason => {
                if let Ok(reason) = reason {
                    log::info!("shutting down: {reason}");
                }
                sd_notify::stopping();
                break;
            }
            recv(happened) -> event => threads.note(event.ok()),
            recv(threads.tick()) -> _ => threads.reap(),
        }
    }

    if !inherited {
        listeners.iter().for_each(|listener| platform::wake_listener(listener));
    }
    for acceptor in acceptors {
        if acceptor.join().is_err() {
            log::error!("an acceptor panicked");
        }
    }
    drop(listeners);
    shared.sessions.close();
    // Only its threads hold the runners, so that the pool's idle threads end with the last of them.
    let watch = runners.map(|runners| {
        runners.close();
        runners.watch()
    });
    loop {
        happened.try_iter().for_each(|event| threads.note(Some(event)));
        let deadline = shared.shutdown.deadline().unwrap_or_else(Instant::now);
        let left = deadline.saturating_duration_since(Instant::now());
        // No acceptor is left, so every started thread has been counted.
        if threads.left() == 0 || left.is_zero() {
            break;
        }
        select! {
            recv(happened) -> event => threads.note(event.ok()),
            recv(threads.tick()) -> _ => threads.reap(),
            // The deadline may move closer meanwhile.
            default(left.min(POLL_INTERVAL)) => {}
        }
    }
    if let Some(watch) = watch {
        watch.end();
    }
    Ok(match threads.left() {
        0 => Outcome::Orderly,
        left => Outcome::Stuck(left),
    })
}

/// An acceptor: it takes the clients of one listener in.
struct Acceptor {
    shared: Arc<Shared>,
    registry: Arc<LiveRegistry>,
    pool: Arc<ThreadPool>,
    /// Present if they serve the clients.
    runners: Option<Arc<Runners>>,
}

impl Acceptor {
    fn accept(&self, listener: &TcpListener) {
        let shared = &self.shared;
        // The sessions' threads inherit this thread's scheduling class.
        if shared.config.scheduling == Scheduling::Batch
            && let Err(error) = platform::set_batch_scheduling()
        {
            log::debug!("cannot set batch scheduling: {error}; sessions run in the normal class");
        }
        let mut reserved_fd = ReservedFd::take();
        let failures = Throttle::default();
        loop {
            let accepted = listener.accept();
            if shared.shutdown.is_stopping() {
                return;
            }
            let error = match accepted {
                Ok((stream, peer)) => {
                    self.start_session(stream, peer);
                    continue;
                }
                // Only an inherited listener is non-blocking.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    platform::wait_for_client(listener, POLL_INTERVAL);
                    continue;
                }
                Err(error) => error,
            };
            failures.warn(Instant::now(), || format!("cannot accept a client: {error}"));
            let lent = if platform::is_out_of_descriptors(&error) {
                reserved_fd.lend(|| listener.accept())
            } else {
                None
            };
            match lent {
                // Other sessions may have ended meanwhile: then the client can be served.
                Some(Ok((stream, peer))) if reserved_fd.restock() => {
                    self.start_session(stream, peer);
                }
                Some(Ok((stream, _))) => {
                    reject(shared, &stream, "the server is out of file descriptors, try later");
                    drop(stream);
                    reserved_fd.restock();
                }
                Some(Err(_)) => {}
                None => thread::sleep(PAUSE),
            }
        }
    }

    fn start_session(&self, stream: TcpStream, mut peer: SocketAddr) {
        let shared = &self.shared;
        // An inherited IPv6 socket may accept IPv4 clients under IPv4-mapped addresses.
        peer.set_ip(peer.ip().to_canonical());
        let Serve { bounds, access, .. } = &shared.config;
        let trusted = access.trust.covers(peer.ip());
        let per_address = (!trusted).then_some(bounds.max_sessions_per_address as usize);
        let total = bounds.max_sessions as usize;
        // A tenth is reserved for trusted clients, so that an admin can always connect.
        let reserved = if trusted || access.trust == Trust::None { 0 } else { total / 10 };
        let limits = SessionLimits { total: total - reserved, per_address };
        let handle = match shared.sessions.add(stream, peer, limits) {
            Ok(handle) => handle,
            Err((why, stream)) => return reject_over_limit(shared, &stream, peer, why),
        };
        let registered = Registered { shared: Arc::clone(shared), handle: Arc::clone(&handle) };
        let started = match &self.runners {
            None => self.run_session(registered),
            Some(runners) => self.hand_to_runners(runners, registered),
        };
        if let Err((sent, logged)) = started {
            reject(shared, &handle.stream, sent);
            shared.rejected.warn(Instant::now(), || format!("{peer} rejected: {logged}"));
        }
    }

    /// Runs a session on a thread of its own.
    fn run_session(&self, registered: Registered) -> Result<(), Rejection> {
        let registry = Arc::clone(&self.registry);
        let name = format!("session {}", registered.handle.id);
        let run = Box::new(move || {
            if let Some(mut session) = new_session(&registered, registry, false) {
                let handle = &registered.handle;
                let reason = crash::in_session(handle, || session.run());
                log::debug!("session {} from {} ended: {reason}", handle.id, handle.peer);
            }
        });
        self.pool.run(Work { name, run }).map_err(|error| no_thread(&error))
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
}

/// Sends an error to a client that is not served, and ends the connection's sending side.
fn reject(shared: &Shared, mut stream: &TcpStream, why: &str) {
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

fn no_thread(why: &dyn std::fmt::Display) -> Rejection {
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
