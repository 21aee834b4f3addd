//! A whole session, as the host runs it, with a client that waits for the replies of each batch.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use dropin_host::session::Session;

use crate::{
    counted::counted,
    error::BoundaryError,
    fixture::{Fixture, NOP, of},
};

/// The reply to `nop`.
const OK: &[u8] = b"+OK\r\n";

/// Time after which a client gives up waiting for a reply.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Serves this many batches of this many requests. Returns the elapsed time.
pub fn batches(fixture: &Fixture, batches: u64, requests: u64) -> Result<Duration, BoundaryError> {
    let (handle, client) = fixture.connect()?;
    let (shared, registry) = (Arc::clone(&fixture.shared), Arc::clone(&fixture.registry));
    let mut session =
        Session::new(shared, registry, handle, false).map_err(of("start a session"))?;
    let size = usize::try_from(requests).unwrap_or(1);
    let asking = thread::spawn(move || ask(client, batches, size));
    let took = counted(|| {
        let started = Instant::now();
        session.run();
        started.elapsed()
    });
    match asking.join() {
        Ok(asked) => asked.map(|()| took).map_err(of("ask a session")),
        Err(_) => Err(BoundaryError::Host("ask a session", "the client's thread panicked".into())),
    }
}

fn ask(mut client: TcpStream, batches: u64, size: usize) -> io::Result<()> {
    client.set_read_timeout(Some(TIMEOUT))?;
    let (requests, expected) = (NOP.repeat(size), OK.repeat(size));
    let mut replies = vec![0; expected.len()];
    for _ in 0..batches {
        // One write, which the session receives by one read.
        client.write_all(&requests)?;
        client.read_exact(&mut replies)?;
        if replies != expected {
            return Err(io::Error::other("the reply is not OK"));
        }
    }
    Ok(())
}
