//! Receives the replies to the messages of this host, and the announcements of the others.

use std::sync::Arc;

use async_nats::{Message, StatusCode, Subscriber};
use futures_util::StreamExt;

use crate::{
    announcement::{Announcement, HostState, Offer},
    calling::pending::News,
    envelope::{self, Response},
    node::Node,
    outbox::Outgoing,
};

/// Receives messages for as long as the membership lasts. Announcements come before the replies that
/// arrived with them: a host that is new may have answered already.
pub async fn run(node: Arc<Node>, mut alive: Subscriber, mut replies: Subscriber) {
    loop {
        tokio::select! {
            biased;
            Some(message) = alive.next() => hear(&node, &message).await,
            Some(message) = replies.next() => receive(&node, &message),
            else => return,
        }
    }
}

/// Takes another host's announcement, and asks for its commands if they are new.
async fn hear(node: &Arc<Node>, message: &Message) {
    let Ok(host) = serde_json::from_slice::<Announcement>(&message.payload) else { return };
    if host.id == node.id {
        return;
    }
    let (id, revision, state) = (host.id.clone(), host.revision, host.state);
    if state == HostState::Ended {
        log::info!("fleet: host '{}' has ended", host.name);
    }
    if node.members.hear(host) {
        let reply = format!("{}.commands.{id}.{revision}", node.inbox);
        node.outbox
            .post(Outgoing::Plain {
                subject: node.subjects.host(&id),
                reply: Some(reply),
                headers: None,
                payload: envelope::Direct::Commands.encode(),
            })
            .await;
    }
    if state != HostState::Serves {
        node.members.serve(node);
    }
}

/// Takes a reply; its subject tells to what.
fn receive(node: &Arc<Node>, message: &Message) {
    let Some(token) = message.subject.strip_prefix(node.inbox.as_str()) else { return };
    let is_unheard = message.status == Some(StatusCode::NO_RESPONDERS);
    let mut parts = token.trim_start_matches('.').splitn(3, '.');
    match (parts.next(), parts.next(), parts.next()) {
        (Some("ping"), Some(id), Some(_)) if id == node.id => node.echo.end(),
        (Some("ping"), Some(id), Some(_)) if is_unheard => {
            let Some(name) = node.members.remove(id) else { return };
            log::warn!("fleet: host '{name}' is gone");
            node.members.serve(node);
        }
        (Some("ping"), Some(id), Some(number)) => {
            let pong = envelope::read_pong(&message.payload);
            if let (Ok(number), Some((connects, running))) = (number.parse(), pong) {
                node.members.take_pong(id, number, running, connects);
            }
        }
        (Some("commands"), Some(id), Some(revision)) if !is_unheard => {
            let offers = serde_json::from_slice::<Vec<Offer>>(&message.payload);
            if let (Ok(offers), Ok(revision)) = (offers, revision.parse())
                && node.members.take_offers(id, revision, offers)
            {
                node.members.serve(node);
            }
        }
        (Some(number), None, None) => {
            let call = number.parse().ok().and_then(|number| node.pending.get(number));
            let Some(call) = call else { return };
            let response = Response::decode(&message.payload);
            if let Some(Response::Part { host, .. }) = &response {
                node.members.take_part(host);
                call.set_host(host);
            }
            match response {
                _ if is_unheard => call.deliver(News::NoHost),
                Some(response) => call.deliver(News::Response(response)),
                // Not from a host of this fleet.
                None => log::debug!("fleet: a reply of unknown form is ignored"),
            }
        }
        _ => {}
    }
}
