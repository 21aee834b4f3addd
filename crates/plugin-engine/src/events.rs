//! Publishes plugin events to the log and to the sessions that have subscribed.

use std::{
    fmt, io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use log::Level;
use platform::{WakeReceiver, Waker};

/// The maximum number of unread events for each session. Further events are counted, and the
/// session learns the number of missed ones.
const KEPT: usize = 256;

/// An event of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginEvent {
    /// The kind.
    pub kind: EventKind,
    /// The plugin's name; empty for a file that never became one.
    pub plugin: String,
    /// The number of its version; 0 if there is none.
    pub generation: u64,
    /// Its file's name in the plugins folder.
    pub file: String,
    /// The duration of the operation behind the event.
    pub took: Duration,
    /// Details for people; may be empty.
    pub detail: String,
}

/// The kind of a plugin event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// It is served now and was not before.
    Loaded,
    /// A file, which may be its configuration, was refused.
    Refused,
    /// Another version of it is served now.
    Swapped,
    /// Its configuration file has changed, and the new values are in force.
    Configured,
    /// Its commands are gone.
    Withdrawn,
    /// The last call of a version that is no longer served has ended.
    Drained,
    /// The code of that version is unloaded.
    Unloaded,
    /// The code of that version stays mapped for now.
    Lingering,
    /// A process of it has ended unexpectedly.
    Crashed,
    /// A process of it was started again and serves.
    Restarted,
    /// Its processes have ended too often: its commands are unavailable until a trial succeeds.
    Quarantined,
    /// A trial has succeeded.
    Healed,
    /// Its process serves another list of commands.
    CommandsChanged,
    /// The commands that other hosts answer have changed; there is no plugin and no file.
    FleetChanged,
}

/// A topic that a session can subscribe to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Every plugin event.
    Plugins,
    /// Changes of the list of commands.
    Commands,
}

/// The sessions that have subscribed to events.
#[derive(Default)]
pub struct EventBus {
    readers: Mutex<Vec<Reader>>,
    next: AtomicU64,
    /// The number of published events of each kind, in the order of [`EventKind::ALL`].
    published: [AtomicU64; EventKind::ALL.len()],
}

struct Reader {
    number: u64,
    events: Sender<Arc<PluginEvent>>,
    missed: Arc<AtomicU64>,
    waker: Waker,
}

/// A session's subscription; dropping it unsubscribes.
pub struct Subscription {
    number: u64,
    bus: Arc<EventBus>,
    events: Receiver<Arc<PluginEvent>>,
    missed: Arc<AtomicU64>,
    wake_receiver: Arc<WakeReceiver>,
}

impl EventBus {
    /// Logs an event and sends it to every subscriber.
    pub fn publish(&self, event: PluginEvent) {
        let level = match event.kind {
            EventKind::Refused | EventKind::Quarantined => Level::Error,
            EventKind::Lingering | EventKind::Crashed => Level::Warn,
            _ => Level::Info,
        };
        // Counted first: who reads the line finds it counted.
        self.published[event.kind as usize].fetch_add(1, Ordering::Relaxed);
        log::log!(level, "{event}");
        let event = Arc::new(event);
        self.readers().retain(|reader| {
            match reader.events.try_send(Arc::clone(&event)) {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => {
                    reader.missed.fetch_add(1, Ordering::SeqCst);
                }
                Err(TrySendError::Disconnected(_)) => return false,
            }
            reader.waker.wake();
            true
        });
    }

    /// Returns the number of published events of this kind.
    #[must_use]
    pub fn published(&self, kind: EventKind) -> u64 {
        self.published[kind as usize].load(Ordering::Relaxed)
    }

