//! The cost of idle sessions: many clients connect, send one command each, and stay.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{
    error::{BenchError, failed},
    plan::{Ask, Contestant},
    process,
    program::check_interrupted,
    server::{Server, request},
};

/// Time limit of a connection or a reply.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The kernel's memory for a registration with epoll on 64-bit systems, in bytes: an `epitem` of
/// 128 and an `eppoll_entry` of 72.
pub const EPOLL_BYTES: usize = 200;

/// The cost of idle sessions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Idle {
    /// The server.
    pub contestant: Contestant,
    /// Number of sessions.
    pub sessions: usize,
    /// The server's memory per session, in KiB.
    pub memory: f64,
    /// The kernel's memory per session, for stacks of threads, page tables and registrations with
    /// epoll, in KiB.
    pub kernel: f64,
    /// The server's threads.
    pub threads: u64,
    /// Time from the first connection to the last reply, per session, in microseconds.
    pub coming: f64,
    /// Number of sessions that failed.
    pub failed: usize,
}

/// Memory of a server and of the kernel, in KiB.
struct Memory {
    server: f64,
    kernel: f64,
}

impl Memory {
    fn of(server: &Server) -> Result<Self, BenchError> {
        let id = server.id();
        let epoll = process::epoll_registrations(id)? * EPOLL_BYTES;
        Ok(Self {
            server: process::proportional_memory(id)? as f64,
            kernel: process::kernel_memory()? as f64 + epoll as f64 / 1024.0,
        })
    }
}

/// Connects this many clients to a new server, and measures their cost.
pub fn measure(
    contestant: Contestant,
    server: &Server,
    sessions: usize,
) -> Result<Idle, BenchError> {
    let ask = request(&contestant.command(Ask::Nop));
    let before = Memory::of(server)?;
    let started = Instant::now();
    let (mut clients, mut failures) = (Vec::with_capacity(sessions), 0);
    for _ in 0..sessions {
        check_interrupted()?;
        match connect(server, &ask) {
            Ok(client) => clients.push(client),
            Err(_) => failures += 1,
        }
    }
    let took = started.elapsed().as_secs_f64();
    let after = Memory::of(server)?;
    // All of them still exist.
    failures += clients.iter_mut().filter_map(|client| send_command(client, &ask).err()).count();
    let threads = process::size(server.id()).threads;
    let each = |before: f64, after: f64| (after - before) / sessions as f64;
    Ok(Idle {
        contestant,
        sessions,
        memory: each(before.server, after.server),
        kernel: each(before.kernel, after.kernel),
        threads,
        coming: took * 1e6 / sessions as f64,
        failed: failures,
    })
}

fn connect(server: &Server, ask: &[u8]) -> Result<TcpStream, BenchError> {
    let client = TcpStream::connect_timeout(&server.address, TIMEOUT);
    let mut client = client.map_err(failed("connect to", "a server"))?;
    begin(&mut client, ask)?;
    Ok(client)
}

/// Has a new client send its first command.
pub fn begin(client: &mut TcpStream, ask: &[u8]) -> Result<(), BenchError> {
    let failure = || failed("connect to", "a server");
    client.set_read_timeout(Some(TIMEOUT)).map_err(failure())?;
    client.set_nodelay(true).map_err(failure())?;
    send_command(client, ask)
}

/// Sends a command and reads its reply, which must be OK.
pub fn send_command(client: &mut TcpStream, ask: &[u8]) -> Result<(), BenchError> {
    let mut reply = [0; 5];
    client.write_all(ask).map_err(failed("ask", "a server"))?;
    client.read_exact(&mut reply).map_err(failed("hear from", "a server"))?;
    match &reply {
        b"+OK\r\n" => Ok(()),
        _ => Err(BenchError::Program("the reply is not OK".into())),
    }
}
