//! The subscriptions by which this host gets calls, one for each command of its plugins.

use std::{
    cell::Cell,
    collections::BTreeMap,
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use async_nats::{Client, Message, Subscriber};
use auth::{identity::Identity, trust::Trust};
use futures_util::{Stream, StreamExt, stream::SelectAll};
use parking_lot::Mutex;
use plugin_engine::registry::Registry;

use super::{
    pool::TICK,
    run::{self, Job, Stage},
};
use crate::{
    alive,
    announcement::Offer,
    envelope::{self, Direct, Response},
    node::Node,
    outbox::Outgoing,
    subjects::{GROUP, is_reply_subject},
};

/// The interval at which the registry is compared with the subscriptions.
const LOOK: Duration = Duration::from_millis(50);

/// The most calls of other programs that run or wait for a thread. Further ones go to other hosts.
pub const MOST: usize = 4096;

/// The calls that are taken one after the other before other tasks of the thread have their turn.
const TOGETHER: usize = 64;

/// The longest part of an error that is kept, in bytes.
const LONGEST_ERROR: usize = 256;

/// The counters of one command that others can call.
#[derive(Clone, Debug)]
pub struct Counted {
    /// The command and its plugin.
    pub offer: Offer,
    /// The number of calls.
    pub calls: u64,
    /// The number of calls that were answered with an error.
    pub errors: u64,
    /// The time of all calls together.
    pub time: Duration,
    /// The text of the last error.
    pub last_error: String,
}

/// The commands that others can call, and their counters.
#[derive(Default)]
pub struct EndpointStats {
    commands: Mutex<BTreeMap<String, Counted>>,
    revision: AtomicU64,
}

impl EndpointStats {
    /// Counts a call, which was answered with this error if it failed.
    pub fn count(&self, command: &str, time: Duration, error: Option<&[u8]>) {
        if let Some(counted) = self.commands.lock().get_mut(command) {
            counted.calls += 1;
            counted.time += time;
            if let Some(error) = error {
                counted.errors += 1;
                let error = error.get(..LONGEST_ERROR).unwrap_or(error);
                counted.last_error = String::from_utf8_lossy(error).trim().to_owned();
            }
        }
    }

    /// Returns the number of the list of commands, which grows with each change.
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Relaxed)
    }

    /// Returns the commands and their counters, by name.
    pub fn list(&self) -> Vec<Counted> {
        self.commands.lock().values().cloned().collect()
    }

    /// Sets the counters to zero for commands that are new, and forgets those that are gone.
    fn set(&self, offers: &[Offer]) {
        let mut commands = self.commands.lock();
        let keep = |offer: &Offer| {
            let counted = commands.get(&offer.facts.name).cloned();
            let fresh = || Counted {
                offer: offer.clone(),
                calls: 0,
                errors: 0,
                time: Duration::ZERO,
                last_error: String::new(),
            };
            let counted = counted.map(|counted| Counted { offer: offer.clone(), ..counted });
            (offer.facts.name.clone(), counted.unwrap_or_else(fresh))
        };
        *commands = offers.iter().map(keep).collect();
        self.revision.fetch_add(1, Ordering::Relaxed);
    }
}

/// The subscription of one command.
struct Endpoint {
    command: String,
    subscriber: Subscriber,
    /// True if the command is gone, and only calls that have arrived are left.
    is_gone: bool,
}

impl Stream for Endpoint {
    type Item = (String, Message);

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let message = self.subscriber.poll_next_unpin(context);
        message.map(|message| message.map(|message| (self.command.clone(), message)))
    }
}

/// Takes the calls of other programs, and the messages to this host, for as long as the membership
/// lasts. Calls come before the messages that arrived with them: an answer to a ping names every
/// call that arrived before the ping.
pub async fn run(node: Arc<Node>, client: Client, mut direct: Subscriber) {
    let mut endpoints = SelectAll::<Endpoint>::new();
    let mut offers = Vec::new();
    // Weak: a strong one would delay the end of plugins, and an address can be that of another one.
    let mut seen = Weak::<Registry>::new();
    let mut look = tokio::time::interval(LOOK);
    let mut taken = 0;
    let mut is_leaving = false;
    loop {
        tokio::select! {
            biased;
            Some((command, message)) = endpoints.next() => {
                accept(&node, command, message).await;
                taken += 1;
                if taken % TOGETHER == 0 {
                    tokio::task::yield_now().await;
                }
            }
            Some(message) = direct.next() => handle_direct(&node, &message).await,
            _ = look.tick() => {
                let registry = node.host.registry.load_full();
                let now = Arc::downgrade(&registry);
                let leaves = node.host.shutdown.is_stopping();
                if (now.ptr_eq(&seen) && leaves == is_leaving) || !node.link.is_up() {
                    continue;
                }
                seen = now;
                let wanted = if leaves { Vec::new() } else { offers_of(&registry) };
                if wanted != offers {
                    node.stats.set(&wanted);
                    // The others know of the command before they can get a reply from here.
                    alive::announce(&node).await;
                    change(&node, &client, &mut endpoints, &wanted).await;
                    offers = wanted;
                }
                if leaves && !is_leaving {
                    is_leaving = true;
                    alive::announce(&node).await;
                    // It comes back behind the last call that NATS has sent here.
                    let subject = node.subjects.host(&node.id);
                    node.outbox.post(Outgoing::plain(subject, Direct::Drained.encode())).await;
                }
            }
        }
    }
}

