//! Two network namespaces with a cable between them, which can be pulled.

use std::{
    fs::File,
    net::{SocketAddr, TcpStream},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    thread::{self, JoinHandle},
};

use socket2::{Domain, Socket, Type};

use crate::{connection::Connection, system::own_number, wait::LIMIT};

/// Address of the host's end of the cable. It exists inside the namespaces only.
pub const HOST: &str = "10.99.0.1";
const CLIENT: &str = "10.99.0.2";
const VANISHING: &str = "10.99.0.3";

/// Two network namespaces, one for a host and one for its clients, connected by a cable.
pub struct Cable {
    host: String,
    client: String,
}

impl Cable {
    /// Creates the namespaces and the cable.
    ///
    /// # Panics
    /// `ip` or network namespaces are not available.
    #[must_use]
    pub fn create() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("dropin-{}-{}", own_number(), NEXT.fetch_add(1, Ordering::Relaxed));
        let cable = Self { host: format!("{name}-host"), client: format!("{name}-client") };
        let (host, client) = (cable.host.as_str(), cable.client.as_str());
        let steps: [&[&str]; 9] = [
            &["netns", "add", host],
            &["netns", "add", client],
            &["-n", host, "link", "add", "near", "type", "veth", "peer", "far", "netns", client],
            &["-n", host, "address", "add", &format!("{HOST}/24"), "dev", "near"],
            &["-n", client, "address", "add", &format!("{CLIENT}/24"), "dev", "far"],
            &["-n", host, "link", "set", "lo", "up"],
            &["-n", client, "link", "set", "lo", "up"],
            &["-n", host, "link", "set", "near", "up"],
            &["-n", client, "link", "set", "far", "up"],
        ];
        for step in steps {
            assert!(ip(step), "ip {}", step.join(" "));
        }
        cable
    }

    /// Returns the command line that starts a program at the host's end.
    #[must_use]
    pub fn host_end(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.host]
    }

    /// Returns the command line that starts a program at the client's end.
    #[must_use]
    pub fn client_end(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.client]
    }

    /// Connects from the client's end.
    ///
    /// # Panics
    /// Nothing listens there.
    #[must_use]
    pub fn connect(&self, port: u16) -> Connection {
        let address = SocketAddr::new(HOST.parse().expect("an address"), port);
        connect_within(&self.client, address)
    }

    /// Runs a function at the client's end, on a thread of its own.
    ///
    /// # Panics
    /// The thread cannot enter the namespace.
    pub fn at_client_end<A: Send + 'static, T: Send + 'static>(
        &self,
        argument: A,
        act: impl FnOnce(A) -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let space = space(&self.client);
        thread::spawn(move || {
            enter(&space);
            act(argument)
        })
    }

    /// Connects a client at the far end, which then vanishes silently: nothing that is sent to it
    /// arrives.
    ///
    /// # Panics
    /// Nothing listens there.
    pub fn vanish(&self, port: u16) {
        let address = |change| {
            let address = format!("{VANISHING}/24");
            assert!(ip(&["-n", &self.client, "address", change, &address, "dev", "far"]));
        };
        address("add");
        let host = SocketAddr::new(HOST.parse().expect("an address"), port);
        let connect = move |()| {
            let from = SocketAddr::new(VANISHING.parse().expect("an address"), 0);
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            socket.bind(&from.into()).expect("the address is there");
            socket.connect_timeout(&host.into(), LIMIT).expect("somebody listens");
            socket
        };
        let socket = self.at_client_end((), connect).join().expect("it has connected");
        address("delete");
        // Its side can no longer send anything.
        drop(socket);
    }

    /// Connects from the host's end, over its loopback.
    ///
    /// # Panics
    /// Nothing listens there.
    #[must_use]
    pub fn connect_locally(&self, address: SocketAddr) -> Connection {
        connect_within(&self.host, address)
    }

    /// Pulls the cable: nothing passes any more, and neither end is notified.
    ///
    /// # Panics
    /// The cable cannot be pulled.
    pub fn pull(&self) {
        assert!(ip(&["-n", &self.client, "link", "set", "far", "down"]), "the cable is stuck");
    }
}

/// Connects from within the namespace of this name.
pub(crate) fn connect_within(name: &str, address: SocketAddr) -> Connection {
    let space = space(name);
    let connect = || {
        enter(&space);
        TcpStream::connect_timeout(&address, LIMIT).expect("somebody listens")
    };
    let stream = thread::scope(|scope| scope.spawn(connect).join());
    Connection::from_stream(stream.expect("the connection is there"))
}

fn space(name: &str) -> File {
    File::open(format!("/run/netns/{name}")).expect("the namespace is there")
}

/// Moves this thread into a namespace: a socket belongs to the namespace of the thread that created
/// it.
#[cfg(target_os = "linux")]
fn enter(space: &File) {
    use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
    use std::os::fd::AsFd;
    move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network))
        .expect("a thread can move there");
}

/// Does nothing: without `ip` there is no cable.
#[cfg(not(target_os = "linux"))]
fn enter(_: &File) {}

impl Drop for Cable {
    fn drop(&mut self) {
        for name in [&self.host, &self.client] {
            // A namespace that was never created cannot be removed.
            let _ = ip(&["netns", "delete", name]);
        }
    }
}

/// Runs `ip`, and returns whether it succeeds.
pub(crate) fn ip(arguments: &[&str]) -> bool {
    let output = Command::new("ip").args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}
