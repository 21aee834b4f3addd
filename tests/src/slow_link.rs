//! A slow connection: a relay that passes so many bytes a second on.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// The parts into which a second is divided.
const SLICES: usize = 20;

/// A relay to a server. Each of its connections passes so many bytes a second on, in each direction.
/// Dropping it takes no further connections.
pub struct SlowLink {
    address: SocketAddr,
    is_ending: Arc<AtomicBool>,
    flow: Arc<Flow>,
    acceptor: Option<JoinHandle<()>>,
}

/// The traffic of a relay.
#[derive(Default)]
struct Flow {
    /// The ends of its connections.
    streams: Mutex<Vec<TcpStream>>,
    /// The number of bytes that have passed, in both directions.
    passed: AtomicUsize,
}

impl SlowLink {
    /// Starts a relay to this address, at this rate in bytes a second.
    ///
    /// # Panics
    /// There is no free port.
    #[must_use]
    pub fn to(server: SocketAddr, rate: usize) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let is_ending = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&is_ending);
        let flow = Arc::<Flow>::default();
        let kept = Arc::clone(&flow);
        let accept = move || {
            for near in listener.incoming().map_while(Result::ok) {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                // A client of a server that is away is closed.
                let Ok(far) = TcpStream::connect(server) else { continue };
                let ways = [(near.try_clone(), far.try_clone()), (Ok(far), Ok(near))];
                for way in ways {
                    let (Ok(from), Ok(to)) = way else { continue };
                    kept.streams.lock().unwrap().extend(from.try_clone());
                    let flow = Arc::clone(&kept);
                    thread::spawn(move || pass(from, to, rate, &flow));
                }
            }
        };
        Self { address, is_ending, flow, acceptor: Some(thread::spawn(accept)) }
    }

    /// Returns the relay's own address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the number of bytes that have passed, in both directions.
    #[must_use]
    pub fn passed(&self) -> usize {
        self.flow.passed.load(Ordering::Relaxed)
    }

    /// Cuts all connections. New ones are possible.
    ///
    /// # Panics
    /// A thread of this has panicked.
    pub fn cut(&self) {
        for stream in self.flow.streams.lock().unwrap().drain(..) {
            // One that has ended is not connected.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for SlowLink {
    fn drop(&mut self) {
        self.is_ending.store(true, Ordering::SeqCst);
        // Wakes the acceptor.
        let woken = TcpStream::connect(self.address);
        if let (Ok(_), Some(acceptor)) = (woken, self.acceptor.take()) {
            let _ = acceptor.join();
        }
    }
}

/// Passes bytes on until one side ends.
fn pass(mut from: TcpStream, mut to: TcpStream, rate: usize, flow: &Flow) {
    let mut buffer = vec![0; (rate / SLICES).max(1)];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
        flow.passed.fetch_add(read, Ordering::Relaxed);
        thread::sleep(Duration::from_secs_f64(read as f64 / rate as f64));
    }
    // The other direction ends as well.
    for stream in [from, to] {
        let _ = stream.shutdown(Shutdown::Both);
    }
}