/// Returns the commands of this host's plugins, by name.
fn offers_of(registry: &Registry) -> Vec<Offer> {
    let plugins = registry.all_plugins();
    let everyone = Identity::of(([127, 0, 0, 1], 0).into(), Trust::All);
    let commands = registry.commands(&everyone).into_iter();
    let own = commands.filter(|command| command.hosts.is_none());
    let offer = own.filter_map(|command| {
        let plugin = command.plugin.clone()?;
        let version = plugins.iter().find(|one| one.name == plugin)?.version.clone();
        Some(Offer { plugin, version, facts: command.facts() })
    });
    offer.collect()
}

/// Brings the subscriptions in line with the commands.
async fn change(
    node: &Node,
    client: &Client,
    endpoints: &mut SelectAll<Endpoint>,
    wanted: &[Offer],
) {
    let is_wanted = |command: &str| wanted.iter().any(|offer| offer.facts.name == command);
    for endpoint in endpoints.iter_mut().filter(|endpoint| !is_wanted(&endpoint.command)) {
        // Calls that NATS has sent here are still answered; then the subscription leaves the set. An
        // error means that the connection has ended for good.
        let _ = endpoint.subscriber.drain().await;
        endpoint.is_gone = true;
    }
    let mut new: Vec<_> = wanted.iter().map(|offer| offer.facts.name.clone()).collect();
    new.retain(|command| {
        endpoints.iter().all(|endpoint| endpoint.is_gone || endpoint.command != *command)
    });
    for command in new {
        let subject = node.subjects.call(&command);
        match client.queue_subscribe(subject, GROUP.to_owned()).await {
            Ok(subscriber) => endpoints.push(Endpoint { command, subscriber, is_gone: false }),
            Err(error) => log::warn!("fleet: cannot offer '{command}' to other hosts: {error}"),
        }
    }
}

/// Takes a call, and runs it on a thread of its own.
async fn accept(node: &Arc<Node>, command: String, message: Message) {
    let Some(reply) = message.reply.as_ref().map(ToString::to_string) else { return };
    if !is_reply_subject(&reply) {
        return;
    }
    let is_host = envelope::is_call(&message.payload);
    let (head, request) = match envelope::read_call(&message.payload) {
        Some((head, request)) => (Some(head), message.payload.slice_ref(request)),
        None => (None, message.payload.clone()),
    };
    let number = reply.rsplit('.').next().and_then(|number| number.parse().ok());
    if node.running.len() >= MOST {
        if is_host {
            node.outbox.post(Outgoing::plain(reply, Response::Elsewhere.encode())).await;
        }
        return;
    }
    let listed = node.running.begin(&command, head, number.unwrap_or_default());
    let stage = Cell::new(Stage::Waits);
    let job = Job { listed, request, reply, is_host, stage, node: Arc::clone(node) };
    match node.pool.run(Box::new(move || run::run(&job))) {
        Ok(_) => node.has_jobs.notify_one(),
        Err(error) => log::error!("fleet: cannot start a thread for a call: {error}"),
    }
}

/// Ticks the pool of threads while calls wait, for as long as the membership lasts.
pub async fn tick(node: Arc<Node>) {
    loop {
        node.has_jobs.notified().await;
        loop {
            tokio::time::sleep(TICK).await;
            if !node.pool.tick(Instant::now()) {
                break;
            }
        }
    }
}

/// Answers a message to this host.
async fn handle_direct(node: &Arc<Node>, message: &Message) {
    let Some(direct) = Direct::decode(&message.payload) else { return };
    let payload = match direct {
        Direct::Ping(caller) => {
            envelope::pong(node.link.connects(), &node.running.of_caller(&caller))
        }

        Direct::Cancel(caller, call) => return node.running.cancel(&caller, call),
        Direct::Taken(caller, call, parts) => return node.running.take(&caller, call, parts),
        Direct::Drained => return node.running.note_drained(),
        Direct::Commands => {
            let offers: Vec<_> = node.stats.list().into_iter().map(|one| one.offer).collect();
            // Text and booleans always have a form in JSON.
            let json = serde_json::to_vec(&offers).unwrap_or_default();
            if json.len() > node.link.limit() {
                log::error!("fleet: the list of commands is too large for NATS: {}", json.len());
                return;
            }
            json.into()
        }
    };
    if let Some(reply) = message.reply.as_ref().filter(|reply| is_reply_subject(reply)) {
        node.outbox.post(Outgoing::plain(reply.to_string(), payload)).await;
    }
}