    /// Subscribes to all events.
    ///
    /// # Errors
    /// The system has no descriptors left for a waker.
    pub fn subscribe(self: &Arc<Self>) -> io::Result<Subscription> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, events) = bounded(KEPT);
        let (waker, wake_receiver) = Waker::new()?;
        let missed = Arc::<AtomicU64>::default();
        let counter = Arc::clone(&missed);
        self.readers().push(Reader { number, events: sender, missed: counter, waker });
        Ok(Subscription {
            number,
            bus: Arc::clone(self),
            events,
            missed,
            wake_receiver: wake_receiver.into(),
        })
    }

    fn readers(&self) -> MutexGuard<'_, Vec<Reader>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscription {
    /// Returns the events since the last call.
    pub fn read(&self) -> impl Iterator<Item = Arc<PluginEvent>> {
        self.wake_receiver.clear();
        self.events.try_iter()
    }

    /// Returns the number of events that were missed since the last call. Call it after
    /// [`read`](Self::read): missed events are later than those that were kept.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed.swap(0, Ordering::SeqCst)
    }

    /// Returns the channel of events, for a reader that waits for nothing else.
    pub fn receiver(&self) -> &Receiver<Arc<PluginEvent>> {
        &self.events
    }

    /// Returns the receiver that becomes readable when there is an event.
    pub fn wake_receiver(&self) -> &Arc<WakeReceiver> {
        &self.wake_receiver
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.bus.readers().retain(|reader| reader.number != self.number);
    }
}

impl EventKind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 14] = [
        Self::Loaded,
        Self::Refused,
        Self::Swapped,
        Self::Configured,
        Self::Withdrawn,
        Self::Drained,
        Self::Unloaded,
        Self::Lingering,
        Self::Crashed,
        Self::Restarted,
        Self::Quarantined,
        Self::Healed,
        Self::CommandsChanged,
        Self::FleetChanged,
    ];

    /// Returns the kind's name, as subscribers get it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::Refused => "refused",
            Self::Swapped => "swapped",
            Self::Configured => "configured",
            Self::Withdrawn => "withdrawn",
            Self::Drained => "drained",
            Self::Unloaded => "unloaded",
            Self::Lingering => "lingering",
            Self::Crashed => "crashed",
            Self::Restarted => "restarted",
            Self::Quarantined => "quarantined",
            Self::Healed => "healed",
            Self::CommandsChanged => "commands-changed",
            Self::FleetChanged => "fleet-changed",
        }
    }
}

// Counters are indexed by kind: a kind that is missing in the list must not compile.
const _: () = {
    let mut at = 0;
    while at < EventKind::ALL.len() {
        assert!(EventKind::ALL[at] as usize == at);
        at += 1;
    }
    assert!(EventKind::FleetChanged as usize + 1 == at);
};

impl fmt::Display for PluginEvent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, plugin, generation, file, took, detail } = self;
        if *kind == EventKind::FleetChanged {
            return write!(out, "fleet: {detail}");
        }
        if plugin.is_empty() {
            write!(out, "plugin file {file}: ")?;
        } else {
            write!(out, "plugin {plugin}: ")?;
        }
        match generation {
            0 => write!(out, "{} {file}", kind.name())?,
            _ => write!(out, "generation {generation} {}, {file}", kind.name())?,
        }
        write!(out, " ({:.1} ms)", took.as_secs_f64() * 1e3)?;
        if !detail.is_empty() {
            write!(out, ": {detail}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(generation: u64) -> PluginEvent {
        let (plugin, file, detail) = ("text".into(), "libtext.so".into(), String::new());
        PluginEvent {
            kind: EventKind::Drained,
            plugin,
            generation,
            file,
            took: Duration::ZERO,
            detail,
        }
    }

    #[test]
    fn missed_events_of_busy_subscriber_are_counted() {
        let bus = Arc::<EventBus>::default();
        let subscription = bus.subscribe().unwrap();
        (0..KEPT as u64 + 44).for_each(|generation| bus.publish(event(generation)));
        assert_eq!(subscription.read().count(), KEPT);
        assert_eq!((subscription.missed(), subscription.missed()), (44, 0));
        bus.publish(event(1));
        assert_eq!((subscription.read().count(), subscription.missed()), (1, 0));
    }

    #[test]
    fn events_are_counted_each_by_itself() {
        let bus = Arc::<EventBus>::default();
        for (before, kind) in EventKind::ALL.into_iter().enumerate() {
            (0..=before).for_each(|_| bus.publish(PluginEvent { kind, ..event(1) }));
        }
        let counts = EventKind::ALL.map(|kind| bus.published(kind));
        assert_eq!(counts, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
    }
}
