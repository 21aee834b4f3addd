//! Connects the host with a worker process.
//!
//! On Unix the process inherits one end of a socket pair as its standard input, and each further
//! connection is a socket pair whose end is sent through it: no other process can connect. Windows
//! cannot pass sockets to a process by safe code, so there the process connects to a listener on
//! the loopback address, and proves by a secret from its standard input that it is the one.

use std::{io, net::Shutdown};

use crate::shared_memory::SharedMemory;
#[cfg(windows)]
use std::net::TcpStream as Stream;
#[cfg(unix)]
use std::os::unix::net::UnixStream as Stream;

/// A connection between the host and a worker process.
pub type Connection = Stream;

/// A connection, and the memory that its two sides share beside it.
pub type Opened = (Connection, Option<SharedMemory>);

/// The length of a connection's shared memory, in bytes.
pub const MEMORY: usize = 16 << 10;

/// The host's end of the link to a worker process.
#[derive(Debug)]
pub struct WorkerLink {
    control: Connection,
    #[cfg(windows)]
    listener: windows::Listener,
}

/// A worker process's end of the link to its host.
#[derive(Debug)]
pub struct HostLink {
    control: Connection,
    #[cfg(windows)]
    address: windows::Address,
}

#[cfg(unix)]
mod unix {
    use std::{
        fs::File,
        io::{self, IoSlice, IoSliceMut},
        mem::MaybeUninit,
        os::{
            fd::{AsFd, OwnedFd},
            unix::net::UnixStream,
        },
        process::{Child, Command, Stdio},
    };

    use rustix::net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
    };

    #[cfg(target_os = "linux")]
    use super::MEMORY;
    use super::{HostLink, Opened, WorkerLink};
    use crate::shared_memory::SharedMemory;

    /// The Rust runtime ignores SIGPIPE; a plugin may have undone that. A process that takes no
    /// connections must not block its host.
    #[cfg(not(target_vendor = "apple"))]
    const SEND: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);
    #[cfg(target_vendor = "apple")]
    const SEND: SendFlags = SendFlags::DONTWAIT;

    #[cfg(not(target_vendor = "apple"))]
    const CLOSE_ON_EXEC: RecvFlags = RecvFlags::CMSG_CLOEXEC;
    /// Apple's systems have no such flag: it is set on each descriptor afterwards.
    #[cfg(target_vendor = "apple")]
    const CLOSE_ON_EXEC: RecvFlags = RecvFlags::empty();

    impl WorkerLink {
        /// Starts a process by `spawn` with a link to this one.
        ///
        /// # Errors
        /// The system has no descriptors left, or `spawn` fails.
        pub fn start<G>(
            mut command: Command,
            spawn: impl FnOnce(&mut Command) -> io::Result<G>,
            _: impl FnOnce(&mut G) -> &mut Child,
        ) -> io::Result<(Self, G)> {
            let (control, theirs) = UnixStream::pair()?;
            command.stdin(Stdio::from(OwnedFd::from(theirs)));
            let started = spawn(&mut command)?;
            // Dropping the command closes this process's copy of the worker's end, so that the
            // worker's death ends the link.
            drop(command);
            Ok((Self { control }, started))
        }

        /// Opens a connection to the process, with memory of its own where the system has that.
        /// Does not block.
        ///
        /// # Errors
        /// The process has ended, the system has no descriptors left, or the process has not taken
        /// the connections before: [`io::ErrorKind::WouldBlock`].
        pub fn open(&self) -> io::Result<Opened> {
            let (ours, theirs) = UnixStream::pair()?;
            let (memory, file) = memory();
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
            let mut message = SendAncillaryBuffer::new(&mut space);
            let both = [Some(theirs.as_fd()), file.as_ref().map(AsFd::as_fd)];
            let passed: Vec<_> = both.into_iter().flatten().collect();
            message.push(SendAncillaryMessage::ScmRights(&passed));
            sendmsg(&self.control, &[IoSlice::new(&[0])], &mut message, SEND)?;
            Ok((ours, memory))
        }
    }

    impl HostLink {
        /// Takes the link that this process has inherited; its standard input is empty from then
        /// on.
        ///
        /// # Errors
        /// Standard input cannot be replaced.
        pub fn inherit() -> io::Result<Self> {
            let control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
            rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
            Ok(Self { control })
        }

        /// Waits for the next connection; `None` if the host has gone.
        ///
        /// # Errors
        /// This process has no descriptors left for the connection.
        pub fn accept(&self) -> io::Result<Option<Opened>> {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
            let mut message = RecvAncillaryBuffer::new(&mut space);
            let mut byte = [0];
            let mut into = [IoSliceMut::new(&mut byte)];
            let received = match recvmsg(&self.control, &mut into, &mut message, CLOSE_ON_EXEC) {
                Err(rustix::io::Errno::INTR) => return self.accept(),
                received => received?,
            };
            if received.bytes == 0 {
                return Ok(None);
            }
            let mut passed = message.drain().filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(passed) => Some(passed),
                _ => None,
            });
            let mut passed = passed.next().into_iter().flatten();
            let none = || io::Error::other("no descriptor is left for a connection");
            let connection = passed.next().ok_or_else(none)?;
            #[cfg(target_vendor = "apple")]
            rustix::io::fcntl_setfd(&connection, rustix::io::FdFlags::CLOEXEC)?;
            // The host waits on the memory: without it this connection is of no use.
            let memory = match (passed.next(), received.flags.contains(ReturnFlags::CTRUNC)) {
                (Some(file), _) => Some(opened(file)?),
                (None, true) => return Err(none()),
                (None, false) => None,
            };
            Ok(Some((connection.into(), memory)))
        }
    }

    #[cfg(target_os = "linux")]
    fn memory() -> (Option<SharedMemory>, Option<OwnedFd>) {
        SharedMemory::make(MEMORY)
            .ok()
            .map_or((None, None), |(memory, file)| (Some(memory), Some(file)))
    }

    #[cfg(not(target_os = "linux"))]
    fn memory() -> (Option<SharedMemory>, Option<OwnedFd>) {
        (None, None)
    }

    #[cfg(target_os = "linux")]
    fn opened(file: OwnedFd) -> io::Result<SharedMemory> {
        SharedMemory::open(file, MEMORY)
    }

    #[cfg(not(target_os = "linux"))]
    fn opened(_: OwnedFd) -> io::Result<SharedMemory> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(windows)]
