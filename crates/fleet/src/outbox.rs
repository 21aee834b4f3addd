//! Sends messages, in one order: those of sessions, of workers, and of the fleet's own tasks.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::{
    calling::pending::{News, PendingCall},
    link::CUT,
    node::Node,
};

/// The most messages that wait to be sent.
const MOST: usize = 8192;

/// A message on its way.
pub enum Outgoing {
    /// A message without a reply.
    Plain {
        /// Its subject.
        subject: String,
        /// The subject for a reply; `None` if none is wanted.
        reply: Option<String>,
        /// Its headers.
        headers: Option<HeaderMap>,
        /// Its content.
        payload: Bytes,
    },
    /// A call of another host's command.
    Call {
        /// Its subject.
        subject: String,
        /// Its content.
        payload: Bytes,
        /// The call.
        call: Arc<PendingCall>,
    },
    /// A ping to the host of this id, which tells of the calls sent before.
    Ping(String),
}

impl Outgoing {
    /// Makes a message without headers and without a reply.
    pub fn plain(subject: String, payload: Bytes) -> Self {
        Self::Plain { subject, reply: None, headers: None, payload }
    }
}

/// The messages on their way.
pub struct Outbox {
    sender: Sender<Outgoing>,
    /// The number of the last ping.
    pings: AtomicU64,
}

impl Outbox {
    /// Makes an empty outbox, and its other end.
    pub fn new() -> (Self, Receiver<Outgoing>) {
        let (sender, receiver) = channel(MOST);
        (Self { sender, pings: AtomicU64::new(0) }, receiver)
    }

    /// Sends a message; returns false if too many wait.
    pub fn try_send(&self, message: Outgoing) -> bool {
        self.sender.try_send(message).is_ok()
    }

    /// Sends a message, and waits while too many wait. Not for the fleet's own thread.
    pub fn send(&self, message: Outgoing) {
        // The receiver is gone when the membership has ended.
        let _ = self.sender.blocking_send(message);
    }

    /// Returns true if messages wait to be sent.
    pub fn is_used(&self) -> bool {
        self.sender.capacity() < self.sender.max_capacity()
    }

    /// Sends a message from the fleet's own thread.
    pub async fn post(&self, message: Outgoing) {
        // As above.
        let _ = self.sender.send(message).await;
    }
}

/// Passes the messages on to the connection. While that is down, they are dropped: a call that is
/// sent when its caller has been told of a failure would come as a surprise.
pub async fn run(node: Arc<Node>, client: Client, mut messages: Receiver<Outgoing>) {
    while let Some(message) = messages.recv().await {
        let call = match &message {
            Outgoing::Call { call, .. } => Some(Arc::clone(call)),
            _ => None,
        };
        if !node.link.is_up() {
            if let Some(call) = call {
                call.deliver(News::Unsent);
            }
            continue;
        }
        // An error is one of the subject or the size, which have been checked, or the end of the
        // client.
        tokio::select! {
            biased;
            _ = publish(&node, &client, message) => {}
            () = node.link.fallen() => {
                if let Some(call) = call {
                    call.deliver(News::Down(CUT.to_owned()));
                }
            }
        }
    }
}

async fn publish(
    node: &Node,
    client: &Client,
    message: Outgoing,
) -> Result<(), async_nats::PublishError> {
    match message {
        Outgoing::Plain { subject, reply: None, headers: None, payload } => {
            client.publish(subject, payload).await
        }
        Outgoing::Plain { subject, reply: Some(reply), headers: None, payload } => {
            client.publish_with_reply(subject, reply, payload).await
        }
        Outgoing::Plain { subject, reply, headers: Some(headers), payload } => match reply {
            Some(reply) => {
                client.publish_with_reply_and_headers(subject, reply, headers, payload).await
            }
            None => client.publish_with_headers(subject, headers, payload).await,
        },
        Outgoing::Call { subject, payload, call } => {
            call.note_sent(node.outbox.pings.load(Ordering::Relaxed));
            node.has_pending.notify_one();
            let reply = format!("{}.{}", node.inbox, call.number);
            client.publish_with_reply(subject, reply, payload).await
        }
        Outgoing::Ping(member) => {
            let number = node.outbox.pings.fetch_add(1, Ordering::Relaxed) + 1;
            let reply = format!("{}.ping.{member}.{number}", node.inbox);
            let payload = crate::envelope::Direct::Ping(node.id.clone()).encode();
            client.publish_with_reply(node.subjects.host(&member), reply, payload).await
        }
    }
}
