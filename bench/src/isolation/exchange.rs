//! An exchange of the same request and reply, repeated over a connection.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::{
    error::{BenchError, failed},
    isolation::Times,
    server::request,
};

/// Time limit of a connection or a reply.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A request and its reply, over a connection.
pub struct Exchange<W, R> {
    /// Takes the requests.
    pub to: W,
    /// Gives the replies.
    pub from: R,
    request: Vec<u8>,
    expected: Vec<u8>,
    reply: Vec<u8>,
    batch: usize,
}

impl Exchange<TcpStream, TcpStream> {
    /// Connects to a server, for the command and a text of this size.
    pub fn with_server(
        address: SocketAddr,
        command: &str,
        bytes: usize,
    ) -> Result<Self, BenchError> {
        let failure = || failed("connect to", "a server");
        let to = TcpStream::connect_timeout(&address, TIMEOUT).map_err(failure())?;
        to.set_read_timeout(Some(TIMEOUT)).map_err(failure())?;
        to.set_nodelay(true).map_err(failure())?;
        let from = to.try_clone().map_err(failure())?;
        let text = "x".repeat(bytes);
        let expected = format!("${bytes}\r\n{text}\r\n").into_bytes();
        Ok(Self::new(to, from, &request(&[command.to_owned(), text]), &expected, 1))
    }
}

impl<W: Write, R: Read> Exchange<W, R> {
    /// Returns an exchange of so many requests at once.
    pub fn new(to: W, from: R, request: &[u8], expected: &[u8], batch: usize) -> Self {
        let (request, expected) = (request.repeat(batch), expected.repeat(batch));
        let reply = vec![0; expected.len()];
        Self { to, from, request, expected, reply, batch }
    }

    /// Repeats it for this time, and at least once.
    pub fn repeat(&mut self, duration: Duration) -> Result<Times, BenchError> {
        Times::of(self.batch, duration, || self.once())
    }

    fn once(&mut self) -> Result<(), BenchError> {
        self.to.write_all(&self.request).map_err(failed("ask", "a server"))?;
        let mut filled = 0;
        while filled < self.reply.len() {
            let read = self.from.read(&mut self.reply[filled..]);
            let count = read.map_err(failed("hear from", "a server"))?;
            filled += count;
            // A shorter reply, as an error is, would be waited for in vain.
            if count == 0 || self.reply[..filled] != self.expected[..filled] {
                let reply = String::from_utf8_lossy(&self.reply[..filled]).into_owned();
                return Err(BenchError::Program(format!("unexpected reply: '{reply}'")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_reply_is_an_error() {
        let right = b"$1\r\nx\r\n$1\r\nx\r\n";
        let mut exchange = Exchange::new(Vec::new(), &right[..], b"ask", b"$1\r\nx\r\n", 2);
        let times = exchange.repeat(Duration::ZERO).unwrap();
        assert_eq!((times.calls.len(), times.weight), (1, 2));
        assert_eq!(exchange.to, b"askask");
        for wrong in [&b"-ERR\r\n"[..], b"$1\r\n", b""] {
            let mut exchange = Exchange::new(Vec::new(), wrong, b"ask", b"$1\r\nx\r\n", 1);
            assert!(exchange.repeat(Duration::ZERO).is_err(), "{wrong:?}");
        }
    }
}
