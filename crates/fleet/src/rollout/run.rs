//! The task of the rollouts: follows the bucket, the events of plugins and the requests of sessions.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use async_nats::Client;
use crossbeam_channel::Sender;
use futures_util::StreamExt;
use plugin_engine::events::PluginEvent;
use tokio::sync::{Semaphore, mpsc};

use super::{
    drops::Drops,
    error::RolloutError,
    hold::{Hold, Trial},
    publish::{Offers, Stored},
    record::Record,
    requests::{Answer, Request},
    store::Store,
    take::Fetched,
};
use crate::node::Node;

/// The interval at which leases, waits and timeouts are checked.
const TICK: Duration = Duration::from_millis(250);

/// The pause before JetStream is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The longest such pause.
const LONGEST_RETRY: Duration = Duration::from_secs(10);

/// The interval at which the thread of events looks if it is still needed.
const LOOK: Duration = Duration::from_millis(500);

/// The most events that wait for the task.
const EVENTS: usize = 1024;

/// The most files that a host fetches at the same time. Each is held in memory.
const MOST_FETCHES: usize = 2;

/// An event for the task.
pub(super) enum News {
    /// A plugin has been loaded, refused or crashed, at this time.
    Plugin(Instant, Arc<PluginEvent>),
    /// A version has been fetched and verified, for the rollout of this key and the version of
    /// this id.
    Fetched(String, String, Result<Fetched, RolloutError>),
    /// A file that a session has pushed is stored.
    Pushed(Sender<Answer>, Result<Stored, RolloutError>),
    /// A file of the plugins folder is stored; `None` if the fleet need not have it.
    Dropped(String, Result<Option<Stored>, RolloutError>),
}

/// The task of the rollouts.
pub(super) struct Runner {
    pub(super) node: Arc<Node>,
    /// `None` while JetStream is away.
    pub(super) store: Option<Store>,
    pub(super) record: Record,
    /// The rollouts by key.
    pub(super) holds: BTreeMap<String, Hold>,
    /// The versions that this host tries, by the key of their rollout.
    pub(super) trials: BTreeMap<String, Trial>,
    pub(super) drops: Drops,
    /// The order in which files were offered.
    pub(super) offers: Offers,
    /// Bounds the versions that are fetched at the same time.
    pub(super) fetches: Arc<Semaphore>,
    pub(super) sender: mpsc::Sender<News>,
    /// True once the log has said that this host takes no plugins.
    pub(super) has_warned: bool,
}

/// Rolls plugins out for as long as the membership lasts.
pub async fn run(node: Arc<Node>, client: Client) {
    let Some(mut requests) = node.rollouts.requests() else { return };
    let record = match Record::open(&node.host.plugins) {
        Ok(record) => record,
        Err(error) => {
            log::error!("fleet: this host takes no part in rollouts: {error}");
            *node.rollouts.problem.lock() = Some(error.to_string());
            return;
        }
    };
    let (sender, mut news) = mpsc::channel(EVENTS);
    if node.host.plugin_key.is_some()
        && let Err(error) = forward_events(&node, sender.clone())
    {
        log::error!("fleet: this host takes no part in rollouts: {error}");
        *node.rollouts.problem.lock() = Some(error.to_string());
        return;
    }
    *node.rollouts.confirmed.lock() = record.confirmed();
    let mut runner = Runner {
        node: Arc::clone(&node),
        store: None,
        record,
        holds: BTreeMap::new(),
        trials: BTreeMap::new(),
        drops: Drops::default(),
        offers: Offers::default(),
        fetches: Arc::new(Semaphore::new(MOST_FETCHES)),
        sender,
        has_warned: false,
    };
    runner.note_crash().await;
    runner.keep_served_files().await;
    let mut events = (&mut requests, &mut news);
    let mut pause = RETRY;
    loop {
        runner.attend(&mut events, node.link.risen()).await;
        let problem = match runner.follow(&client, &mut events).await {
            Ok(()) => {
                pause = RETRY;
                "the connection has ended".to_owned()
            }
            Err(RolloutError::Away(problem)) => problem,
            Err(error) => error.to_string(),
        };
        runner.store = None;
        let known = node.rollouts.problem.lock().replace(problem.clone());
        if known.as_ref() != Some(&problem) && node.link.is_up() && runner.takes() {
            log::warn!(
                "fleet: no plugins are rolled out while JetStream is away: {problem}; start the \
                 NATS server with -js"
            );
        }
        runner.attend(&mut events, tokio::time::sleep(pause)).await;
        pause = (pause * 2).min(LONGEST_RETRY);
    }
}

