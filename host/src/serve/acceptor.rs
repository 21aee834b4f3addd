//! The acceptors: they accept clients and start the sessions' threads.

use std::{
    io,
    net::TcpListener,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, select, unbounded};
use platform::ReservedFd;
use plugin_engine::registry::LiveRegistry;
use telemetry::log_throttle::Throttle;

use super::{
    admission::{Admission, PAUSE, reject},
    sd_notify,
};
use crate::{
    config::{Scheduling, Threads},
    net::{listener::Listeners, thread_pool::ThreadPool, thread_tracker::ThreadTracker},
    runners::Runners,
    runtime::{context::Shared, shutdown::Reason},
};

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
    let admission = Admission::new(shared, registry, runners.as_ref());
    let acceptors = listeners.iter().map(|listener| {
        let acceptor = Acceptor {
            shared: Arc::clone(shared),
            pool: Arc::clone(&pool),
            admission: admission.clone(),
        };
        let listener = Arc::clone(listener);
        thread::Builder::new().name("accept".into()).spawn(move || acceptor.accept(&listener))
    });
    let acceptors = acceptors.collect::<io::Result<Vec<_>>>()?;
    drop((pool, admission));

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
    pool: Arc<ThreadPool>,
    admission: Admission,
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
                    self.admission.admit(&self.pool, stream, peer);
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
                    self.admission.admit(&self.pool, stream, peer);
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
}
