//! Hostile clients. Each kind runs until it is asked to stop.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Duration of the flood; the rate below limits its connections per second.
const FLOOD: Duration = Duration::from_secs(10);
const RATE: f64 = 10_000.0;
const FLOODERS: u32 = 16;

/// Pause between two parts of the flood, and between two actions of a slow client.
const TICK: Duration = Duration::from_millis(10);
const SLOW: Duration = Duration::from_secs(1);

/// Number of clients of each kind.
const EACH: usize = 10;

/// The target of the hostile clients, and the flag that stops them.
#[derive(Clone)]
pub struct Attackers {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
}

/// All kinds except the flood.
pub const KINDS: [fn(Attackers) -> usize; 6] =
    [slow_writers, silent, never_readers, resetters, garbage_senders, oversized];

impl Attackers {
    pub fn new(address: SocketAddr, stop: &Arc<AtomicBool>) -> Self {
        Self { address, stop: Arc::clone(stop) }
    }

    fn is_running(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn connect(&self) -> Option<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(2)).ok()?;
        stream.set_write_timeout(Some(Duration::from_millis(200))).ok()?;
        stream.set_read_timeout(Some(Duration::from_millis(200))).ok()?;
        Some(stream)
    }

    /// Runs several clients, each of which connects again when it is disconnected.
    fn run_each(
        &self,
        mut act: impl FnMut(&mut TcpStream, usize) -> bool,
        pause: Duration,
    ) -> usize {
        let mut streams: Vec<Option<TcpStream>> = (0..EACH).map(|_| None).collect();
        let mut turns = 0;
        while self.is_running() {
            for place in &mut streams {
                let Some(stream) = place else {
                    *place = self.connect();
                    continue;
                };
                turns += 1;
                if !act(stream, turns) {
                    *place = None;
                }
            }
            thread::park_timeout(pause);
        }
        turns
    }
}

/// Sends a byte a second, of commands, of RESP and of TLS.
fn slow_writers(attackers: Attackers) -> usize {
    let texts = [&b"ping one two three four five"[..], b"*2\r\n$4\r\nping\r\n$9999\r\nabcdefgh"];
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and so on and on";
    attackers.run_each(
        |stream, turn| {
            let text = [texts[0], texts[1], hello][turn % 3];
            stream.write_all(&text[turn / EACH % text.len()..][..1]).is_ok()
        },
        SLOW,
    )
}

/// Connects and sends nothing.
fn silent(attackers: Attackers) -> usize {
    attackers.run_each(|stream, _| stream.read(&mut [0; 512]).is_ok_and(|read| read > 0), SLOW)
}

/// Requests much and reads nothing.
fn never_readers(attackers: Attackers) -> usize {
    let requests = b"ping\r\n".repeat(1_000);
    attackers.run_each(|stream, _| stream.write_all(&requests).is_ok(), TICK)
}

/// Resets connections in the middle of a request.
fn resetters(attackers: Attackers) -> usize {
    let beginnings =
        [&b""[..], b"pin", b"*1\r\n$4\r\npi", b"ping\r\nping", b"\x16\x03\x01\x02\x00\x01", b"\n"];
    let mut turns = 0;
    while attackers.is_running() {
        let Some(mut stream) = attackers.connect() else { continue };
        // A client that was already disconnected has nothing left to do.
        let _ = stream.write_all(beginnings[turns % beginnings.len()]);
        reset(&stream);
        turns += 1;
        thread::park_timeout(TICK);
    }
    turns
}

/// Sends bytes of no protocol, or begins TLS with garbage.
fn garbage_senders(attackers: Attackers) -> usize {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random.to_le_bytes()
    };
    attackers.run_each(
        |stream, turn| {
            let mut bytes: Vec<u8> = (0..64).flat_map(|_| next()).collect();
            if turn % 2 == 0 {
                bytes.splice(..0, *b"\x16\x03\x01\x01\xfc");
            }
            stream.write_all(&bytes).is_ok()
        },
        TICK,
    )
}

/// Announces, or sends, more than the limits allow.
fn oversized(attackers: Attackers) -> usize {
    let line = vec![b'x'; 4 << 20];
    let many = [b"*1000000\r\n".to_vec(), b"$1\r\nx\r\n".repeat(100_000)].concat();
    let requests = [
        &b"*2147483647\r\n"[..],
        b"*2\r\n$4\r\nping\r\n$99999999999999999999\r\n",
        b"*-9223372036854775808\r\n",
        b"*1\r\n$536870912\r\n",
        &line,
        &many,
    ];
    attackers.run_each(
        |stream, turn| {
            stream.write_all(requests[turn % requests.len()]).is_ok()
                && stream.read(&mut [0; 512]).is_ok_and(|read| read > 0)
        },
        TICK,
    )
}

/// Opens as many connections as possible, up to the rate, and resets each at once. Returns their
/// number.
pub fn flood(attackers: Attackers) -> u32 {
    thread::scope(|scope| {
        let flooders: Vec<_> =
            (0..FLOODERS).map(|_| scope.spawn(|| send_flood(&attackers))).collect();
        flooders
            .into_iter()
            .map(|flooder| flooder.join().expect("a flooder fails at nothing"))
            .sum()
    })
}

fn send_flood(attackers: &Attackers) -> u32 {
    let (started, mut tried, mut made) = (Instant::now(), 0, 0);
    while attackers.is_running() && started.elapsed() < FLOOD {
        let due = (started.elapsed().as_secs_f64() * RATE / f64::from(FLOODERS)) as u32;
        while tried < due && started.elapsed() < FLOOD {
            if let Some(stream) = attackers.connect() {
                reset(&stream);
                made += 1;
            }
            tried += 1;
        }
        thread::park_timeout(TICK);
    }
    made
}

/// Resets the connection when it drops, which also frees its port at once.
fn reset(stream: &TcpStream) {
    let linger = Some(Duration::ZERO);
    socket2::SockRef::from(stream).set_linger(linger).expect("a socket can linger");
}
