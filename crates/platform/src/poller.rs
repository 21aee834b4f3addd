//! Waits for many connections at once.
//!
//! On Linux this is epoll itself: `polling` sets a timer and resets its notification with system
//! calls of their own for each wait, which a server with few clients at a time pays for each
//! request.

use std::{io, net::TcpStream, time::Duration};

use super::{
    interruptible_reader::InterruptibleReader,
    waker::{WakeReceiver, Waker},
};

/// The number of connections that one wait returns at most.
const AT_ONCE: usize = 64;

/// The key of the poller's own waker. `polling` keeps the largest one for itself.
const WAKE: usize = usize::MAX - 1;

/// Waits for many connections at once. A connection is reported as long as it has input or has
/// ended (level-triggered), by the key under which it was added.
#[derive(Debug)]
pub struct Poller {
    queue: queue::Queue,
    waker: Waker,
    woken: WakeReceiver,
}

/// The keys that a wait has returned.
pub struct Ready(Vec<queue::Event>);

impl Default for Ready {
    fn default() -> Self {
        Self(Vec::with_capacity(AT_ONCE))
    }
}

impl Ready {
    /// Returns the keys of what is ready. One with a waker may be there twice.
    pub fn keys(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().map(queue::key).filter(|key| *key != WAKE)
    }

    /// Returns how many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns true if the wait has ended without one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Poller {
    /// Makes a poller of nothing.
    ///
    /// # Errors
    /// The system has no descriptors left.
    pub fn new() -> io::Result<Self> {
        let (waker, woken) = Waker::new()?;
        let queue = queue::Queue::new()?;
        queue.add(woken.source(), WAKE)?;
        Ok(Self { queue, waker, woken })
    }

    /// Adds a connection, whose input or end is reported by this key. It must be removed before it
    /// is closed.
    ///
    /// # Errors
    /// The connection is there already, or the system has no memory left.
    pub fn add(
        &self,
        stream: &TcpStream,
        reader: &InterruptibleReader,
        key: usize,
    ) -> io::Result<()> {
        self.queue.add(stream, key)?;
        // Elsewhere the end of a reader is an end of the connection.
        #[cfg(windows)]
        if let Some(receiver) = reader.wake_receiver()
            && let Err(error) = self.queue.add(receiver.source(), key)
        {
            self.queue.remove(stream);
            return Err(error);
        }
        let _ = reader;
        Ok(())
    }

    /// Removes a connection. It is reported no more by a wait that begins later.
    pub fn remove(&self, stream: &TcpStream, reader: &InterruptibleReader) {
        self.queue.remove(stream);
        #[cfg(windows)]
        if let Some(receiver) = reader.wake_receiver() {
            self.queue.remove(receiver.source());
        }
        let _ = reader;
    }

    /// Adds a waker, whose use is reported by this key until it is cleared.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn add_waker(&self, receiver: &WakeReceiver, key: usize) -> io::Result<()> {
        self.queue.add(receiver.source(), key)
    }

    /// Removes a waker.
    pub fn remove_waker(&self, receiver: &WakeReceiver) {
        self.queue.remove(receiver.source());
    }

    /// Waits until something is ready, until [`wake`](Self::wake), or for this time.
    ///
    /// # Errors
    /// The system refuses to wait; this is not expected.
    pub fn wait(&self, ready: &mut Ready, time: Option<Duration>) -> io::Result<()> {
        ready.0.clear();
        self.queue.wait(&mut ready.0, time)?;
        if ready.0.iter().any(|event| queue::key(event) == WAKE) {
            self.woken.clear();
        }
        Ok(())
    }

    /// Ends the present wait, or else the next one.
    pub fn wake(&self) {
        self.waker.wake();
    }
}

#[cfg(target_os = "linux")]
mod queue {
    use std::{
        io,
        os::fd::{AsFd, OwnedFd},
        time::Duration,
    };

    use rustix::{
        buffer::spare_capacity,
        event::{Timespec, epoll},
        io::Errno,
    };

    pub(super) use epoll::Event;

    #[derive(Debug)]
    pub(super) struct Queue(OwnedFd);

    pub(super) fn key(event: &Event) -> usize {
        // Keys were made from a `usize`.
        event.data.u64() as usize
    }

    impl Queue {
        pub(super) fn new() -> io::Result<Self> {
            Ok(Self(epoll::create(epoll::CreateFlags::CLOEXEC)?))
        }

        pub(super) fn add(&self, source: impl AsFd, key: usize) -> io::Result<()> {
            let data = epoll::EventData::new_u64(key as u64);
            let events = epoll::EventFlags::IN | epoll::EventFlags::RDHUP;
            Ok(epoll::add(&self.0, source, data, events)?)
        }

        pub(super) fn remove(&self, source: impl AsFd) {
            // A failure means that it is not there.
            let _ = epoll::delete(&self.0, source);
        }

