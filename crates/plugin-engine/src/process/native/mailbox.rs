//! A place in shared memory for one message in one direction.
//!
//! The writer fills an empty mailbox, the reader empties a full one, and each sleeps until the
//! other has done so. A message that is too long goes over the socket, and the mailbox tells the
//! reader to look there: so all messages stay in order.
//!
//! The other side is not trusted: every value that is read may be a lie, and is copied before it is
//! used. A side that changes the state for ever keeps the other busy for a bounded number of turns.

use std::{
    io,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use platform::shared_memory::{wait, wake};

/// The length of a mailbox, in words of 4 bytes.
pub const WORDS: usize = platform::MEMORY / 8;

/// The words before the message: the state and the length, on a cache line of their own.
const HEAD: usize = 16;

/// The longest message, in bytes.
pub const ROOM: usize = (WORDS - HEAD) * 4;

/// No message.
const EMPTY: u32 = 0;
/// A message is in the mailbox.
const HERE: u32 = 1;
/// A message is on the socket.
const SOCKET: u32 = 2;
const CONTENT: u32 = 3;
/// The reader sleeps.
const READER: u32 = 4;
/// The writer sleeps.
const WRITER: u32 = 8;
/// One side has gone.
const CLOSED: u32 = 16;

/// The most turns without a change that counts.
const TURNS: usize = 10_000;

/// One direction of a connection's shared memory.
pub struct Mailbox<'a> {
    words: &'a [AtomicU32],
}

/// The content of a mailbox.
#[derive(Debug, PartialEq, Eq)]
pub enum Content {
    /// Nothing, after the time was over.
    Nothing,
    /// A message, which was appended to the buffer.
    Message,
    /// A message is on the socket; call [`Mailbox::clear`] once it is received.
    OnSocket,
}

impl<'a> Mailbox<'a> {
    /// Returns the mailbox in these words, at least [`WORDS`].
    pub fn new(words: &'a [AtomicU32]) -> Self {
        Self { words }
    }

