//! Network namespaces that a bridge connects, each by a cable of its own that can be pulled.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::{
    cable::{connect_within, ip},
    connection::Connection,
    system::own_number,
};

/// Network namespaces that a bridge connects. The bridge is in a namespace of its own, which has
/// the first address.
pub struct Network {
    names: Vec<String>,
}

impl Network {
    /// Creates the bridge and namespaces, so many with the bridge's.
    ///
    /// # Panics
    /// `ip` or network namespaces are not available.
    #[must_use]
    pub fn create(count: usize) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("dropin-net-{}-{}", own_number(), NEXT.fetch_add(1, Ordering::Relaxed));
        let names = (0..count).map(|place| format!("{name}-{place}")).collect();
        // Removed when a step fails, too.
        let network = Self { names };
        let run = |step: &[&str]| assert!(ip(step), "ip {}", step.join(" "));
        let hub = network.names[0].as_str();
        for (place, name) in network.names.iter().enumerate() {
            run(&["netns", "add", name]);
            run(&["-n", name, "link", "set", "lo", "up"]);
            let (device, near) = (if place == 0 { "bridge" } else { "cable" }, cable(place));
            if place == 0 {
                run(&["-n", hub, "link", "add", "bridge", "type", "bridge"]);
            } else {
                let peer = ["type", "veth", "peer", "cable", "netns", name];
                run(&[&["-n", hub, "link", "add", &near][..], &peer].concat());
                run(&["-n", hub, "link", "set", &near, "master", "bridge"]);
                run(&["-n", hub, "link", "set", &near, "up"]);
            }
            let address = format!("{}/24", Self::address(place));
            run(&["-n", name, "address", "add", &address, "dev", device]);
            run(&["-n", name, "link", "set", device, "up"]);
        }
        network
    }

    /// Returns the address of a place, which exists in the network only.
    #[must_use]
    pub fn address(place: usize) -> String {
        format!("10.98.0.{}", place + 1)
    }

    /// Returns the command line that starts a program at a place.
    #[must_use]
    pub fn at(&self, place: usize) -> [&str; 4] {
        ["ip", "netns", "exec", &self.names[place]]
    }

    /// Connects at a place, over its loopback.
    ///
    /// # Panics
    /// Nothing listens there.
    #[must_use]
    pub fn connect(&self, place: usize, address: SocketAddr) -> Connection {
        connect_within(&self.names[place], address)
    }

    /// Pulls the cable of a place: nothing passes any more, and no program is notified.
    ///
    /// # Panics
    /// The cable cannot be pulled.
    pub fn pull(&self, place: usize) {
        self.set(place, "down");
    }

    /// Plugs a pulled cable in again.
    ///
    /// # Panics
    /// It cannot be plugged in.
    pub fn plug(&self, place: usize) {
        self.set(place, "up");
    }

    fn set(&self, place: usize, state: &str) {
        assert!(ip(&["-n", &self.names[0], "link", "set", &cable(place), state]), "it is stuck");
    }
}

/// Returns the name of the bridge's end of a cable.
fn cable(place: usize) -> String {
    format!("cable{place}")
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in &self.names {
            // A namespace that was never created cannot be removed.
            let _ = ip(&["netns", "delete", name]);
        }
    }
}
