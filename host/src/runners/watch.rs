//! The watch: a thread that replaces a leader whose turn takes long.
//!
//! It looks at each runner every millisecond while any of them works, and sleeps else, so that a
//! host without work takes no processor time.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{Runners, waiting::Table};

/// The interval between two looks. A turn that has lasted from one to the next loses the waiting.
const TICK: Duration = Duration::from_millis(1);

/// The number of looks without work after which the watch sleeps.
const QUIET: u32 = 20;

/// The number of looks between two comparisons of the runners' loads.
const ROUND: u32 = 64;

/// The number of looks between two attempts to replace a leader without a thread for another.
const RETRY: u32 = 50;

/// The age at which a leader is replaced: a plugin's thread-local on its thread keeps the plugin's
/// library in memory until the thread ends.
pub(super) const AGE: Duration = Duration::from_secs(10);

/// The watch over the runners of a host.
#[derive(Default)]
pub struct Watch {
    is_asleep: AtomicBool,
    is_ended: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The watch's last look at one runner.
#[derive(Clone, Copy, Default)]
struct Seen {
    term: u64,
    turns: u64,
    /// The number of looks of this round at which it worked.
    busy: u32,
}

impl Watch {
    /// Starts the thread.
    pub(super) fn start(self: &Arc<Self>, runners: &Arc<Runners>) -> io::Result<()> {
        let (watch, runners) = (Arc::clone(self), Arc::downgrade(runners));
        let thread = thread::Builder::new()
            .name("runner watch".into())
            .spawn(move || watch.run(&runners))?;
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(())
    }

    /// Ends the thread.
    pub fn end(&self) {
        self.is_ended.store(true, Ordering::SeqCst);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            thread.thread().unpark();
            if thread.join().is_err() {
                log::error!("the watch over the runners panicked");
            }
        }
    }

    /// Wakes the watch, since a runner begins to work. The caller has the lock of its table.
    #[inline]
    pub(super) fn stir(&self) {
        if self.is_asleep.load(Ordering::Relaxed) {
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        if self.is_asleep.swap(false, Ordering::SeqCst)
            && let Some(thread) = &*self.thread.lock().unwrap_or_else(PoisonError::into_inner)
        {
            thread.thread().unpark();
        }
    }

    fn run(&self, runners: &Weak<Runners>) {
        let (mut seen, mut quiet, mut looks) = (Vec::new(), 0, 0_u32);
        while !self.is_ended.load(Ordering::SeqCst) {
            thread::sleep(TICK);
            let Some(runners) = runners.upgrade() else { return };
            seen.resize(runners.waitings.len(), Seen::default());
            looks = looks.wrapping_add(1);
            quiet = if look(&runners, &mut seen, looks) { 0 } else { quiet + 1 };
            if looks.is_multiple_of(ROUND) {
                balance(&runners, &mut seen);
            }
            if quiet < QUIET {
                continue;
            }
            quiet = 0;
            self.is_asleep.store(true, Ordering::SeqCst);
            // A runner that has begun before the store is seen here; one that begins later sees it.
            let has_begun = runners
                .waitings
                .iter()
                .zip(&seen)
                .any(|(waiting, seen)| waiting.lock().turns() != (seen.turns, false));
            let age = runners.waitings.iter().filter_map(|waiting| waiting.lock().age()).max();
            drop(runners);
            if !has_begun && !self.is_ended.load(Ordering::SeqCst) {
                match age {
                    None => thread::park(),
                    Some(age) => thread::park_timeout(AGE.saturating_sub(age)),
                }
            }
            self.is_asleep.store(false, Ordering::SeqCst);
        }
    }
}

/// Looks at all runners, and replaces leaders. Returns true if one of them works.
fn look(runners: &Arc<Runners>, all: &mut [Seen], looks: u32) -> bool {
    let (mut is_active, mut is_starved) = (false, false);
    for (place, (waiting, seen)) in runners.waitings.iter().zip(all).enumerate() {
        let Some(mut table) = waiting.try_lock() else {
            // Its leader is between two turns.
            seen.busy += 1;
            is_active = true;
            continue;
        };
        let (turns, is_serving) = table.turns();
        let is_long = is_serving && (table.term(), turns) == (seen.term, seen.turns);
        is_active |= is_serving || turns != seen.turns;
        seen.busy += u32::from(is_serving);
        (seen.term, seen.turns) = (table.term(), turns);
        let may_try = !runners.is_starved() || looks.is_multiple_of(RETRY);
        is_starved |= is_long && !(may_try && runners.replace_leader(place, &mut table));
        retire(&mut table, || waiting.wake());
    }
    runners.is_starved.store(is_starved, Ordering::Relaxed);
    is_active
}

/// Has an old leader replaced.
fn retire(table: &mut Table, wake: impl FnOnce()) {
    if !table.is_old && table.age().is_some_and(|age| age >= AGE) {
        table.is_old = true;
        wake();
    }
}

/// Moves clients from a runner that always works to one that does not.
fn balance(runners: &Runners, seen: &mut [Seen]) {
    /// The number of looks of a round from which on a runner is overloaded, and up to which one has
    /// time for more.
    const OVERLOADED: u32 = ROUND * 9 / 10;
    const FREE: u32 = ROUND / 2;
    let has_free = seen.iter().any(|seen| seen.busy <= FREE);
    for (waiting, seen) in runners.waitings.iter().zip(seen) {
        if has_free
            && seen.busy >= OVERLOADED
            && let Some(mut table) = waiting.try_lock()
            && table.ready() > 1
        {
            table.surplus = table.ready() / 2;
        }
        seen.busy = 0;
    }
}
