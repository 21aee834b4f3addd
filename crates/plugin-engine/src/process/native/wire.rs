//! Sends and receives messages over a connection between the host and a worker process.
//!
//! A message is its payload's length (4 bytes, little endian), its kind (1 byte) and its payload.
//! Each side keeps one buffer a direction, so that a message costs one write and usually one read.

use std::{
    io::{self, Read, Write},
    time::Duration,
};

use platform::Connection;

/// The length of a message's header, in bytes.
const HEADER: usize = 5;

/// The room for input that a connection keeps, in bytes.
const ROOM: usize = 8 << 10;

/// The largest buffer that a connection keeps between messages, in bytes.
const KEPT: usize = 256 << 10;

/// One side of a connection.
#[derive(Debug)]
pub struct Wire {
    stream: Connection,
    /// Received bytes: those between `start` and `end` are not consumed.
    input: Vec<u8>,
    start: usize,
    end: usize,
    output: Vec<u8>,
}

/// The result of waiting for a message.
#[derive(Debug)]
pub enum Received<'a> {
    /// A message.
    Message(u8, &'a [u8]),
    /// The stream's read timeout is over, or a signal interrupted it.
    Nothing,
}

impl Wire {
    /// Makes one side of a connection. Without a timeout it waits as long as it takes.
    ///
    /// # Errors
    /// The system refuses the timeout.
    pub fn new(stream: Connection, timeout: Option<Duration>) -> io::Result<Self> {
        stream.set_read_timeout(timeout)?;
        stream.set_write_timeout(timeout)?;
        Ok(Self { stream, input: vec![0; ROOM], start: 0, end: 0, output: Vec::new() })
    }

    /// Sends a message whose payload `fill` appends. `keeps_waiting` is asked each time that the
    /// stream's write timeout is over.
    ///
    /// # Errors
    /// The other side has gone, the payload is longer than 4 GiB, or `keeps_waiting` returned
    /// false.
    pub fn send(
        &mut self,
        kind: u8,
        fill: impl FnOnce(&mut Vec<u8>),
        keeps_waiting: &mut dyn FnMut() -> bool,
    ) -> io::Result<()> {
        self.output.clear();
        self.output.extend_from_slice(&[0, 0, 0, 0, kind]);
        fill(&mut self.output);
        let length = u32::try_from(self.output.len() - HEADER).map_err(io::Error::other)?;
        self.output[..4].copy_from_slice(&length.to_le_bytes());
        let mut rest = self.output.as_slice();
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if is_pause(&error) => {
                    if !keeps_waiting() {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        if self.output.capacity() > KEPT {
            self.output = Vec::new();
        }
        Ok(())
    }

    /// Waits for a message with a payload of at most `most` bytes.
    ///
    /// # Errors
    /// The other side has gone, or announces a longer message.
    pub fn receive(&mut self, most: usize) -> io::Result<Received<'_>> {
        loop {
            let (found, wanted) = match self.header() {
                Some((length, _)) if length > most => {
                    let problem = format!("a message of {length} bytes, more than {most}");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
                }
                Some((length, _)) => (self.end - self.start >= HEADER + length, HEADER + length),
                None => (false, HEADER),
            };
            if found {
                break;
            }
            self.make_room(wanted);
            match self.stream.read(&mut self.input[self.end..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => self.end += read,
                Err(error) if is_pause(&error) => return Ok(Received::Nothing),
                Err(error) => return Err(error),
            }
        }
        let (length, kind) = self.header().unwrap_or_default();
        let from = self.start + HEADER;
        self.start = from + length;
        Ok(Received::Message(kind, &self.input[from..from + length]))
    }

    /// Returns true if a message, or the end of the other side, can be received within this time.
    #[must_use]
    pub fn is_readable(&self, time: Duration) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let time = Timespec::try_from(time).ok();
        let mut polled = [PollFd::new(&self.stream, PollFlags::IN)];
        self.start < self.end || poll(&mut polled, time.as_ref()).is_ok_and(|ready| ready > 0)
    }

    fn header(&self) -> Option<(usize, u8)> {
        let header = self.input.get(self.start..self.end)?.first_chunk::<HEADER>()?;
        let [a, b, c, d, kind] = *header;
        Some((u32::from_le_bytes([a, b, c, d]) as usize, kind))
    }

    /// Makes room for a message of `wanted` bytes at the start of the buffer.
    fn make_room(&mut self, wanted: usize) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.input.len() > KEPT && wanted <= ROOM {
                self.input = vec![0; ROOM];
            }
        }
        if self.input.len() - self.start < wanted {
            self.input.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.input.len() < wanted {
            // Not at once to the announced length, which may be a lie.
            let grown = wanted.min(self.input.len() * 2);
            self.input.resize(grown.max(self.end + 1), 0);
        }
    }
}

fn is_pause(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(error.kind(), Kind::WouldBlock | Kind::TimedOut | Kind::Interrupted)
}

#[cfg(all(test, unix))]
mod tests {
    use std::{os::unix::net::UnixStream, thread};

    use super::*;

    fn pair(timeout: Option<Duration>) -> (Wire, Wire) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Wire::new(ours, timeout).unwrap(), Wire::new(theirs, None).unwrap())
    }

    fn received(wire: &mut Wire, most: usize) -> (u8, Vec<u8>) {
        match wire.receive(most).unwrap() {
            Received::Message(kind, payload) => (kind, payload.to_vec()),
            Received::Nothing => panic!("nothing was received"),
        }
    }

    #[test]
    fn messages_of_every_length_arrive_in_order() {
        let (mut ours, mut theirs) = pair(None);
        let lengths = [0, 1, ROOM - HEADER, ROOM, ROOM + 1, 3 * KEPT, 5, 0];
        thread::scope(|scope| {
            scope.spawn(|| {
                for (kind, length) in (0..).zip(lengths) {
                    let fill = |out: &mut Vec<u8>| out.extend(std::iter::repeat_n(kind, length));
                    ours.send(kind, fill, &mut || true).unwrap();
                }
            });
            for (kind, length) in (0..).zip(lengths) {
                let (found, payload) = received(&mut theirs, 4 * KEPT);
                assert_eq!((found, payload.len()), (kind, length));
                assert!(payload.iter().all(|byte| *byte == kind));
            }
        });
        assert!(theirs.input.len() <= KEPT && ours.output.capacity() <= KEPT);
    }

    #[test]
    fn too_long_message_is_an_error() {
        let (mut ours, mut theirs) = pair(None);
        ours.send(1, |out| out.extend_from_slice(&[0; 11]), &mut || true).unwrap();
        let error = theirs.receive(10).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn announced_length_takes_no_memory() {
        let (mut ours, mut theirs) = pair(None);
        (&ours.stream).write_all(&[255, 255, 255, 127, 1, 7]).unwrap();
        theirs.stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        assert!(matches!(theirs.receive(usize::MAX), Ok(Received::Nothing)));
        assert!(theirs.input.len() <= 2 * ROOM, "{}", theirs.input.len());
        ours.output.clear();
    }

    #[test]
    fn full_connection_asks_whether_to_wait() {
        let (mut ours, _theirs) = pair(Some(Duration::from_millis(1)));
        let mut asked = 0;
        let sent = ours.send(1, |out| out.resize(64 << 20, 0), &mut || {
            asked += 1;
            asked < 3
        });
        assert!(sent.is_err());
        assert_eq!(asked, 3);
    }

    #[test]
    fn end_of_other_side_is_an_error() {
        let (mut ours, theirs) = pair(None);
        drop(theirs);
        assert!(ours.is_readable(Duration::ZERO));
        assert_eq!(ours.receive(1).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
