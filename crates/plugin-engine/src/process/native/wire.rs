//! Sends and receives messages over a connection between the host and a worker process.
//!
//! A message is its payload's length (4 bytes, little endian), its kind (1 byte) and its payload.
//! Short messages go through mailboxes in shared memory, where the system has it, and long ones
//! over the socket. Each side keeps one buffer a direction.

use std::{
    io::{self, Read, Write},
    sync::Arc,
    time::{Duration, Instant},
};

use platform::{Connection, shared_memory::SharedMemory};

use super::mailbox::{self, Content, Mailbox, WORDS};

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
    /// Mailboxes for short messages, where the system has shared memory.
    memory: Option<Memory>,
    timeout: Option<Duration>,
    /// Received bytes: those between `start` and `end` are not consumed.
    input: Vec<u8>,
    start: usize,
    end: usize,
    output: Vec<u8>,
}

/// The shared memory of a connection: a mailbox in each direction.
#[derive(Debug)]
struct Memory {
    memory: Arc<SharedMemory>,
    side: Side,
}

/// The side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The host's.
    Host,
    /// The worker process's.
    Worker,
}

impl Memory {
    fn mailbox(&self, of: Side) -> Mailbox<'_> {
        let words = self.memory.words();
        Mailbox::new(match of {
            Side::Host => &words[..WORDS],
            Side::Worker => &words[WORDS..],
        })
    }

    /// Returns the mailbox that this side fills.
    fn outgoing(&self) -> Mailbox<'_> {
        self.mailbox(self.side)
    }

    /// Returns the mailbox that the other side fills.
    fn incoming(&self) -> Mailbox<'_> {
        self.mailbox(match self.side {
            Side::Host => Side::Worker,
            Side::Worker => Side::Host,
        })
    }
}

/// Wakes whoever waits for a connection's shared memory: the other side has ended.
pub fn close(memory: &SharedMemory) {
    memory.words().chunks_exact(WORDS).for_each(|words| Mailbox::new(words).close());
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
    /// Makes one side of a new connection. Without a timeout it waits as long as it takes.
    ///
    /// # Errors
    /// The system refuses the timeout.
    pub fn new(
        (stream, memory): (Connection, Option<Arc<SharedMemory>>),
        side: Side,
        timeout: Option<Duration>,
    ) -> io::Result<Self> {
        // macOS refuses even to remove it from a socket whose peer has gone.
        if timeout.is_some() {
            stream.set_read_timeout(timeout)?;
            stream.set_write_timeout(timeout)?;
        }
        let memory = memory.map(|memory| Memory { memory, side });
        let (input, output) = (vec![0; ROOM], Vec::new());
        Ok(Self { stream, memory, timeout, input, start: 0, end: 0, output })
    }

    /// Sends a message whose payload `fill` appends. `keeps_waiting` is asked each time that the
    /// timeout is over.
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
        if let Some(memory) = &self.memory {
            let mailbox = memory.outgoing();
            if self.output.len() <= mailbox::ROOM {
                return mailbox.put(Some(&self.output), self.timeout, keeps_waiting);
            }
            mailbox.put(None, self.timeout, keeps_waiting)?;
        }
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
        let mut is_on_socket = self.memory.is_none();
        let (begun, mut is_late) = (Instant::now(), false);
        if let Some(memory) = self.memory.as_ref()
            && self.start == self.end
        {
            if self.input.capacity() > KEPT {
                self.input = Vec::new();
            }
            self.input.clear();
            match memory.incoming().take(&mut self.input, self.timeout)? {
                Content::Nothing => return Ok(Received::Nothing),
                Content::Message => (self.start, self.end) = (0, self.input.len()),
                Content::OnSocket => {
                    (self.start, self.end, is_on_socket) = (0, 0, true);
                }
            }
        } else if self.memory.is_some() {
            // The rest of a message that comes over the socket.
            is_on_socket = true;
        }
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
            if is_late {
                return Ok(Received::Nothing);
            }
            if !is_on_socket {
                let problem = "a part of a message".to_owned();
                return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
            }
            self.make_room(wanted);
            // A message is followed by others only where there is no mailbox to order them.
            let end = if self.memory.is_some() { self.start + wanted } else { self.input.len() };
            let end = end.min(self.input.len());
            match self.stream.read(&mut self.input[self.end..end]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    self.end += read;
                    // A message that comes in drops must not keep its receiver from its watch.
                    if self.timeout.is_some_and(|timeout| begun.elapsed() >= timeout) {
                        is_late = true;
                    }
                }
                Err(error) if is_pause(&error) => return Ok(Received::Nothing),
                Err(error) => return Err(error),
            }
        }
        if is_on_socket && let Some(memory) = &self.memory {
            memory.incoming().clear()?;
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
        if let Some(memory) = &self.memory {
            return memory.incoming().is_readable(time);
        }
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
            let grown = wanted.min((self.input.len() * 2).max(ROOM));
            self.input.resize(grown.max(self.end + 1), 0);
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Some(memory) = &self.memory {
            close(&memory.memory);
        }
    }
}

fn is_pause(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(error.kind(), Kind::WouldBlock | Kind::TimedOut | Kind::Interrupted)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::{os::unix::net::UnixStream, thread};

    use super::*;

    fn pair(timeout: Option<Duration>) -> (Wire, Wire) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let ours = Wire::new((ours, None), Side::Host, timeout);
        (ours.unwrap(), Wire::new((theirs, None), Side::Worker, None).unwrap())
    }

    #[cfg(target_os = "linux")]
    fn sharing_pair(timeout: Option<Duration>) -> (Wire, Wire) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (memory, file) = SharedMemory::make(platform::MEMORY).unwrap();
        let mapped = SharedMemory::open(file, platform::MEMORY).unwrap();
        let ours = Wire::new((ours, Some(Arc::new(memory))), Side::Host, timeout);
        let theirs = Wire::new((theirs, Some(Arc::new(mapped))), Side::Worker, None);
        (ours.unwrap(), theirs.unwrap())
    }

    fn received(wire: &mut Wire, most: usize) -> (u8, Vec<u8>) {
        match wire.receive(most).unwrap() {
            Received::Message(kind, payload) => (kind, payload.to_vec()),
            Received::Nothing => panic!("nothing was received"),
        }
    }

    fn exchange((mut ours, mut theirs): (Wire, Wire)) {
        let lengths = [0, 1, ROOM - HEADER, ROOM, ROOM + 1, 3 * KEPT, 5, mailbox::ROOM, 0, KEPT, 1];
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
        assert!(theirs.input.capacity() <= 2 * KEPT && ours.output.capacity() <= KEPT);
        drop(theirs);
        assert!(ours.is_readable(Duration::from_secs(60)));
        assert_eq!(ours.receive(1).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn messages_of_every_length_arrive_in_order() {
        exchange(pair(None));
        #[cfg(target_os = "linux")]
        exchange(sharing_pair(None));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn part_of_a_message_in_memory_is_refused() {
        let (ours, mut theirs) = sharing_pair(None);
        let memory = ours.memory.as_ref().unwrap();
        memory.outgoing().put(Some(&[9, 0, 0, 0, 1, 7]), None, &mut || true).unwrap();
        assert_eq!(theirs.receive(99).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn sharing_side_notices_the_end_of_time() {
        let (mut ours, theirs) = sharing_pair(Some(Duration::from_millis(1)));
        assert!(matches!(ours.receive(1), Ok(Received::Nothing)));
        assert!(!ours.is_readable(Duration::ZERO));
        close(&theirs.memory.as_ref().unwrap().memory);
        assert!(ours.receive(1).is_err());
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