        pub(super) fn wait(
            &self,
            ready: &mut Vec<Event>,
            time: Option<Duration>,
        ) -> io::Result<()> {
            // The system counts in milliseconds: a wait must not end before its time.
            let time = time.map(|time| time + Duration::from_micros(999));
            let time = time.and_then(|time| Timespec::try_from(time).ok());
            match epoll::wait(&self.0, spare_capacity(ready), time.as_ref()) {
                Ok(_) | Err(Errno::INTR) => Ok(()),
                Err(error) => Err(error.into()),
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod queue {
    use std::{io, time::Duration};

    use polling::{AsRawSource, AsSource, Events, PollMode, Poller};

    pub(super) use polling::Event;

    pub(super) struct Queue {
        poller: Poller,
        /// The events of the last wait; there is one wait at a time.
        events: std::sync::Mutex<Events>,
    }

    impl std::fmt::Debug for Queue {
        fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            self.poller.fmt(out)
        }
    }

    pub(super) fn key(event: &Event) -> usize {
        event.key
    }

    impl Queue {
        pub(super) fn new() -> io::Result<Self> {
            let events = Events::with_capacity(
                std::num::NonZeroUsize::new(super::AT_ONCE).unwrap_or(std::num::NonZeroUsize::MIN),
            );
            Ok(Self { poller: Poller::new()?, events: events.into() })
        }

        #[allow(unsafe_code)]
        pub(super) fn add(&self, source: impl AsRawSource, key: usize) -> io::Result<()> {
            let event = Event::readable(key);
            // SAFETY: each source is removed before it is closed, see `Poller::add`; those of the
            // poller's own waker are closed after the queue.
            unsafe { self.poller.add_with_mode(source, event, PollMode::Level) }
        }

        pub(super) fn remove(&self, source: impl AsSource) {
            // A failure means that it is not there.
            let _ = self.poller.delete(source);
        }

        pub(super) fn wait(
            &self,
            ready: &mut Vec<Event>,
            time: Option<Duration>,
        ) -> io::Result<()> {
            let mut events = self.events.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            events.clear();
            self.poller.wait(&mut events, time)?;
            ready.extend(events.iter());
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        net::{TcpListener, TcpStream},
    };

    use super::*;

    const LONG: Option<Duration> = Some(Duration::from_secs(60));

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    fn wait(poller: &Poller, time: Option<Duration>) -> Vec<usize> {
        let mut ready = Ready::default();
        poller.wait(&mut ready, time).unwrap();
        ready.keys().collect()
    }

    #[test]
    fn input_is_reported_until_removal() {
        let (poller, reader) = (Poller::new().unwrap(), InterruptibleReader::new());
        let (mut client, stream) = pair();
        poller.add(&stream, &reader, 7).unwrap();
        assert!(wait(&poller, Some(Duration::ZERO)).is_empty());
        client.write_all(b"x").unwrap();
        assert_eq!(wait(&poller, LONG), [7]);
        assert_eq!(wait(&poller, LONG), [7], "as long as it is there");
        poller.remove(&stream, &reader);
        assert!(wait(&poller, Some(Duration::ZERO)).is_empty());
        poller.add(&stream, &reader, 8).unwrap();
        assert_eq!(wait(&poller, LONG), [8], "nothing is lost meanwhile");
    }

    #[test]
    fn reset_connection_is_silent_after_removal() {
        let (poller, reader) = (Poller::new().unwrap(), InterruptibleReader::new());
        let (client, stream) = pair();
        poller.add(&stream, &reader, 1).unwrap();
        poller.remove(&stream, &reader);
        socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        assert!(wait(&poller, Some(Duration::from_millis(5))).is_empty());
        poller.add(&stream, &reader, 1).unwrap();
        assert_eq!(wait(&poller, LONG), [1]);
    }

    #[test]
    fn end_of_a_reader_is_reported() {
        let (poller, reader) = (Poller::new().unwrap(), InterruptibleReader::new());
        let (_client, stream) = pair();
        poller.add(&stream, &reader, 3).unwrap();
        reader.end(&stream);
        assert!(wait(&poller, LONG).contains(&3));
        assert_eq!(reader.try_read(&stream, &mut [0; 4]).unwrap(), 0);
        poller.remove(&stream, &reader);
    }

    #[test]
    fn wakers_end_a_wait() {
        let poller = Poller::new().unwrap();
        let (waker, receiver) = Waker::new().unwrap();
        poller.add_waker(&receiver, 5).unwrap();
        poller.wake();
        assert!(wait(&poller, LONG).is_empty(), "it has no key");
        assert!(wait(&poller, Some(Duration::ZERO)).is_empty(), "once");
        waker.wake();
        assert_eq!(wait(&poller, LONG), [5]);
        receiver.clear();
        assert!(wait(&poller, Some(Duration::ZERO)).is_empty());
        poller.remove_waker(&receiver);
        waker.wake();
        assert!(wait(&poller, Some(Duration::ZERO)).is_empty());
    }
}
