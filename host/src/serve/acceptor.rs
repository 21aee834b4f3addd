//! Accepts clients and starts their threads.

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
    config::{Scheduling, Serve},
    crash,
    net::{
        listener::Listeners,
        thread_pool::{Pool, Work},
        thread_tracker::Threads,
    },
    runtime::{
        client_handle::ClientHandle,
        clients::{LimitReached, SessionLimits},
        context::Shared,
        shutdown::Reason,
    },
    session::Session,
};

/// How long the acceptor rests after the system could not give it a connection.
const REST: Duration = Duration::from_millis(50);

/// How long a wait lasts before a look at the flag of the host's end and its deadline: of the
/// acceptor of a listener that was passed, and at the end of sessions.
const LOOK: Duration = Duration::from_millis(250);

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every thread has been joined.
    Orderly,
    /// This many threads still ran a worker when the grace was over.
    Stuck(usize),
    /// Not every state was saved, or it is not known, and this many threads still ran.
    Unsaved(usize),
}

/// Serves until the host is asked to end, then ends every session and joins every thread.
///
/// # Errors
/// Where there is no thread to accept clients with.
pub fn serve(
    shared: &Arc<Shared>,
    registry: &Arc<LiveRegistry>,
    listeners: Listeners,
    stop: &Receiver<Reason>,
) -> io::Result<Outcome> {
    // Kept to the end: a channel without senders is never silent.
    let (events, happened) = unbounded();
    let Listeners { sockets, inherited } = listeners;
    if inherited {
        // Others go on using them, so that they cannot be shut down to wake an acceptor.
        sockets.iter().try_for_each(|socket| socket.set_nonblocking(true))?;
    }
    let listeners: Vec<Arc<TcpListener>> = sockets.into_iter().map(Arc::new).collect();
    // The acceptors' alone: threads without a session end with them.
    let pool = Arc::new(Pool::new(events.clone()));
    let mut threads = Threads::new()?;
    let acceptors = listeners.iter().map(|listener| {
        let (shared, registry) = (Arc::clone(shared), Arc::clone(registry));
        let (listener, pool) = (Arc::clone(listener), Arc::clone(&pool));
        thread::Builder::new()
            .name("accept".into())
            .spawn(move || accept(&shared, &registry, &listener, &pool))
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
    loop {
        happened.try_iter().for_each(|event| threads.note(Some(event)));
        let deadline = shared.shutdown.deadline().unwrap_or_else(Instant::now);
        let left = deadline.saturating_duration_since(Instant::now());
        // No acceptor is left, so that every start has been noted by now.
        if threads.left() == 0 || left.is_zero() {
            break;
        }
        select! {
            recv(happened) -> event => threads.note(event.ok()),
            recv(threads.tick()) -> _ => threads.reap(),
            // It may have come nearer.
            default(left.min(LOOK)) => {}
        }
    }
    Ok(match threads.left() {
        0 => Outcome::Orderly,
        left => Outcome::Stuck(left),
    })
}

fn accept(shared: &Arc<Shared>, registry: &Arc<LiveRegistry>, listener: &TcpListener, pool: &Pool) {
    // Sessions take over the class of who starts them.
    if shared.config.scheduling == Scheduling::Batch
        && let Err(error) = platform::set_batch_scheduling()
    {
        log::debug!("sessions run in the usual scheduling class: {error}");
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
                start(shared, registry, stream, peer, pool);
                continue;
            }
            // Only one that was passed does not wait.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                platform::wait_for_client(listener, LOOK);
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
            // Others may have left while this waited for a client: then there is room for it.
            Some(Ok((stream, peer))) if reserved_fd.restock() => {
                start(shared, registry, stream, peer, pool);
            }
            Some(Ok((stream, _))) => {
                turn_away(shared, &stream, "the server is out of file descriptors, try later");
                drop(stream);
                reserved_fd.restock();
            }
            Some(Err(_)) => {}
            None => thread::sleep(REST),
        }
    }
}

/// Tells a client that there is no room for it.
fn turn_away(shared: &Shared, mut stream: &TcpStream, why: &str) {
    shared.metrics.turned_away.count();
    // Who does not take the word goes without it.
    let _ = stream.set_write_timeout(Some(REST));
    let _ = stream.write_all(format!("-ERR {why}\r\n").as_bytes());
    let _ = stream.shutdown(Side::Write);
    // A close with unread input would send a reset, which can overtake the word.
    let _ = stream.set_nonblocking(true);
    let _ = stream.read(&mut [0; 4096]);
}

/// Says why there is no room for a newcomer, to itself and to the log.
fn refuse(shared: &Shared, stream: &TcpStream, peer: SocketAddr, why: LimitReached) {
    let (said, logged) = match why {
        LimitReached::Ending => return,
        // Worded as Redis words it.
        LimitReached::Total(most) => (
            "max number of clients reached",
            format!("there are {most} sessions already (--max-sessions)"),
        ),
        LimitReached::PerAddress(most) => (
            "max number of clients from your address reached",
            format!("{most} sessions are from there (--max-sessions-per-address)"),
        ),
    };
    turn_away(shared, stream, said);
    shared.turned_away.warn(Instant::now(), || format!("{peer} turned away: {logged}"));
}

fn start(
    shared: &Arc<Shared>,
    registry: &Arc<LiveRegistry>,
    stream: TcpStream,
    mut peer: SocketAddr,
    pool: &Pool,
) {
    // A socket of the service manager's may take IPv4 clients in the clothes of IPv6.
    peer.set_ip(peer.ip().to_canonical());
    let Serve { bounds, access, .. } = &shared.config;
    let trusted = access.trust.covers(peer.ip());
    let per_address = (!trusted).then_some(bounds.max_sessions_per_address as usize);
    let total = bounds.max_sessions as usize;
    // However many strangers come, who looks after the host gets in.
    let kept = if trusted || access.trust == Trust::None { 0 } else { total / 10 };
    let limits = SessionLimits { total: total - kept, per_address };
    let handle = match shared.sessions.enter(stream, peer, limits) {
        Ok(handle) => handle,
        Err((why, stream)) => return refuse(shared, &stream, peer, why),
    };
    let leaving = Leaving {
        shared: Arc::clone(shared),
        registry: Arc::clone(registry),
        handle: Arc::clone(&handle),
    };
    let name = format!("session {}", handle.id);
    let run = Box::new(move || run(&leaving));
    if let Err(error) = pool.run(Work { name, run }) {
        turn_away(shared, &handle.stream, "the server is out of threads, try later");
        shared
            .turned_away
            .warn(Instant::now(), || format!("{peer} turned away: no thread for it ({error})"));
    }
}

fn run(leaving: &Leaving) {
    let Leaving { shared, registry, handle, .. } = leaving;
    let (id, peer) = (handle.id, handle.peer);
    log::debug!("session {id} from {peer} started");
    match Session::new(Arc::clone(shared), Arc::clone(registry), Arc::clone(handle)) {
        Ok(mut session) => {
            let reason = crash::in_session(handle, || session.run());
            log::debug!("session {id} from {peer} ended: {reason}");
        }
        Err(error) => log::debug!("session {id} from {peer} was gone at once: {error}"),
    }
}

/// Takes the client off the list when its session ends, in whatever way.
struct Leaving {
    shared: Arc<Shared>,
    registry: Arc<LiveRegistry>,
    handle: Arc<ClientHandle>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.shared.client_memory.note(&self.handle, 0);
        self.shared.sessions.leave(&self.handle);
    }
}
