//! Describes this host to the programs of NATS, by the service protocol.
//!
//! The NATS client has this protocol, too, but for services whose endpoints stay: one that is stopped
//! remains in its `INFO`, and only replies through its own type are counted. The protocol:
//! <https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-32.md>.

use std::{sync::Arc, time::SystemTime};

use async_nats::{Client, Message};
use futures_util::{StreamExt, stream::select_all};
use plugin_engine::VERSION;
use serde_json::{Value, json};

use crate::{
    answering::endpoints::Counted,
    node::Node,
    outbox::Outgoing,
    subjects::{GROUP, SERVICE, is_reply_subject},
};

/// Answers questions about this host for as long as the membership lasts.
///
/// # Errors
/// The connection has ended for good.
pub async fn run(node: Arc<Node>, client: Client) -> Result<(), async_nats::SubscribeError> {
    let mut questions = Vec::new();
    for verb in ["PING", "INFO", "STATS"] {
        for subject in [
            format!("$SRV.{verb}"),
            format!("$SRV.{verb}.{SERVICE}"),
            format!("$SRV.{verb}.{SERVICE}.{}", node.id),
        ] {
            questions.push(client.subscribe(subject).await?);
        }
    }
    let mut questions = select_all(questions);
    let started = now();
    while let Some(message) = questions.next().await {
        answer(&node, &message, &started).await;
    }
    Ok(())
}

async fn answer(node: &Node, message: &Message, started: &str) {
    let Some(reply) = message.reply.as_ref().filter(|reply| is_reply_subject(reply)) else {
        return;
    };
    let verb = message.subject.split('.').nth(1).unwrap_or_default();
    let mut answer = json!({
        "type": format!("io.nats.micro.v1.{}_response", verb.to_ascii_lowercase()),
        "name": SERVICE,
        "id": node.id,
        "version": VERSION,
        "metadata": { "fleet": node.settings.fleet, "host": node.settings.host },
    });
    match verb {
        "INFO" => {
            answer["description"] =
                "A Dropin host: each endpoint is a command, its payload a line \
                                     of arguments."
                    .into();
            answer["endpoints"] = node.stats.list().iter().map(|one| info(node, one)).collect();
        }
        "STATS" => {
            answer["started"] = started.into();
            answer["endpoints"] = node.stats.list().iter().map(|one| stats(node, one)).collect();
        }
        _ => {}
    }
    let payload = answer.to_string();
    if payload.len() > node.link.limit() {
        log::warn!("fleet: the description of this host is too large for NATS");
        return;
    }
    node.outbox.post(Outgoing::plain(reply.to_string(), payload.into())).await;
}

fn endpoint(node: &Node, Counted { offer, .. }: &Counted) -> Value {
    json!({
        // A name of the service protocol has no dot.
        "name": offer.facts.name.replace('.', "_"),
        "subject": node.subjects.call(&offer.facts.name),
        "queue_group": GROUP,
    })
}

fn info(node: &Node, counted: &Counted) -> Value {
    let mut info = endpoint(node, counted);
    let facts = &counted.offer.facts;
    info["metadata"] = json!({
        "command": facts.name,
        "usage": facts.usage,
        "help": facts.help,
        "plugin": counted.offer.plugin,
        "writes": facts.writes.to_string(),
        "idempotent": facts.idempotent.to_string(),
    });
    info
}

fn stats(node: &Node, counted: &Counted) -> Value {
    let mut stats = endpoint(node, counted);
    let nanos = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let total = nanos(counted.time);
    stats["num_requests"] = counted.calls.into();
    stats["num_errors"] = counted.errors.into();
    stats["last_error"] = counted.last_error.as_str().into();
    stats["processing_time"] = total.into();
    stats["average_processing_time"] = total.checked_div(counted.calls).unwrap_or_default().into();
    stats
}

/// Returns the present time as RFC 3339.
fn now() -> String {
    jiff::Timestamp::try_from(SystemTime::now()).map(|now| now.to_string()).unwrap_or_default()
}