/// Passes the events of plugins on to the task, on a thread of its own.
fn forward_events(node: &Node, sender: mpsc::Sender<News>) -> std::io::Result<()> {
    let subscription = node.host.events.subscribe()?;
    let forward = move || {
        while !sender.is_closed() {
            let Ok(event) = subscription.receiver().recv_timeout(LOOK) else { continue };
            subscription.wake_receiver().clear();
            if sender.blocking_send(News::Plugin(Instant::now(), event)).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("fleet-events".into()).spawn(forward)?;
    Ok(())
}

type Events<'a> = (&'a mut mpsc::Receiver<Request>, &'a mut mpsc::Receiver<News>);

impl Runner {
    /// Returns the buckets.
    ///
    /// # Errors
    /// JetStream is away.
    pub(super) fn store(&self) -> Result<Store, RolloutError> {
        let away = || {
            let (rollouts, link) = (&self.node.rollouts, &self.node.link);
            let problem = rollouts.problem.lock().clone();
            rollouts.away(problem.unwrap_or_else(|| link.explain()), link)
        };
        self.store.clone().ok_or_else(away)
    }

    /// Returns true if this host takes plugins from the fleet.
    pub(super) fn takes(&self) -> bool {
        self.node.host.plugin_key.is_some()
    }

    /// Opens the buckets and follows the rollouts until the connection ends.
    async fn follow(
        &mut self,
        client: &Client,
        events: &mut Events<'_>,
    ) -> Result<(), RolloutError> {
        let (node, takes) = (Arc::clone(&self.node), self.takes());
        log::debug!("fleet '{}': asks for JetStream", node.settings.fleet);
        let open = async {
            let store = Store::open(client, &node.settings.fleet, takes).await?;
            let watch = store.watch().await?;
            Ok::<_, RolloutError>((store, watch))
        };
        let (store, mut watch) = self.attend(events, open).await?;
        // A bucket that was made anew counts its revisions from the start.
        self.holds.clear();
        let mut is_current = store.is_empty().await?;
        self.store = Some(store);
        if is_current {
            self.note_current();
        }
        loop {
            let next = async {
                tokio::select! {
                    entry = watch.next() => entry,
                    () = node.link.fallen() => None,
                }
            };
            match self.attend(events, next).await {
                Some(Ok(entry)) => {
                    let is_last = entry.delta == 0;
                    self.note(entry).await;
                    if is_last && !std::mem::replace(&mut is_current, true) {
                        self.note_current();
                    }
                }
                Some(Err(error)) => return Err(RolloutError::Away(error.to_string())),
                None => return Ok(()),
            }
        }
    }

    /// Handles events and requests until the future is ready.
    async fn attend<T>(&mut self, events: &mut Events<'_>, until: impl Future<Output = T>) -> T {
        let mut until = pin!(until);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                Some(news) = events.1.recv() => self.handle(news).await,
                result = &mut until => return result,
                Some(request) = events.0.recv() => self.answer(request).await,
                _ = tick.tick() => self.tick().await,
            }
        }
    }

    async fn handle(&mut self, news: News) {
        match news {
            News::Plugin(when, event) => self.handle_event(when, &event).await,
            News::Fetched(key, id, fetched) => self.handle_fetched(key, &id, fetched).await,
            News::Pushed(reply, stored) => {
                let answer = self.begin_pushed(stored).await;
                // Best effort: the session may have ended.
                let _ = reply.send(answer);
            }
            News::Dropped(file, stored) => self.begin_dropped(file, stored).await,
        }
    }

    async fn answer(&mut self, request: Request) {
        match request {
            Request::Push(upload, reply) => self.push(upload, reply),
            Request::RollBack(plugin, reply) => {
                let answer = self.roll_back(&plugin).await;
                // Best effort: the session may have ended.
                let _ = reply.send(answer);
            }
            Request::Forget(plugin, reply) => {
                let answer = self.forget(&plugin).await;
                // As above.
                let _ = reply.send(answer);
            }
        }
    }

    /// Notes that the last run of this host crashed in a plugin that was on trial: what others take
    /// for a lost canary was a failure.
    async fn note_crash(&mut self) {
        let Some(plugin) = self.node.host.crashed.clone() else { return };
        for (key, mut held) in self.record.tried(&plugin) {
            let reason = "the host crashed in it".to_owned();
            log::error!("fleet: plugin '{plugin}' has failed here: {reason}");
            held.refused = held.id.clone().map(|id| (id, reason));
            self.record.set(&key, held).await;
        }
    }

    async fn tick(&mut self) {
        self.node.rollouts.uploads.drop_idle();
        self.check_trials().await;
        if self.store.is_some() {
            self.offer_drops();
            for key in self.holds.keys().cloned().collect::<Vec<_>>() {
                self.advance(&key).await;
            }
        }
    }
}
