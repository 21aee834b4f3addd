//! Finds out which host has a call that takes long, and whether that host still lives.
//!
//! NATS delivers a call to one host of a queue group and does not tell to which. A call that is not
//! answered after [`FIRST_LOOK`] makes this host ping the others, on the subject that each has for
//! itself. The answer to a ping names the calls of this host that run there: that acknowledges them.
//! As NATS keeps the order of the messages between two clients, a host that answers a ping without
//! naming a call that was sent before it does not have the call, and has not run it: a reply would have
//! come before. If that holds for all hosts, the call is sent again. (The client of a host that
//! leaves drops calls that were on their way to it.) A ping to a host whose connection
//! has ended comes back from the NATS server at once, since nobody listens on its subject. A host
//! whose cable is cut answers no ping.

use std::{sync::Arc, time::Duration};

use super::pending::{News, PendingCall};
use crate::{envelope::Response, members::Whereabouts, node::Node, outbox::Outgoing, stall};

/// The age from which a call is watched.
const FIRST_LOOK: Duration = Duration::from_millis(10);

/// The interval between two looks at the calls.
const TICK: Duration = Duration::from_millis(10);

/// The shortest interval between two pings of a host.
const INTERVAL: Duration = Duration::from_millis(20);

/// Watches the calls of this host for as long as the membership lasts.
pub async fn run(node: Arc<Node>) {
    loop {
        if node.pending.is_empty() {
            node.has_pending.notified().await;
        }
        if stall::sleep(TICK).await {
            node.members.forgive_silence();
        }
        look(&node).await;
    }
}

/// Decides about each call that takes long, and asks the hosts that may have one.
pub async fn look(node: &Arc<Node>) {
    let old = node.pending.older_than(FIRST_LOOK);
    if old.is_empty() {
        return;
    }
    let (mut all, mut wanted) = (false, Vec::new());
    for call in &old {
        match decide(node, call) {
            Whereabouts::At(id) => {
                call.set_host(&id);
                wanted.push(id);
            }
            Whereabouts::Unknown => match call.host() {
                Some(id) => wanted.push(id),
                None => all = true,
            },
            // Another host is asked.
            Whereabouts::NotRun => call.deliver(News::Response(Response::Elsewhere)),
            Whereabouts::Nowhere(host) => call.deliver(News::Down(explain(host.as_deref()))),
        }
    }
    if node.echo.is_late() {
        node.members.forgive_silence();
    }
    let mut due = node.members.due_for_ping(INTERVAL, |id| all || wanted.iter().any(|w| w == id));
    if !due.is_empty() && node.echo.begin() {
        due.push(node.id.clone());
    }
    for id in due {
        node.outbox.post(Outgoing::Ping(id)).await;
    }
}

fn decide(node: &Node, call: &PendingCall) -> Whereabouts {
    let known = call.host();
    let is_before = |ping| call.is_before(ping);
    node.members.locate(call.number, call.began, known.as_deref(), is_before)
}

fn explain(host: Option<&str>) -> String {
    match host {
        Some(name) => {
            format!("the host '{name}' is gone while it had the command; it may have run")
        }
        None => "the reply of another host was lost; the command may have run".to_owned(),
    }
}
