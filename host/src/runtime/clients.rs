//! The live sessions, by their peer's `(ip, port)`.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use auth::keys::Key;

use super::{
    client_handle::{ClientHandle, Dismissal},
    client_memory::ClientMemory,
};

/// The time in which a session that was closed for its memory is expected to free it. After that
/// it is in a worker, and other sessions are closed instead.
const FREEING: Duration = Duration::from_secs(1);

/// The bytes below which a session is not closed for its memory.
pub const SMALLEST: usize = 64 << 10;

/// The live sessions. The lock is taken when a client connects or leaves and when the list is
/// read, never for a request.
#[derive(Default)]
pub struct Sessions {
    list: Mutex<List>,
    next_id: AtomicU64,
}

#[derive(Default)]
struct List {
    /// The key has the session's number, since a client's connections to two addresses of this
    /// host may have the same peer.
    live: BTreeMap<(SocketAddr, u64), Arc<ClientHandle>>,
    /// The number of sessions from each address.
    from: HashMap<IpAddr, usize>,
    closed: bool,
}

/// The limits for a new session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// The most sessions in all.
    pub total: usize,
    /// The most sessions from the client's address; `None` without a limit.
    pub per_address: Option<usize>,
}

/// The reason for which a new client is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitReached {
    /// The host is ending.
    Ending,
    /// There already are this many sessions.
    Total(usize),
    /// There already are this many sessions from its address.
    PerAddress(usize),
}

impl Sessions {
    /// Adds a new client, or returns the limit that was reached, and the connection.
    pub fn add(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        limits: SessionLimits,
    ) -> Result<Arc<ClientHandle>, (LimitReached, TcpStream)> {
        let mut list = self.lock();
        let here = list.from.get(&counted_address(peer)).copied().unwrap_or_default();
        let refusal = if list.closed {
            Some(LimitReached::Ending)
        } else if list.live.len() >= limits.total {
            Some(LimitReached::Total(limits.total))
        } else {
            limits.per_address.filter(|most| here >= *most).map(LimitReached::PerAddress)
        };
        if let Some(refusal) = refusal {
            return Err((refusal, stream));
        }
        let id = self.next_id.fetch_add(1, Ordering::Relaxed) + 1;
        let handle = Arc::new(ClientHandle::new(id, peer, stream));
        list.live.insert((peer, id), Arc::clone(&handle));
        list.from.insert(counted_address(peer), here + 1);
        Ok(handle)
    }

    /// Removes a client.
    pub fn remove(&self, handle: &ClientHandle) {
        let mut list = self.lock();
        if list.live.remove(&(handle.peer, handle.id)).is_some() {
            let place = counted_address(handle.peer);
            match list.from.get_mut(&place) {
                Some(here) if *here > 1 => *here -= 1,
                _ => {
                    list.from.remove(&place);
                }
            }
        }
    }

    /// Returns the live sessions, in the order of their addresses.
    pub fn list(&self) -> Vec<Arc<ClientHandle>> {
        self.lock().live.values().cloned().collect()
    }

    /// Returns the number of sessions since the host started.
    pub fn started(&self) -> u64 {
        self.next_id.load(Ordering::Relaxed)
    }

    /// Returns the number of live sessions.
    pub fn len(&self) -> usize {
        self.lock().live.len()
    }

    /// Returns whether there is no live session.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Rejects new clients from now on, and wakes every session that waits for input. Input that
    /// has arrived can still be read.
    pub fn close(&self) {
        let mut list = self.lock();
        list.closed = true;
        list.live.values().for_each(|handle| handle.interrupt());
    }

    /// Ends the sessions whose key is no longer valid.
    pub fn dismiss_unless(&self, valid: impl Fn(&Key) -> bool) {
        let mut ended: BTreeMap<String, usize> = BTreeMap::new();
        for handle in self.list() {
            if let Some(key) = handle.key()
                && !valid(&key)
                && !handle.is_dismissed()
            {
                handle.dismiss();
                *ended.entry(key.name.clone()).or_default() += 1;
            }
        }
        for (key, count) in ended {
            log::info!("key {key}: no longer valid, {count} session(s) ended");
        }
    }