mod windows {
    use std::{
        io::{self, BufRead, Read, Write},
        net::{Ipv4Addr, SocketAddr, TcpListener},
        process::{Child, Command, Stdio},
        sync::Mutex,
        thread,
        time::{Duration, Instant},
    };

    use super::{Connection, HostLink, Opened, WorkerLink};

    /// The longest wait for a process to connect.
    const TIMEOUT: Duration = Duration::from_secs(5);
    /// The interval at which a connection is waited for.
    const POLL: Duration = Duration::from_micros(200);
    /// The length of the secret, in bytes.
    const SECRET: usize = 32;

    type Secret = [u8; SECRET];

    #[derive(Debug)]
    pub(super) struct Listener {
        /// The lock makes sure that each caller gets the connection that it has asked for.
        listener: Mutex<TcpListener>,
        secret: Secret,
    }

    #[derive(Debug)]
    pub(super) struct Address {
        address: SocketAddr,
        secret: Secret,
    }

    impl Listener {
        /// Accepts the connection of the process that knows the secret.
        fn accept(listener: &TcpListener, secret: &Secret) -> io::Result<Connection> {
            let expires_at = Instant::now() + TIMEOUT;
            loop {
                match listener.accept() {
                    Ok((mut stream, _)) => {
                        stream.set_nonblocking(false)?;
                        stream.set_read_timeout(Some(TIMEOUT))?;
                        let mut proof = Secret::default();
                        if stream.read_exact(&mut proof).is_ok() && proof == *secret {
                            stream.set_read_timeout(None)?;
                            stream.set_nodelay(true)?;
                            return Ok(stream);
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(POLL),
                    Err(error) => return Err(error),
                }
                if Instant::now() >= expires_at {
                    return Err(io::ErrorKind::TimedOut.into());
                }
            }
        }
    }

    impl Address {
        fn connect(&self) -> io::Result<Connection> {
            let mut stream = Connection::connect(self.address)?;
            stream.set_nodelay(true)?;
            stream.write_all(&self.secret)?;
            Ok(stream)
        }
    }

    impl WorkerLink {
        /// Starts a process by `spawn` with a link to this one.
        ///
        /// # Errors
        /// No listener can be made, `spawn` fails, or the process does not connect in time.
        pub fn start<G>(
            mut command: Command,
            spawn: impl FnOnce(&mut Command) -> io::Result<G>,
            child: impl FnOnce(&mut G) -> &mut Child,
        ) -> io::Result<(Self, G)> {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            listener.set_nonblocking(true)?;
            let mut secret = Secret::default();
            getrandom::fill(&mut secret).map_err(io::Error::other)?;
            command.stdin(Stdio::piped());
            let mut started = spawn(&mut command)?;
            let digits: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
            if let Some(mut stdin) = child(&mut started).stdin.take() {
                writeln!(stdin, "{} {digits}", listener.local_addr()?)?;
            }
            let control = Listener::accept(&listener, &secret)?;
            let listener = Listener { listener: Mutex::new(listener), secret };
            Ok((Self { control, listener }, started))
        }

        /// Opens a connection to the process.
        ///
        /// # Errors
        /// The process has ended, or does not connect in time.
        pub fn open(&self) -> io::Result<Opened> {
            let Listener { listener, secret } = &self.listener;
            let listener = listener.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            (&self.control).write_all(&[0])?;
            Listener::accept(&listener, secret).map(|connection| (connection, None))
        }
    }

    impl HostLink {
        /// Connects to the host that has started this process.
        ///
        /// # Errors
        /// Standard input has no address, or the host has gone.
        pub fn inherit() -> io::Result<Self> {
            let mut line = String::new();
            io::stdin().lock().read_line(&mut line)?;
            let address = parse(&line).ok_or_else(|| io::Error::other("no host has started it"))?;
            Ok(Self { control: address.connect()?, address })
        }

        /// Waits for the next connection; `None` if the host has gone.
        ///
        /// # Errors
        /// This process cannot connect.
        pub fn accept(&self) -> io::Result<Option<Opened>> {
            match (&self.control).read(&mut [0]) {
                Ok(0) => Ok(None),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(None),
                Ok(_) => self.address.connect().map(|connection| Some((connection, None))),
                Err(error) => Err(error),
            }
        }
    }

    fn parse(line: &str) -> Option<Address> {
        let (address, digits) = line.trim_end().split_once(' ')?;
        let mut secret = Secret::default();
        for (at, byte) in secret.iter_mut().enumerate() {
            *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some(Address { address: address.parse().ok()?, secret })
    }
}

impl WorkerLink {
    /// Returns the connection on which the process sends messages on its own.
    ///
    /// # Errors
    /// The system has no descriptors left.
    pub fn control(&self) -> io::Result<Connection> {
        self.control.try_clone()
    }
}

impl Drop for WorkerLink {
    fn drop(&mut self) {
        // Ends the reader of its messages: a child of the process may keep the other end open. A
        // failure means that nobody does.
        let _ = self.control.shutdown(Shutdown::Both);
    }
}

impl HostLink {
    /// Returns the connection on which this process sends messages on its own.
    ///
    /// # Errors
    /// The system has no descriptors left.
    pub fn control(&self) -> io::Result<Connection> {
        self.control.try_clone()
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::{
        io::Read,
        process::{Child, Command},
        sync::mpsc,
        thread,
        time::Duration,
    };

    use super::*;

    #[test]
    fn dropped_link_ends_reader_of_messages() {
        let mut command = Command::new("sleep");
        command.arg("60");
        let (link, mut child) =
            WorkerLink::start(command, Command::spawn, |child: &mut Child| child).unwrap();
        let mut control = link.control().unwrap();
        let (sender, ended) = mpsc::channel();
        thread::spawn(move || sender.send(control.read(&mut [0]).unwrap()));
        drop(link);
        let read = ended.recv_timeout(Duration::from_secs(10));
        assert!(child.try_wait().unwrap().is_none(), "it has its end open");
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(read, Ok(0));
    }
}
