//! A client that counts: one request after another, each of which must add one.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// A reply that takes longer is a failure.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The pause between two looks at the client's thread.
const PAUSE: Duration = Duration::from_millis(1);

/// The requests that one version answered.
#[derive(Clone, Default)]
pub struct Tally {
    /// The version that the replies name.
    pub version: String,
    /// Requests, failed ones included.
    pub requests: i64,
    /// Requests with a wrong reply, an error or no reply.
    pub failures: u64,
    /// The longest time that a request took.
    pub slowest: Duration,
}

/// The requests of a client, by version.
#[derive(Clone, Default)]
pub struct Counted {
    /// One for each version, in the order in which they answered.
    pub tallies: Vec<Tally>,
    /// The reason of the first failure.
    pub first_failure: Option<String>,
}

impl Counted {
    /// All requests.
    pub fn requests(&self) -> i64 {
        self.tallies.iter().map(|tally| tally.requests).sum()
    }

    /// All failures.
    pub fn failures(&self) -> u64 {
        self.tallies.iter().map(|tally| tally.failures).sum()
    }

    /// The longest time that any request took.
    pub fn slowest(&self) -> Duration {
        self.tallies.iter().map(|tally| tally.slowest).max().unwrap_or_default()
    }

    /// Enters a reply, or the reason why there is none.
    fn enter(&mut self, reply: Result<Reply, String>, took: Duration) {
        let expected = self.requests() + 1;
        let failure = match reply {
            Ok(reply) => {
                if self.tallies.last().is_none_or(|tally| tally.version != reply.version) {
                    self.begin(reply.version);
                }
                let wrong = || format!("it replied {}, and {expected} was next", reply.total);
                (reply.total != expected).then(wrong)
            }
            Err(why) => {
                if self.tallies.is_empty() {
                    self.begin("none".into());
                }
                Some(why)
            }
        };
        if let Some(tally) = self.tallies.last_mut() {
            tally.requests += 1;
            tally.failures += u64::from(failure.is_some());
            tally.slowest = tally.slowest.max(took);
        }
        if let Some(why) = failure {
            self.first_failure.get_or_insert(format!("request {expected}: {why}"));
        }
    }

    fn begin(&mut self, version: String) {
        self.tallies.push(Tally { version, ..Tally::default() });
    }
}

/// A client that counts until it is stopped or a request fails.
pub struct Client {
    stop: Arc<AtomicBool>,
    counted: Arc<Mutex<Counted>>,
    thread: JoinHandle<()>,
}

impl Client {
    /// Starts it.
    pub fn start(address: SocketAddr) -> Self {
        let (stop, counted) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Counted>>::default());
        let thread = thread::spawn({
            let (stop, counted) = (Arc::clone(&stop), Arc::clone(&counted));
            move || count(address, &stop, &counted)
        });
        Self { stop, counted, thread }
    }

    /// Returns what it has counted so far.
    pub fn counted(&self) -> Counted {
        lock(&self.counted).clone()
    }

    /// Returns how many versions have answered so far.
    pub fn versions(&self) -> usize {
        lock(&self.counted).tallies.len()
    }

    /// Waits until then. Returns early, and false, where a request has failed.
    pub fn goes_on_until(&self, then: Instant) -> bool {
        loop {
            if self.thread.is_finished() {
                return false;
            }
            let left = then.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            thread::sleep(left.min(PAUSE));
        }
    }

    /// Stops it after the request that is under way.
    pub fn stop(self) -> Counted {
        self.stop.store(true, Ordering::SeqCst);
        let panicked = self.thread.join().is_err();
        let mut counted = lock(&self.counted).clone();
        if panicked {
            counted.enter(Err("the client's thread panicked".into()), Duration::ZERO);
        }
        counted
    }
}

fn lock(counted: &Mutex<Counted>) -> MutexGuard<'_, Counted> {
    counted.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A reply of `counter.add`.
#[derive(Debug, PartialEq)]
struct Reply {
    total: i64,
    version: String,
}

fn count(address: SocketAddr, stop: &AtomicBool, counted: &Mutex<Counted>) {
    let mut replies = match connect(address) {
        Ok(stream) => BufReader::new(stream),
        Err(error) => {
            let why = format!("cannot connect to {address}: {error}");
            return lock(counted).enter(Err(why), Duration::ZERO);
        }
    };
    while !stop.load(Ordering::Relaxed) {
        let asked = Instant::now();
        let reply = ask(&mut replies);
        let mut counted = lock(counted);
        counted.enter(reply, asked.elapsed());
        if counted.first_failure.is_some() {
            return;
        }
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

/// Sends `counter.add` as a plain line, and reads the two lines of its reply.
fn ask(replies: &mut BufReader<TcpStream>) -> Result<Reply, String> {
    let sent = replies.get_mut().write_all(b"counter.add\n");
    sent.map_err(|error| format!("cannot send it: {error}"))?;
    let total = field(replies, "total: ")?;
    let total = total.parse().map_err(|_| format!("it replied '{total}' as the total"))?;
    Ok(Reply { total, version: field(replies, "version: ")? })
}

/// Reads a line and returns what follows its name.
fn field(replies: &mut impl BufRead, name: &str) -> Result<String, String> {
    let mut line = String::new();
    match replies.read_line(&mut line) {
        Ok(0) => Err("the host closed the connection".into()),
        Ok(_) => match line.trim_end().strip_prefix(name) {
            Some(value) => Ok(value.to_owned()),
            None => Err(format!("it replied '{}'", line.trim_end())),
        },
        Err(error) => Err(format!("cannot read its reply: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    /// Counts with a server that sends these replies and then closes the connection.
    fn counted_with(replies: &'static str) -> Counted {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let client = Client::start(listener.local_addr().unwrap());
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(replies.as_bytes()).unwrap();
        // The end of its requests is the end of the client.
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        io::copy(&mut stream, &mut io::sink()).ok();
        client.stop()
    }

    #[test]
    fn replies_are_counted_by_version() {
        let counted = counted_with(
            "total: 1\nversion: 1.0.0\ntotal: 2\nversion: 1.0.0\ntotal: 3\nversion: 2.0.0\n",
        );
        let tallies = counted.tallies.iter();
        let requests: Vec<_> =
            tallies.map(|tally| (&*tally.version, tally.requests, tally.failures)).collect();
        // The request that finds the connection closed counts, too.
        assert_eq!(requests, [("1.0.0", 2, 0), ("2.0.0", 2, 1)]);
    }

    #[test]
    fn every_kind_of_failure_is_counted() {
        for (replies, reason) in [
            ("", "request 1: the host closed the connection"),
            ("error: no such thing\n", "request 1: it replied 'error: no such thing'"),
            ("total: 2\nversion: 1.0.0\n", "request 1: it replied 2, and 1 was next"),
            ("total: x\nversion: 1.0.0\n", "request 1: it replied 'x' as the total"),
            ("total: 1\n", "request 1: the host closed the connection"),
            ("total: 1\nversion: 1.0.0\ntotal: 1\nversion: 1.0.0\n", "request 2: it replied 1, "),
        ] {
            let counted = counted_with(replies);
            assert_eq!(counted.failures(), 1, "{replies:?}");
            let failure = counted.first_failure.unwrap_or_default();
            assert!(failure.starts_with(reason), "{replies:?}: {failure}");
        }
    }
}