    /// Ends the sessions that have waited for the rest of a request for `limit` or longer.
    pub fn dismiss_unfinished(&self, limit: Duration) {
        for handle in self.lock().live.values() {
            let late = handle.unfinished_for().is_some_and(|time| time >= limit);
            if late && !handle.is_dismissed() {
                handle.dismiss_for(Dismissal::Unfinished);
            }
        }
    }

    /// Ends sessions, the largest first, until the others are within the memory limit. Returns how
    /// many were ended.
    pub fn dismiss_largest(&self, memory: &ClientMemory) -> usize {
        let (mut freeing, mut candidates) = (0_usize, Vec::new());
        let list = self.lock();
        for handle in list.live.values() {
            let bytes = handle.memory();
            match handle.dismissed_for() {
                Some(time) if time < FREEING => freeing += bytes,
                Some(_) => {}
                None if bytes >= SMALLEST => candidates.push((bytes, handle)),
                None => {}
            }
        }
        candidates.sort_unstable_by_key(|(bytes, handle)| (*bytes, handle.id));
        let (used, limit) = (memory.used(), memory.limit());
        // Memory that is about to be freed counts up to the limit, so the sum stays below twice the
        // limit.
        let mut excess = used.saturating_sub(freeing.min(limit)).saturating_sub(limit);
        let mut ended = 0;
        while excess > 0
            && let Some((bytes, handle)) = candidates.pop()
        {
            handle.dismiss_for(Dismissal::Memory);
            // The memory is freed when the worker returns, which cancellation may bring forward.
            let _ = handle.cancel_running();
            memory.closed.warn(Instant::now(), || {
                format!(
                    "session {} from {}: closed, its requests and replies took the most memory, \
                     {bytes} of {used} bytes of all sessions; the limit is {limit} \
                     (--max-memory-clients)",
                    handle.id, handle.peer
                )
            });
            excess = excess.saturating_sub(bytes);
            ended += 1;
        }
        ended
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the address under which a peer is counted: its IPv4 address, or its IPv6 network (/64),
/// since the owner of one such address commonly has all 2^64 of the network.
fn counted_address(peer: SocketAddr) -> IpAddr {
    match peer.ip().to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::config::Share;
    use auth::keys::{Keys, Role};

    fn stream() -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        TcpStream::connect(listener.local_addr().unwrap()).unwrap()
    }

    #[test]
    fn session_limit_frees_place_when_client_leaves() {
        let sessions = Sessions::default();
        let enter = |peer: &str, total, per_address| {
            sessions
                .add(stream(), peer.parse().unwrap(), SessionLimits { total, per_address })
                .map_err(|e| e.0)
        };
        let first = enter("10.0.0.1:1", 3, Some(2)).unwrap();
        let second = enter("[::ffff:10.0.0.1]:2", 3, Some(2)).unwrap();
        assert_eq!(enter("10.0.0.1:3", 3, Some(2)).err(), Some(LimitReached::PerAddress(2)));
        enter("10.0.0.1:3", 3, None).unwrap();
        assert_eq!(enter("10.0.0.2:1", 3, Some(2)).err(), Some(LimitReached::Total(3)));
        sessions.remove(&first);
        // Leaving twice is leaving once.
        sessions.remove(&first);
        assert_eq!(enter("10.0.0.1:4", 3, Some(2)).err(), Some(LimitReached::PerAddress(2)));
        enter("10.0.0.2:1", 3, Some(2)).unwrap();
        sessions.remove(&second);
        enter("10.0.0.1:4", 3, Some(2)).unwrap();
        sessions.close();
        assert_eq!(enter("10.0.0.3:1", 9, None).err(), Some(LimitReached::Ending));
    }

    #[test]
    fn a_session_ends_with_its_key() {
        let sessions = Sessions::default();
        assert!(sessions.is_empty());
        let mut keys = Keys::default();
        for name in ["kept", "revoked"] {
            keys.add(name, Role::User, Vec::new(), None).unwrap();
        }
        let limits = SessionLimits { total: 9, per_address: None };
        let entries = [Some(0), Some(1), Some(1), None].map(|key: Option<usize>| {
            let handle = sessions.add(stream(), "10.0.0.1:1".parse().unwrap(), limits).unwrap();
            handle.set_key(key.map(|index| Arc::new(keys.list()[index].clone())));
            handle
        });
        assert!(!sessions.is_empty());
        assert_eq!((sessions.len(), sessions.started(), sessions.list().len()), (4, 4, 4));
        // The first reason stays.
        entries[2].dismiss_for(Dismissal::Killed);
        sessions.dismiss_unless(|key| key.name == "kept");
        let ends = entries.each_ref().map(|handle| handle.dismissal());
        assert_eq!(ends, [None, Some(Dismissal::Key), Some(Dismissal::Killed), None]);
        sessions.remove(&entries[0]);
        assert_eq!((sessions.len(), sessions.started(), entries[0].id), (3, 4, 1));
        entries.iter().for_each(|handle| sessions.remove(handle));
        assert!(sessions.lock().from.is_empty(), "an address takes no memory once all have left");
    }

    #[test]
    fn an_unfinished_request_ends_a_session_in_time() {
        let sessions = Sessions::default();
        let limits = SessionLimits { total: 9, per_address: None };
        let entries = [true, true, false].map(|unfinished| {
            let handle = sessions.add(stream(), "10.0.0.1:1".parse().unwrap(), limits).unwrap();
            if unfinished {
                handle.note_unfinished();
            }
            handle
        });
        sessions.dismiss_unfinished(Duration::from_secs(3600));
        assert!(entries.iter().all(|handle| handle.dismissal().is_none()));
        entries[1].dismiss();
        sessions.dismiss_unfinished(Duration::ZERO);
        let ends = entries.each_ref().map(|handle| handle.dismissal());
        assert_eq!(ends, [Some(Dismissal::Unfinished), Some(Dismissal::Key), None]);
    }

    #[test]
    fn the_largest_sessions_are_closed_first() {
        let sessions = Sessions::default();
        let limits = SessionLimits { total: 9, per_address: None };
        let memory = ClientMemory::new(Share::Bytes(4 << 20));
        let entries = [0, 1, 2, 3].map(|megabytes: usize| {
            let handle = sessions.add(stream(), "10.0.0.1:1".parse().unwrap(), limits).unwrap();
            let bytes = (megabytes << 20).max(5000);
            assert_eq!(memory.note(&handle, bytes), megabytes == 3);
            handle
        });
        let evicted = || entries.each_ref().map(|handle| handle.is_evicted());
        assert_eq!(sessions.dismiss_largest(&memory), 1);
        assert_eq!(evicted(), [false, false, false, true]);
        assert_eq!(sessions.dismiss_largest(&memory), 0, "it is about to give its memory back");
        assert!(memory.note(&entries[1], 9 << 20));
        assert_eq!(sessions.dismiss_largest(&memory), 1);
        assert_eq!(evicted(), [false, true, false, true]);
        assert!(memory.note(&entries[2], 9 << 20));
        assert_eq!(
            sessions.dismiss_largest(&memory),
            1,
            "what is given back counts up to the limit"
        );
        assert_eq!(evicted(), [false, true, true, true], "a small session stays");
        entries.iter().for_each(|handle| assert!(!memory.note(handle, 0)));
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn an_ipv6_network_is_one_place() {
        let place = |peer: &str| counted_address(peer.parse().unwrap());
        assert_eq!(place("[2001:db8::1]:1"), place("[2001:db8::ffff:0:0:9]:2"));
        assert_ne!(place("[2001:db8::1]:1"), place("[2001:db8:0:1::1]:1"));
        assert_eq!(place("[::ffff:10.0.0.1]:1"), place("10.0.0.1:9"));
        assert_ne!(place("10.0.0.1:1"), place("10.0.0.2:1"));
    }
}
