//! A small server, and the client that runs against it.
#![allow(dead_code, reason = "no test uses all of it")]

pub mod refusing;
#[path = "../../../tests/src/stall.rs"]
mod stall;

use std::{
    fmt,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    panic,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// The notice of a host that stops.
pub const NOTICE: &[u8] = b">2\r\n$6\r\nnotice\r\n$27\r\nthe server is shutting down\r\n";

/// The notice of a host that stops and may come back.
pub const RESTARTING: &[u8] =
    b">2\r\n$6\r\nnotice\r\n$45\r\nthe server is stopping, perhaps for a restart\r\n";

/// The time limit of a wait; time in which the machine stood still does not count.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The deadline of a wait.
pub struct Deadline(stall::Stopwatch);

impl Deadline {
    /// Starts the wait.
    pub fn start() -> Self {
        Self(stall::Stopwatch::start())
    }

    /// Returns the remaining time.
    pub fn left(&self) -> Duration {
        self.0.left(TIMEOUT)
    }
}

/// Waits for the next message.
pub fn receive<T>(receiver: &Receiver<T>) -> Result<T, RecvTimeoutError> {
    receive_within(&Deadline::start(), receiver)
}

/// Waits for the next message until the deadline.
pub fn receive_within<T>(
    deadline: &Deadline,
    receiver: &Receiver<T>,
) -> Result<T, RecvTimeoutError> {
    loop {
        match receiver.recv_timeout(deadline.left()) {
            Err(RecvTimeoutError::Timeout) if !deadline.left().is_zero() => {}
            received => return received,
        }
    }
}

/// One accepted connection.
pub struct Peer {
    reader: BufReader<TcpStream>,
}

impl Peer {
    /// Returns the next command, or `None` when the client is gone.
    pub fn command(&mut self) -> Option<Vec<String>> {
        let count = self.number()?;
        (0..count)
            .map(|_| {
                let length = self.number()?;
                let mut bytes = vec![0; length + 2];
                self.reader.read_exact(&mut bytes).ok()?;
                Some(String::from_utf8_lossy(&bytes[..length]).into_owned())
            })
            .collect()
    }

    fn number(&mut self) -> Option<usize> {
        let mut line = String::new();
        self.reader.read_line(&mut line).ok()?;
        line.get(1..)?.trim().parse().ok()
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: &[u8]) {
        // A client that is gone already is what some tests are about.
        let _ = self.reader.get_mut().write_all(bytes);
    }

    /// Sends a text as a reply.
    pub fn send_text(&mut self, text: &str) {
        self.send(format!("${}\r\n{text}\r\n", text.len()).as_bytes());
    }

    /// Answers the greeting as a host that can cancel; the session has this number.
    pub fn greet_as(&mut self, id: u8) {
        assert_eq!(self.command().unwrap(), ["HELLO", "3"]);
        self.send(format!("%2\r\n+server\r\n+fake\r\n+id\r\n:{id}\r\n").as_bytes());
    }

    /// Answers the greeting.
    pub fn greet(&mut self) {
        assert_eq!(self.command().unwrap(), ["HELLO", "3"]);
        self.send(b"%1\r\n+server\r\n+fake\r\n");
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // A close with unread input would send a reset, which can overtake what was sent.
        let _ = self.reader.get_ref().shutdown(Shutdown::Write);
        let _ = io::copy(&mut self.reader, &mut io::sink());
    }
}

/// A server with its own threads. Dropping it joins them, and their failures fail the test.
pub struct Server {
    port: u16,
    ends: Arc<AtomicBool>,
    /// The accepting thread, which returns the serving threads; `None` once it is joined.
    acceptor: Option<JoinHandle<Vec<JoinHandle<()>>>>,
    /// Disconnected when no thread is left.
    ended: Receiver<()>,
}

impl Server {
    /// Serves this number of connections; `serve` gets the index of the connection.
    fn start(count: usize, serve: impl Fn(usize, &mut Peer) + Send + Sync + 'static) -> Self {
        // Listens for as long as a thread serves: a client that comes too late waits.
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        let port = listener.local_addr().unwrap().port();
        let (running, ended) = mpsc::channel::<()>();
        let (ends, serve) = (Arc::new(AtomicBool::new(false)), Arc::new(serve));
        let asked_to_end = Arc::clone(&ends);
        let acceptor = thread::spawn(move || {
            let mut threads = Vec::new();
            for index in 0..count {
                let (stream, _) = listener.accept().unwrap();
                if asked_to_end.load(Ordering::SeqCst) {
                    break;
                }
                let serve = Arc::clone(&serve);
                let held = (running.clone(), Arc::clone(&listener));
                threads.push(thread::spawn(move || {
                    let _held = held;
                    serve(index, &mut Peer { reader: BufReader::new(stream) });
                }));
            }
            threads
        });
        Self { port, ends, acceptor: Some(acceptor), ended }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.port.fmt(formatter)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        // Wakes the acceptor; it may have ended.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if thread::panicking() {
            // The test has failed already, and the client may still be connected.
            return;
        }
        let ended = receive(&self.ended);
        assert_eq!(ended, Err(RecvTimeoutError::Disconnected), "the server goes on");
        let threads = self.acceptor.take().unwrap().join().unwrap();
        for thread in threads {
            if let Err(failure) = thread.join() {
                panic::resume_unwind(failure);
            }
        }
    }
}

/// A port number, or a server that has one.
pub trait Port {
    /// Returns the number.
    fn port(&self) -> u16;
}

impl Port for u16 {
    fn port(&self) -> u16 {
        *self
    }
}

impl Port for &Server {
    fn port(&self) -> u16 {
        self.port
    }
}

/// Starts a server for one connection, which it closes when `serve` returns.
pub fn server(serve: impl FnOnce(&mut Peer) + Send + 'static) -> Server {
    let serve = Mutex::new(Some(serve));
    Server::start(1, move |_, talk| {
        let serve = serve.lock().unwrap().take().unwrap();
        serve(talk);
    })
}

/// Starts a server for any number of connections; `serve` gets the index of the connection.
pub fn multi_server(serve: impl Fn(usize, &mut Peer) + Send + Sync + 'static) -> Server {
    Server::start(usize::MAX, serve)
}

/// Returns a command that runs the client against this port, in an environment of its own.
pub fn client(port: impl Port) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_client"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("DROPIN_")) {
        command.env_remove(name);
    }
    command
        .env("XDG_CONFIG_HOME", "/nonexistent")
        .env("APPDATA", std::env::temp_dir().join("nonexistent"))
        .env("DROPIN_HISTORY", "")
        .env("DROPIN_PORT", port.port().to_string());
    command
}
