//! The leader of a waiting: the thread that waits for its sessions and serves them.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use platform::Ready;

use super::{Client, Runners};
use crate::{
    config::Scheduling,
    crash,
    net::lease::Lease,
    session::{Lent, Next},
};

/// The pause after a failed wait.
const PAUSE: Duration = Duration::from_millis(50);

/// The number of waits in a row that find one client alone, after which a thread stays with it.
const LONE: u32 = 64;

/// The time for which such a thread waits for its client. The system counts in 4 ms.
const PATIENCE: Duration = Duration::from_millis(4);

/// The number of turns between two looks at what else the runner has to do.
const LOOK: u64 = 256;

/// The longest wait for a client of runners that have ended.
const LAST_WAIT: Duration = Duration::from_millis(50);

/// The leadership of one waiting in one term.
struct Leadership {
    runners: Arc<Runners>,
    place: usize,
    term: u64,
}

impl Lease for Leadership {
    fn give_up(&self) {
        let Some(waiting) = self.runners.waitings.get(self.place) else { return };
        let mut table = waiting.lock();
        if table.term() == self.term {
            // Without a thread, the others wait for this one.
            self.runners.replace_leader(self.place, &mut table);
        }
    }
}

/// The thread of a leader, and what it lends to its sessions.
struct Thread<'a> {
    runners: &'a Arc<Runners>,
    place: usize,
    term: u64,
    number: u64,
    lent: Lent,
}

/// Leads the waiting at this place while it is its term: waits for its sessions and serves them.
pub(super) fn lead(runners: &Arc<Runners>, place: usize, term: u64) {
    if runners.shared.config.scheduling == Scheduling::Batch
        && let Err(error) = platform::set_batch_scheduling()
    {
        log::debug!("cannot set batch scheduling: {error}; a runner is in the normal class");
    }
    let Some(waiting) = runners.waitings.get(place) else { return };
    let mut thread = Thread::new(runners, place, term);
    let mut ready = Ready::default();
    // The client that was alone at the last waits, and how often.
    let mut lone = (usize::MAX, 0);
    let mut table = waiting.lock();
    while table.term() == term && !waiting.close_if_done(&mut table) {
        if table.is_old {
            if runners.replace_leader(place, &mut table) {
                return;
            }
            // The watch asks again.
            table.is_old = false;
        }
        let time = table.time();
        drop(table);
        if let Err(error) = waiting.wait(&mut ready, time) {
            log::error!("cannot wait for clients: {error}");
            std::thread::sleep(PAUSE);
        }
        table = waiting.lock();
        runners.watch.stir();
        table.note_ready(ready.len());
        let mut keys = ready.keys();
        while let Some(key) = keys.next().or_else(|| table.next_due()) {
            lone = match lone {
                (last, count) if ready.len() == 1 && last == key => (key, count + 1),
                _ => (key, 0),
            };
            let Some(mut client) = table.take(key) else { continue };
            drop(table);
            let next = thread.serve(&mut client);
            table = waiting.lock();
            if table.term() != term {
                drop(table);
                return thread.settle(client, &next);
            }
            match next {
                Next::Rest if table.surplus > 0 => {
                    table.surplus -= 1;
                    waiting.forget(&mut table, key);
                    drop(table);
                    thread.move_away(client);
                    table = waiting.lock();
                }
                Next::Rest if lone == (key, LONE) && client.session.wake_receiver().is_none() => {
                    waiting.forget(&mut table, key);
                    let has_leader = runners.replace_leader(place, &mut table);
                    drop(table);
                    if has_leader {
                        return thread.stay_with(client);
                    }
                    thread.return_to_rest(client);
                    table = waiting.lock();
                }
                Next::Rest => waiting.put_back(&mut table, key, client),
                Next::End(_) => {
                    waiting.forget(&mut table, key);
                    drop(table);
                    client.end(&next);
                    table = waiting.lock();
                }
            }
            if table.term() != term {
                return;
            }
        }
    }
}

impl<'a> Thread<'a> {
    fn new(runners: &'a Arc<Runners>, place: usize, term: u64) -> Self {
        let number = runners.threads.fetch_add(1, Ordering::Relaxed);
        let lent = lend(runners, place, term, number);
        Self { runners, place, term, number, lent }
    }

