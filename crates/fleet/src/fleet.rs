//! The membership of this host in a fleet.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use async_nats::Client;
use crossbeam_channel::{Receiver, bounded};
use parking_lot::Mutex;
use tokio::{runtime::Builder, sync::Notify};

use crate::{
    alive,
    announcement::HostState,
    answering::{context::ObservedCall, endpoints, pool::Pool},
    calling::{pending::PendingCalls, watch},
    connection,
    error::StartError,
    inbox,
    link::Link,
    members::{MemberFacts, Members},
    node::{HostParts, Node},
    outbox::{self, Outbox},
    rollout::{self, Rollouts},
    service,
    settings::Settings,
    subjects::Subjects,
};

/// The interval at which the end of running calls is checked.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The longest wait for the fleet's thread to end.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// The membership of this host in a fleet.
pub struct Fleet {
    node: Arc<Node>,
    stop: Arc<Notify>,
    is_stopped: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Fleet {
    /// Becomes a member: starts the thread, which connects to the servers, and connects again as
    /// often as needed.
    ///
    /// # Errors
    /// The settings cannot be used, or there is no thread. A server that cannot be reached is no
    /// error.
    pub fn start(settings: Settings, host: HostParts) -> Result<Self, StartError> {
        if !Subjects::is_fleet_name(&settings.fleet) {
            return Err(StartError::Name(settings.fleet));
        }
        let is_unfit = |letter: char| letter.is_whitespace() || letter.is_control();
        if !(1..=128).contains(&settings.host.chars().count()) || settings.host.contains(is_unfit) {
            return Err(StartError::HostName(settings.host));
        }
        let id = format!("{:016x}", fastrand::u64(..));
        let (outbox, messages) = Outbox::new();
        let node = Arc::new(Node {
            // Not the id, which is announced: nobody else can write replies.
            inbox: format!("_INBOX.{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..)),
            subjects: Subjects::new(&settings.fleet),
            id,
            settings,
            host,
            link: Link::new(),
            refusals: Default::default(),
            outbox,
            members: Members::default(),
            echo: Default::default(),
            pending: PendingCalls::default(),
            has_pending: Notify::new(),
            running: Default::default(),
            stats: Default::default(),
            pool: Pool::new(endpoints::MOST),
            has_jobs: Notify::new(),
            rollouts: Default::default(),
        });
        let stop = Arc::new(Notify::new());
        let (report, started) = bounded(1);
        let run = {
            let (node, stop) = (Arc::clone(&node), Arc::clone(&stop));
            move || {
                let runtime = Builder::new_current_thread().enable_all().build();
                let runtime = match runtime {
                    Ok(runtime) => runtime,
                    Err(error) => {
                        // The receiver waits for this.
                        let _ = report.send(Err(StartError::Thread(error)));
                        return;
                    }
                };
                runtime.block_on(async {
                    match connection::connect(&node).await {
                        Ok(client) => {
                            // As above.
                            let _ = report.send(Ok(()));
                            serve(node, client, messages, stop).await;
                        }
                        Err(error) => {
                            // As above.
                            let _ = report.send(Err(error));
                        }
                    }
                });
            }
        };
        let thread =
            thread::Builder::new().name("fleet".into()).spawn(run).map_err(StartError::Thread)?;
        wait_for_report(&started)?;
        Ok(Self {
            node,
            stop,
            is_stopped: AtomicBool::new(false),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Describes the other hosts, by name.
    pub fn members(&self) -> Vec<MemberFacts> {
        self.node.members.facts()
    }

    /// Returns the rollouts of plugins.
    pub fn rollouts(&self) -> Rollouts<'_> {
        Rollouts(&self.node)
    }

    /// Returns the name of this host.
    pub fn host_name(&self) -> &str {
        &self.node.settings.host
    }

    /// Returns the name of the fleet.
    pub fn name(&self) -> &str {
        &self.node.settings.fleet
    }

    /// Describes for people that the NATS servers are away, or refuse something; `None` if neither.
    pub fn problem(&self) -> Option<String> {
        let link = &self.node.link;
        if !link.is_up() {
            return Some(link.explain());
        }
        let refusal = link.refusal()?;
        Some(format!("connected, but the server has refused what a host needs: {refusal}"))
    }

    /// Returns the running calls of these commands that other hosts have sent.
    pub fn running_calls(
        &self,
        commands: &[Arc<plugin_engine::registry::Command>],
    ) -> Vec<Box<dyn plugin_engine::context::RunningCall>> {
        let calls = self.node.running.list().into_iter();
        let of = calls.filter(|call| commands.iter().any(|command| command.name == call.command));
        of.map(|call| Box::new(ObservedCall(Arc::downgrade(&call))) as _).collect()
    }

    /// Returns the number of calls of other hosts that run.
    pub fn running(&self) -> usize {
        self.node.running.len()
    }

    /// Waits until the calls of other hosts have ended, at most until the deadline, and leaves the
    /// fleet. Returns the number of calls that still run.
    pub fn end(&self, deadline: Option<Instant>) -> usize {
        let deadline = deadline.unwrap_or_else(Instant::now);
        let node = &self.node;
        let waits = || match node.link.is_up() {
            true => !node.running.is_drained(),
            false => node.running.len() > 0,
        };
        while waits() && Instant::now() < deadline {
            thread::sleep(POLL_INTERVAL);
        }
        self.stop();
        self.node.running.len()
    }

    fn stop(&self) {
        if self.is_stopped.swap(true, Ordering::SeqCst) {
            return;
        }
        self.stop.notify_one();
        self.node.pool.close();
        let Some(thread) = self.thread.lock().take() else { return };
        let end = Instant::now() + END_TIMEOUT;
        while !thread.is_finished() && Instant::now() < end {
            thread::sleep(POLL_INTERVAL);
        }
        if !thread.is_finished() {
            log::warn!("the fleet's thread did not end in time");
        } else if thread.join().is_err() {
            log::error!("the fleet's thread panicked");
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.stop();
    }
}

fn wait_for_report(started: &Receiver<Result<(), StartError>>) -> Result<(), StartError> {
    let gone = || std::io::Error::other("it ended at once");
    started.recv().unwrap_or_else(|_| Err(StartError::Thread(gone())))
}

/// Runs the tasks of the membership until it is asked to stop.
async fn serve(
    node: Arc<Node>,
    client: Client,
    messages: tokio::sync::mpsc::Receiver<outbox::Outgoing>,
    stop: Arc<Notify>,
) {
    let subscribed = async {
        let alive = client.subscribe(node.subjects.alive()).await?;
        let replies = client.subscribe(format!("{}.>", node.inbox)).await?;
        let direct = client.subscribe(node.subjects.host(&node.id)).await?;
        Ok::<_, async_nats::SubscribeError>((alive, replies, direct))
    };
    let (alive, replies, direct) = match subscribed.await {
        Ok(subscribers) => subscribers,
        Err(error) => return log::error!("fleet: cannot subscribe: {error}"),
    };
    tokio::spawn(connection::watch(Arc::clone(&node), client.clone()));
    tokio::spawn(outbox::run(Arc::clone(&node), client.clone(), messages));
    // Unconstrained: the order of two subscriptions must not depend on a budget of the runtime.
    let inbox = inbox::run(Arc::clone(&node), alive, replies);
    tokio::spawn(tokio::task::unconstrained(inbox));
    let endpoints = endpoints::run(Arc::clone(&node), client.clone(), direct);
    tokio::spawn(tokio::task::unconstrained(endpoints));
    tokio::spawn(endpoints::tick(Arc::clone(&node)));
    tokio::spawn(watch::run(Arc::clone(&node)));
    tokio::spawn(alive::run(Arc::clone(&node)));
    tokio::spawn(service::run(Arc::clone(&node), client.clone()));
    tokio::spawn(rollout::run(Arc::clone(&node), client.clone()));
    stop.notified().await;
    if node.link.is_up() {
        alive::announce_as(&node, HostState::Ended).await;
        // The last messages leave: through the outbox, which runs on this thread, and the client.
        let flushed = async {
            while node.outbox.is_used() {
                tokio::task::yield_now().await;
            }
            client.flush().await
        };
        // Best effort: the others notice that this host is gone.
        let _ = tokio::time::timeout(END_TIMEOUT / 2, flushed).await;
    }
}
