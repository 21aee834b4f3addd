//! What happens to plugins, told to the log and to the sessions that asked.

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

/// Events that a session has not read are at most this many; what comes on top is counted, and the
/// session is told how many it has missed.
const KEPT: usize = 256;

/// One thing that happened to a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginEvent {
    /// What happened.
    pub kind: EventKind,
    /// The plugin's name; empty for a file that never became one.
    pub plugin: String,
    /// Which version of it; 0 where there is none.
    pub generation: u64,
    /// Its file's name in the plugins folder.
    pub file: String,
    /// How long it took.
    pub took: Duration,
    /// More, for people.
    pub detail: String,
}

/// What happens to plugins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// It is served now and was not before.
    Loaded,
    /// A file, which may be its configuration, was not taken.
    Refused,
    /// Another version of it is served now.
    Swapped,
    /// Its configuration file has changed, and what it says is in force.
    Configured,
    /// Its commands are gone.
    Withdrawn,
    /// The last call of a version that is no longer served is over.
    Drained,
    /// That version's code is unloaded.
    Unloaded,
    /// That version's code stays mapped for now.
    Lingering,
}

/// What a session can ask to be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Everything that happens to plugins.
    Plugins,
    /// That the commands may be others than before.
    Commands,
}

/// The sessions that have subscribed to events.
#[derive(Default)]
pub struct EventBus {
    readers: Mutex<Vec<Reader>>,
    next: AtomicU64,
    /// How often each event was published, in the order of [`EventKind::ALL`].
    published: [AtomicU64; EventKind::ALL.len()],
}

struct Reader {
    number: u64,
    events: Sender<Arc<PluginEvent>>,
    missed: Arc<AtomicU64>,
    waker: Waker,
}

/// A session's place in the event bus. It is given up when this drops.
pub struct Subscription {
    number: u64,
    bus: Arc<EventBus>,
    events: Receiver<Arc<PluginEvent>>,
    missed: Arc<AtomicU64>,
    wake_receiver: WakeReceiver,
}

impl EventBus {
    /// Tells the log and every subscriber.
    pub fn publish(&self, event: PluginEvent) {
        let level = match event.kind {
            EventKind::Refused => Level::Error,
            EventKind::Lingering => Level::Warn,
            _ => Level::Info,
        };
        log::log!(level, "{event}");
        self.published[event.kind as usize].fetch_add(1, Ordering::Relaxed);
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

    /// How often this has happened.
    #[must_use]
    pub fn published(&self, kind: EventKind) -> u64 {
        self.published[kind as usize].load(Ordering::Relaxed)
    }

    /// Subscribes.
    ///
    /// # Errors
    /// Where the system has no means to wake it.
    pub fn subscribe(self: &Arc<Self>) -> io::Result<Subscription> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, events) = bounded(KEPT);
        let (waker, wake_receiver) = Waker::new()?;
        let missed = Arc::<AtomicU64>::default();
        let its = Arc::clone(&missed);
        self.readers().push(Reader { number, events: sender, missed: its, waker });
        Ok(Subscription { number, bus: Arc::clone(self), events, missed, wake_receiver })
    }

    fn readers(&self) -> MutexGuard<'_, Vec<Reader>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscription {
    /// What has happened since this was last asked.
    pub fn read(&self) -> impl Iterator<Item = Arc<PluginEvent>> {
        self.wake_receiver.clear();
        self.events.try_iter()
    }

    /// How many events came on top of those that were kept, since this was last asked. Ask after
    /// [`read`](Self::read): what was missed came later than what was kept.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed.swap(0, Ordering::SeqCst)
    }

    /// What arrives, for those who wait for nothing else.
    #[must_use]
    pub fn receiver(&self) -> &Receiver<Arc<PluginEvent>> {
        &self.events
    }

    /// Becomes readable when there is something to read.
    #[must_use]
    pub fn wake_receiver(&self) -> &WakeReceiver {
        &self.wake_receiver
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.bus.readers().retain(|reader| reader.number != self.number);
    }
}

impl EventKind {
    /// All that happens to plugins, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Loaded,
        Self::Refused,
        Self::Swapped,
        Self::Configured,
        Self::Withdrawn,
        Self::Drained,
        Self::Unloaded,
        Self::Lingering,
    ];

    /// The event's name, as subscribers get it.
    #[must_use]
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
        }
    }
}

// What counts them goes by their numbers: a new one that is not in the list must not build.
const _: () = {
    let mut at = 0;
    while at < EventKind::ALL.len() {
        assert!(EventKind::ALL[at] as usize == at);
        at += 1;
    }
    assert!(EventKind::Lingering as usize + 1 == at);
};

impl fmt::Display for PluginEvent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, plugin, generation, file, took, detail } = self;
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
        assert_eq!(counts, [1, 2, 3, 4, 5, 6, 7, 8]);
    }
}
