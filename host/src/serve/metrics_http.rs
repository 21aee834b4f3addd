//! The metrics page, `http://ADDR/metrics`, for Prometheus and other readers of OpenMetrics.
//!
//! One thread answers one scrape at a time, each within a second, which bounds the cost of clients.
//! The page is the host's only HTTP, so it uses `httparse` and no HTTP server with threads of its
//! own and no deadlines.

mod page;
mod request;

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use plugin_engine::registry::LiveRegistry;

use self::{
    page::Page,
    request::{ChangeRequest, Refused},
};
use crate::{
    net::listener::{self, ListenError},
    runtime::context::Shared,
};

/// The longest time that one scrape may take.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The pause after a failed accept.
const PAUSE: Duration = Duration::from_millis(50);

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// The thread that serves the metrics.
pub(crate) struct MetricsServer {
    listener: Arc<TcpListener>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl MetricsServer {
    /// Binds the address that the metrics will be served on.
    pub(crate) fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
        listener::listen_at(address, "--metrics")
    }

    /// Starts the thread.
    pub(crate) fn start(
        listener: TcpListener,
        shared: &Arc<Shared>,
        registry: &Arc<LiveRegistry>,
    ) -> io::Result<Self> {
        let page = Page::new(shared, registry);
        let listener = Arc::new(listener);
        let stop = Arc::new(AtomicBool::new(false));
        let (socket, stopped) = (Arc::clone(&listener), Arc::clone(&stop));
        let thread = thread::Builder::new().name("metrics".into()).spawn(move || {
            loop {
                let accepted = socket.accept();
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                match accepted {
                    Ok((stream, peer)) => {
                        if let Err(error) = answer(&stream, &page) {
                            log::debug!("cannot send the metrics to {peer}: {error}");
                        }
                    }
                    Err(error) => {
                        log::debug!("cannot accept a client of the metrics page: {error}");
                        thread::sleep(PAUSE);
                    }
                }
            }
        })?;
        Ok(Self { listener, stop, thread })
    }

    /// Ends the thread.
    pub(crate) fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        platform::wake_listener(&self.listener);
        if self.thread.join().is_err() {
            log::error!("the metrics thread panicked");
        }
    }
}

fn answer(stream: &TcpStream, page: &Page) -> io::Result<()> {
    let deadline = Instant::now() + TIMEOUT;
    let (status, kind, body, head_only) = match read(stream, deadline)? {
        Ok(ChangeRequest { path, head }) if path == "/metrics" => {
            ("200 OK", OPEN_METRICS, page.render(), head)
        }
        Ok(ChangeRequest { head, .. }) => {
            ("404 Not Found", TEXT, "the metrics are at /metrics\n".into(), head)
        }
        Err(refused) => (refused.status(), TEXT, format!("{refused}\n"), false),
    };
    let mut reply = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    if !head_only {
        reply += &body;
    }
    write(stream, reply.as_bytes(), deadline)?;
    stream.shutdown(Shutdown::Write)?;
    // A close with unread input would send a reset, which can overtake the answer.
    stream.set_nonblocking(true)?;
    let mut rest = stream;
    let _ = rest.read(&mut [0; request::LONGEST]);
    Ok(())
}

/// Reads and parses the request.
fn read(mut stream: &TcpStream, deadline: Instant) -> io::Result<Result<ChangeRequest, Refused>> {
    let (mut buffer, mut length) = ([0; request::LONGEST], 0);
    loop {
        stream.set_read_timeout(Some(remaining(deadline)?))?;
        let room = buffer.get_mut(length..).unwrap_or_default();
        let read = stream.read(room)?;
        length += read;
        let so_far = buffer.get(..length).unwrap_or_default();
        match request::parse(so_far) {
            None if read == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            None => {}
            Some(asked) => return Ok(asked),
        }
    }
}

fn write(mut stream: &TcpStream, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.set_write_timeout(Some(remaining(deadline)?))?;
        match stream.write(bytes)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => bytes = bytes.get(written..).unwrap_or_default(),
        }
    }
    Ok(())
}

fn remaining(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}