    /// Serves one turn of a client.
    fn serve(&mut self, client: &mut Client) -> Next {
        let Client { session, registered } = client;
        let turn = || session.take_turn(&mut self.lent);
        let turn = || crash::in_session(&registered.handle, turn);
        match catch_unwind(AssertUnwindSafe(turn)) {
            Ok(next) => next,
            Err(_) => self.give_up_on(client),
        }
    }

    /// Ends a session in which the host itself has panicked.
    #[cold]
    fn give_up_on(&mut self, client: &Client) -> Next {
        log::error!("session {} panicked, and is ended", client.registered.handle.id);
        self.lent = lend(self.runners, self.place, self.term, self.number);
        Next::End(crate::session::CloseReason::Lost(std::io::Error::other("a panic")))
    }

    /// Returns a client whose turn another leader has not waited for.
    fn settle(mut self, client: Client, next: &Next) {
        if matches!(next, Next::End(_)) {
            client.end(next);
        } else {
            self.return_to_rest(client);
        }
    }

    /// Has a client that this thread has served besides be waited for again.
    fn return_to_rest(&mut self, client: Client) {
        if let Err((client, error)) = self.runners.insert(client) {
            self.finish(client, &error);
        }
    }

    /// Waits for one client and serves it, which has kept this runner busy alone: that takes fewer
    /// system calls. Ends when the client pauses, or when the runner gets more to do.
    fn stay_with(mut self, mut client: Client) {
        let Some(waiting) = self.runners.waitings.get(self.place) else { return };
        let (since, mut turns, mut others) = (Instant::now(), 0_u64, None);
        if client.session.set_patience(PATIENCE).is_ok() {
            loop {
                let next = self.serve(&mut client);
                if matches!(next, Next::End(_)) {
                    return client.end(&next);
                }
                if !client.session.had_input() {
                    break;
                }
                turns += 1;
                if turns.is_multiple_of(LOOK) {
                    let now = waiting.lock().turns().0;
                    let is_busy = others.replace(now).is_some_and(|before| now - before > LOOK / 8);
                    if is_busy || since.elapsed() >= super::watch::AGE {
                        break;
                    }
                }
            }
        }
        // A failure means that the connection is gone, which the next turn finds.
        let _ = client.session.set_patience(Duration::ZERO);
        self.return_to_rest(client);
    }

    /// Has a client served by another runner.
    fn move_away(&mut self, client: Client) {
        let moved = self.runners.insert_besides(Some(self.place), client);
        if let Err((client, _)) = moved
            && let Err((client, error)) = self.runners.insert(client)
        {
            self.finish(client, &error);
        }
    }

    /// Serves a client to its end, for which no runner can wait.
    #[cold]
    fn finish(&mut self, mut client: Client, error: &std::io::Error) {
        // The others of this runner must not wait for the client.
        self.lent.give_up_lease();
        let waiting = self.runners.waitings.get(self.place);
        if waiting.is_some_and(|waiting| waiting.lock().term() == self.term) {
            log::warn!("session {} is ended: {error}", client.registered.handle.id);
            return;
        }
        if !self.runners.shared.shutdown.is_stopping() {
            log::warn!("session {} has a thread to itself: {error}", client.registered.handle.id);
        }
        loop {
            let next = self.serve(&mut client);
            if matches!(next, Next::End(_)) {
                return client.end(&next);
            }
            let deadline = client.session.deadline();
            let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
            client.session.wait_readable(left.unwrap_or(LAST_WAIT).min(LAST_WAIT));
        }
    }
}

impl Client {
    /// Notes the end of a session.
    fn end(self, next: &Next) {
        if let Next::End(reason) = next {
            let handle = &self.registered.handle;
            log::debug!("session {} from {} ended: {reason}", handle.id, handle.peer);
        }
    }
}

/// Makes the buffers that a thread lends to its sessions.
fn lend(runners: &Arc<Runners>, place: usize, term: u64, number: u64) -> Lent {
    let lease = Box::new(Leadership { runners: Arc::clone(runners), place, term });
    Lent::new(&runners.shared.config.bounds, number, lease)
}