    /// Puts a message of at most [`ROOM`] bytes into the mailbox, or, with `None`, notes that one
    /// comes over the socket. Waits until the mailbox is empty; `keeps_waiting` is asked each
    /// `pause`.
    ///
    /// # Errors
    /// The other side has gone, or `keeps_waiting` returned false.
    pub fn put(
        &self,
        message: Option<&[u8]>,
        pause: Option<Duration>,
        keeps_waiting: &mut dyn FnMut() -> bool,
    ) -> io::Result<()> {
        let state = self.state();
        for _ in 0..TURNS {
            let seen = state.load(Ordering::Acquire);
            if seen & CLOSED != 0 {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            if seen & CONTENT != EMPTY {
                if state.fetch_or(WRITER, Ordering::SeqCst) & !WRITER == seen & !WRITER {
                    wait(state, seen | WRITER, pause);
                    if state.load(Ordering::Acquire) & CONTENT != EMPTY && !keeps_waiting() {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                }
                continue;
            }
            let content = match message {
                Some(message) => {
                    self.write(message);
                    HERE
                }
                None => SOCKET,
            };
            let full = content | (seen & WRITER);
            if state.compare_exchange(seen, full, Ordering::SeqCst, Ordering::Acquire).is_ok() {
                if seen & READER != 0 {
                    wake(state);
                }
                return Ok(());
            }
        }
        Err(restless())
    }

    /// Waits for a message, for at most this time, and appends it to `into`.
    ///
    /// # Errors
    /// The other side has gone, or has announced a message that is too long.
    pub fn take(&self, into: &mut Vec<u8>, time: Option<Duration>) -> io::Result<Content> {
        let state = self.state();
        let mut is_over = false;
        for _ in 0..TURNS {
            let seen = state.load(Ordering::Acquire);
            match seen & CONTENT {
                HERE => {
                    self.read(into)?;
                    self.clear()?;
                    return Ok(Content::Message);
                }
                SOCKET => return Ok(Content::OnSocket),
                EMPTY if seen & CLOSED != 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                EMPTY if is_over => return Ok(Content::Nothing),
                EMPTY => {
                    let sleeping = seen | READER;
                    let noted =
                        state.compare_exchange(seen, sleeping, Ordering::SeqCst, Ordering::Acquire);
                    if noted.is_ok() || seen == sleeping {
                        wait(state, sleeping, time);
                        is_over = time.is_some();
                    }
                }
                _ => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
        // Without a limit of time, signals may have woken it that often.
        if time.is_none() { Ok(Content::Nothing) } else { Err(restless()) }
    }

    /// Empties a full mailbox.
    ///
    /// # Errors
    /// The other side changes it for ever.
    pub fn clear(&self) -> io::Result<()> {
        let state = self.state();
        for _ in 0..TURNS {
            let seen = state.load(Ordering::Acquire);
            let empty = seen & CLOSED;
            if state.compare_exchange(seen, empty, Ordering::SeqCst, Ordering::Acquire).is_ok() {
                if seen & WRITER != 0 {
                    wake(state);
                }
                return Ok(());
            }
        }
        Err(restless())
    }

    /// Tells the other side, and whoever waits here, that this side has gone.
    pub fn close(&self) {
        self.state().fetch_or(CLOSED, Ordering::SeqCst);
        wake(self.state());
    }

    /// Waits for a message or for the end of the other side, for at most this time. Returns true
    /// if one of them is there.
    #[must_use]
    pub fn is_readable(&self, time: Duration) -> bool {
        let state = self.state();
        let is_there = || state.load(Ordering::Acquire) & (CONTENT | CLOSED) != 0;
        if is_there() || time.is_zero() {
            return is_there();
        }
        let seen = state.fetch_or(READER, Ordering::SeqCst) | READER;
        if seen & (CONTENT | CLOSED) == 0 {
            wait(state, seen, Some(time));
        }
        is_there()
    }

    fn state(&self) -> &'a AtomicU32 {
        &self.words[0]
    }

    fn write(&self, message: &[u8]) {
        let words = self.words[HEAD..WORDS].iter();
        for (word, bytes) in words.zip(message.chunks(4)) {
            let mut four = [0; 4];
            four[..bytes.len()].copy_from_slice(bytes);
            word.store(u32::from_ne_bytes(four), Ordering::Relaxed);
        }
        // Shorter than the mailbox.
        self.words[1].store(message.len().min(ROOM) as u32, Ordering::Relaxed);
    }

    fn read(&self, into: &mut Vec<u8>) -> io::Result<()> {
        let length = self.words[1].load(Ordering::Relaxed) as usize;
        if length > ROOM {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let before = into.len();
        into.reserve(length + 4);
        for word in self.words[HEAD..WORDS].iter().take(length.div_ceil(4)) {
            into.extend_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
        }
        into.truncate(before + length);
        Ok(())
    }
}

fn restless() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "shared memory that does not settle")
}

// Only Linux waits and wakes.
#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::thread;

    use super::*;

    fn memory() -> Vec<AtomicU32> {
        (0..WORDS).map(|_| AtomicU32::new(0)).collect()
    }

    fn taken(mailbox: &Mailbox<'_>) -> Vec<u8> {
        let mut into = b"before".to_vec();
        assert_eq!(mailbox.take(&mut into, Some(SHORT)).unwrap(), Content::Message);
        into.split_off(6)
    }

    const SHORT: Duration = Duration::from_millis(1);

    #[test]
    fn messages_of_every_length_arrive() {
        let memory = memory();
        let mailbox = Mailbox::new(&memory);
        for length in [0, 1, 3, 4, 5, ROOM - 1, ROOM] {
            let message: Vec<u8> = (0..length).map(|at| at as u8).collect();
            mailbox.put(Some(&message), None, &mut || false).unwrap();
            assert_eq!(taken(&mailbox), message);
        }
        assert_eq!(mailbox.take(&mut Vec::new(), Some(SHORT)).unwrap(), Content::Nothing);
    }

    #[test]
    fn full_mailbox_makes_its_writer_wait() {
        let memory = memory();
        let mailbox = Mailbox::new(&memory);
        mailbox.put(Some(b"one"), None, &mut || false).unwrap();
        let mut asked = 0;
        let refused = mailbox.put(Some(b"two"), Some(SHORT), &mut || {
            asked += 1;
            asked < 3
        });
        assert_eq!((refused.unwrap_err().kind(), asked), (io::ErrorKind::TimedOut, 3));
        assert_eq!(taken(&mailbox), b"one");
        mailbox.put(None, None, &mut || false).unwrap();
        assert_eq!(mailbox.take(&mut Vec::new(), None).unwrap(), Content::OnSocket);
        mailbox.clear().unwrap();
        assert!(!mailbox.is_readable(SHORT));
    }

    #[test]
    fn two_threads_exchange_messages_in_order() {
        let memory = memory();
        let (writer, reader) = (Mailbox::new(&memory), Mailbox::new(&memory));
        thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0_u32..20_000 {
                    writer.put(Some(&number.to_le_bytes()), None, &mut || true).unwrap();
                }
                writer.close();
            });
            let mut into = Vec::new();
            for number in 0_u32..20_000 {
                into.clear();
                while reader.take(&mut into, None).unwrap() == Content::Nothing {}
                assert_eq!(into, number.to_le_bytes());
            }
            let error = reader.take(&mut into, None).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        });
    }

    #[test]
    fn closing_wakes_a_sleeper() {
        let memory = memory();
        let mailbox = Mailbox::new(&memory);
        thread::scope(|scope| {
            let sleeper = scope.spawn(|| Mailbox::new(&memory).take(&mut Vec::new(), None));
            while memory[0].load(Ordering::SeqCst) & READER == 0 {
                thread::yield_now();
            }
            mailbox.close();
            assert!(sleeper.join().unwrap().is_err());
        });
        assert!(mailbox.is_readable(Duration::ZERO));
        assert!(mailbox.put(Some(b""), None, &mut || true).is_err());
    }

    #[test]
    fn lies_of_the_other_side_are_refused() {
        let memory = memory();
        let mailbox = Mailbox::new(&memory);
        memory[0].store(HERE, Ordering::SeqCst);
        memory[1].store(u32::MAX, Ordering::SeqCst);
        let error = mailbox.take(&mut Vec::new(), Some(SHORT)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        memory[0].store(3, Ordering::SeqCst);
        let error = mailbox.take(&mut Vec::new(), Some(SHORT)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
