//! The context of a call that another program has sent.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use auth::{
    identity::Identity,
    keys::{Key, Role},
    trust::Trust,
};
use parking_lot::Mutex;
use plugin_engine::{
    call::CallContext,
    facts::{ListedCommand, PluginFacts, SessionFacts},
    registry::Registry,
    state::durable::Durable,
};

use super::running::RunningCall;
use crate::{envelope::Response, node::Node, outbox::Outgoing};

/// The interval at which a waiting worker looks for the end of the host.
const SLICE: Duration = Duration::from_millis(50);

/// The shortest interval between two reports of progress.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(50);

/// The context of a call that another program has sent.
pub struct ForeignCaller<'a> {
    /// The call.
    pub call: &'a RunningCall,
    /// The identity that it acts as.
    pub identity: Identity,
    /// The registry that the command was found in.
    pub registry: &'a Registry,
    /// This host.
    pub node: &'a Node,
    /// The subject of the replies to a host; `None` for a service client, which gets one reply.
    pub reply: Option<&'a str>,
    /// The records that the reply waits for.
    pub records: Mutex<Vec<(Arc<Durable>, u64)>>,
    /// The time of the last report of progress.
    pub reported: Mutex<Option<Instant>>,
}

/// Returns the identity on whose behalf a call runs. The calling host has checked what it may run.
pub fn identity(call: &RunningCall) -> Identity {
    let free = |peer| Identity::of(peer, Trust::All);
    let Some(head) = &call.head else {
        return free(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
    };
    if head.key.is_empty() && head.is_admin {
        return free(head.peer);
    }
    let role = if head.is_admin { Role::Admin } else { Role::User };
    let key = Key::of_other_host(&head.key, role);
    Identity::of(head.peer, Trust::None).with(Arc::new(key))
}

impl CallContext for ForeignCaller<'_> {
    fn session_id(&self) -> u64 {
        self.call.head.as_ref().map_or(0, |head| head.session)
    }

    fn peer(&self) -> SocketAddr {
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        self.call.head.as_ref().map_or(nowhere, |head| head.peer)
    }

    fn session_name(&self) -> String {
        self.call.head.as_ref().map(|head| head.name.clone()).unwrap_or_default()
    }

    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn commands(&self) -> Vec<ListedCommand> {
        self.registry.listed(&self.identity)
    }

    fn plugins(&self) -> Vec<PluginFacts> {
        self.registry.plugins(&self.identity)
    }

    fn wait_for_cancel(&self, time: Duration) -> bool {
        let end = Instant::now().checked_add(time);
        loop {
            if self.node.host.shutdown.is_stopping() {
                return true;
            }
            let now = Instant::now();
            let left = end.map_or(SLICE, |end| end.saturating_duration_since(now).min(SLICE));
            if self.call.wait_for_cancel(left) {
                return true;
            }
            if end.is_some_and(|end| Instant::now() >= end) {
                return self.node.host.shutdown.is_stopping();
            }
        }
    }

    /// Returns none: the sessions of this host are no business of a client of another one.
    fn sessions(&self) -> Vec<SessionFacts> {
        Vec::new()
    }

    fn report_progress(&self, done: u64, total: u64, text: &str) {
        let Some(reply) = self.reply else { return };
        let now = Instant::now();
        let mut reported = self.reported.lock();
        if reported.is_some_and(|last| now - last < PROGRESS_INTERVAL) && done < total {
            return;
        }
        *reported = Some(now);
        let progress = Response::Progress(done, total, text.to_owned());
        // Best effort, as for a client of this host.
        self.node.outbox.try_send(Outgoing::plain(reply.to_owned(), progress.encode()));
    }

    fn hold(&self, durable: &Arc<Durable>, record: u64) {
        self.records.lock().push((Arc::clone(durable), record));
    }
}

/// The calls of other hosts, for the manager of plugins, which reports the calls that a change waits
/// for.
pub struct ObservedCall(pub Weak<RunningCall>);

impl std::fmt::Display for ObservedCall {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.upgrade() {
            Some(call) => call.fmt(out),
            None => write!(out, "a call of another host"),
        }
    }
}

impl plugin_engine::context::RunningCall for ObservedCall {
    fn is_running(&self) -> bool {
        self.0.upgrade().is_some_and(|call| call.is_running())
    }
}
