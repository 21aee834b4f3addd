//! Clients that send without pause.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Time after which a client gives up waiting for a reply.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The results of the clients.
#[derive(Default)]
pub struct Done {
    /// Number of replies.
    pub requests: u64,
    /// Number of wrong replies.
    pub failed: u64,
    /// Number of sessions that ended by themselves.
    pub dropped: u64,
    /// Number of replies to `incr`.
    pub increments: i64,
}

/// Clients at full speed: `echo` and `incr`, one by one and in batches.
pub struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Done>>,
}

impl Load {
    /// Starts the clients.
    pub fn start(address: SocketAddr, clients: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let clients = (0..clients).map(|number| {
            let stop = Arc::clone(&stop);
            let batch = if number % 2 == 0 { 1 } else { 16 };
            let counts = number % 4 < 2;
            thread::spawn(move || client(address, &stop, batch, counts))
        });
        Self { clients: clients.collect(), stop }
    }

    /// Stops them, each after its current batch.
    pub fn stop(self) -> Done {
        self.stop.store(true, Ordering::SeqCst);
        let mut all = Done::default();
        for client in self.clients {
            let done = client.join().unwrap_or(Done { dropped: 1, ..Done::default() });
            all.requests += done.requests;
            all.failed += done.failed;
            all.dropped += done.dropped;
            all.increments += done.increments;
        }
        all
    }
}

fn client(address: SocketAddr, stop: &AtomicBool, batch: usize, counts: bool) -> Done {
    let mut done = Done::default();
    let command: &[u8] = if counts {
        b"*2\r\n$4\r\nincr\r\n$4\r\nsoak\r\n"
    } else {
        b"*2\r\n$4\r\necho\r\n$5\r\nhello\r\n"
    };
    let Ok(mut stream) = connect(address) else { return Done { dropped: 1, ..done } };
    let Ok(reader) = stream.try_clone() else { return Done { dropped: 1, ..done } };
    let mut replies = BufReader::new(reader);
    let requests = command.repeat(batch);
    while !stop.load(Ordering::Relaxed) {
        let mut round = || -> io::Result<()> {
            stream.write_all(&requests)?;
            for _ in 0..batch {
                done.requests += 1;
                if counts {
                    let mut line = String::new();
                    let read = replies.read_line(&mut line)?;
                    if read == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    let sum = line.strip_prefix(':').map(str::trim_end);
                    match sum.and_then(|sum| sum.parse::<i64>().ok()) {
                        Some(_) => done.increments += 1,
                        None => done.failed += 1,
                    }
                } else {
                    let mut reply = [0; 11];
                    replies.read_exact(&mut reply)?;
                    done.failed += u64::from(&reply != b"$5\r\nhello\r\n");
                }
            }
            Ok(())
        };
        if round().is_err() {
            done.dropped += 1;
            return done;
        }
    }
    done
}

/// One client that repeats one command and records how long it waits for a reply.
pub struct Probe {
    stop: Arc<AtomicBool>,
    /// The longest wait since the last reading, in nanoseconds.
    longest: Arc<AtomicU64>,
    thread: JoinHandle<io::Result<()>>,
}

impl Probe {
    /// Starts it with a line command whose reply is one line.
    pub fn start(address: SocketAddr, command: &str) -> Self {
        let (stop, longest) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let command = format!("{command}\n");
        let thread = thread::spawn({
            let (stop, longest) = (Arc::clone(&stop), Arc::clone(&longest));
            move || ask(address, &command, &stop, &longest)
        });
        Self { stop, longest, thread }
    }

    /// Returns the longest wait since the last call.
    pub fn longest(&self) -> Duration {
        Duration::from_nanos(self.longest.swap(0, Ordering::Relaxed))
    }

    /// Stops it. Returns why its session was lost, if it was.
    pub fn stop(self) -> Option<String> {
        self.stop.store(true, Ordering::SeqCst);
        match self.thread.join() {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("its thread panicked".into()),
        }
    }
}

fn ask(
    address: SocketAddr,
    command: &str,
    stop: &AtomicBool,
    longest: &AtomicU64,
) -> io::Result<()> {
    let mut stream = connect(address)?;
    let mut replies = BufReader::new(stream.try_clone()?);
    let mut reply = String::new();
    while !stop.load(Ordering::Relaxed) {
        let asked = Instant::now();
        reply.clear();
        stream.write_all(command.as_bytes())?;
        if replies.read_line(&mut reply)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if reply.starts_with("error") {
            return Err(io::Error::other(format!("answered '{}'", reply.trim_end())));
        }
        let waited = u64::try_from(asked.elapsed().as_nanos()).unwrap_or(u64::MAX);
        longest.fetch_max(waited, Ordering::Relaxed);
    }
    Ok(())
}

/// Connects to the host; a read that takes longer than [`TIMEOUT`] fails.
pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    Ok(stream)
}
