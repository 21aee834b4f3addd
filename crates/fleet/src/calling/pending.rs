//! The calls of this host that another one answers.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use crate::envelope::Response;

/// The fence of a call that has not been sent.
const UNSENT: u64 = u64::MAX;

/// The news about a call.
#[derive(Clone, Debug)]
pub enum News {
    /// The host that answers it has sent this.
    Response(Response),
    /// No host answers the command.
    NoHost,
    /// The host that had the call is gone; the text is for people.
    Down(String),
    /// The call was not sent, since the connection is down.
    Unsent,
}

/// A call that waits for its reply.
pub struct PendingCall {
    /// Its number, which is used once.
    pub number: u64,
    /// The time at which it began.
    pub began: Instant,
    /// The number of the last ping before the call was sent.
    fence: AtomicU64,
    /// True once the last news have arrived.
    is_over: AtomicBool,
    /// The id of the host that has acknowledged the call.
    host: Mutex<Option<String>>,
    news: Mutex<VecDeque<News>>,
    arrived: Condvar,
}

impl PendingCall {
    /// Records that it is being sent, after the ping of this number.
    pub fn note_sent(&self, last_ping: u64) {
        self.fence.store(last_ping, Ordering::Release);
    }

    /// Returns true if the ping of this number was sent after the call.
    pub fn is_before(&self, ping: u64) -> bool {
        let fence = self.fence.load(Ordering::Acquire);
        fence != UNSENT && fence < ping
    }

    /// Returns true if the last news have arrived.
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// Returns the id of the host that has acknowledged the call.
    pub fn host(&self) -> Option<String> {
        self.host.lock().clone()
    }

    /// Records the host that has acknowledged the call.
    pub fn set_host(&self, id: &str) {
        self.host.lock().get_or_insert_with(|| id.to_owned());
    }

    /// Delivers news to the session that waits. Those behind the last ones are dropped.
    pub fn deliver(&self, news: News) {
        let is_last = !matches!(
            news,
            News::Response(Response::Part { is_last: false, .. } | Response::Progress(..))
        );
        let mut queue = self.news.lock();
        if self.is_over() {
            return;
        }
        self.is_over.store(is_last, Ordering::Release);
        queue.push_back(news);
        self.arrived.notify_one();
    }

    /// Waits for the next news; `None` if there are none in this time.
    pub fn wait(&self, time: Duration) -> Option<News> {
        let mut news = self.news.lock();
        if news.is_empty() {
            self.arrived.wait_for(&mut news, time);
        }
        news.pop_front()
    }
}

/// The calls of this host that another one answers.
#[derive(Default)]
pub struct PendingCalls {
    calls: Mutex<HashMap<u64, Arc<PendingCall>>>,
    last: AtomicU64,
}

/// A call in the list; it leaves the list when this is dropped.
pub struct Listed<'a> {
    calls: &'a PendingCalls,
    /// The call.
    pub call: Arc<PendingCall>,
}

impl PendingCalls {
    /// Adds a call.
    pub fn begin(&self) -> Listed<'_> {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let call = Arc::new(PendingCall {
            number,
            began: Instant::now(),
            fence: AtomicU64::new(UNSENT),
            is_over: AtomicBool::new(false),
            host: Mutex::default(),
            news: Mutex::default(),
            arrived: Condvar::new(),
        });
        self.calls.lock().insert(number, Arc::clone(&call));
        Listed { calls: self, call }
    }

    /// Returns the call of this number, if it still waits.
    pub fn get(&self, number: u64) -> Option<Arc<PendingCall>> {
        self.calls.lock().get(&number).cloned()
    }

    /// Returns true if no call waits.
    pub fn is_empty(&self) -> bool {
        self.calls.lock().is_empty()
    }

    /// Returns the calls that have waited for this time and are not over.
    pub fn older_than(&self, age: Duration) -> Vec<Arc<PendingCall>> {
        let calls = self.calls.lock();
        let old = |call: &&Arc<PendingCall>| call.began.elapsed() >= age && !call.is_over();
        calls.values().filter(old).cloned().collect()
    }

    /// Ends all calls, since their replies cannot arrive any more.
    pub fn fail_all(&self, why: &str) {
        let calls: Vec<_> = self.calls.lock().values().cloned().collect();
        calls.iter().for_each(|call| call.deliver(News::Down(why.to_owned())));
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.calls.calls.lock().remove(&self.call.number);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn news_behind_the_last_are_dropped() {
        let calls = PendingCalls::default();
        let listed = calls.begin();
        let part = || {
            let (host, content) = ("id".into(), Bytes::from_static(b"a"));
            News::Response(Response::Part { host, number: 0, is_last: false, content })
        };
        listed.call.deliver(part());
        assert!(!listed.call.is_over());
        listed.call.deliver(News::NoHost);
        listed.call.deliver(part());
        listed.call.deliver(News::Down("late".into()));
        assert!(listed.call.is_over());
        let all: Vec<_> = std::iter::from_fn(|| listed.call.wait(Duration::ZERO)).collect();
        assert!(
            matches!(&all[..], [News::Response(Response::Part { .. }), News::NoHost]),
            "{all:?}"
        );
    }

    #[test]
    fn a_ping_covers_calls_sent_before() {
        let calls = PendingCalls::default();
        let listed = calls.begin();
        assert!(!listed.call.is_before(u64::MAX - 1), "it is not sent");
        listed.call.note_sent(4);
        assert!(!listed.call.is_before(4));
        assert!(listed.call.is_before(5));
    }

    #[test]
    fn a_call_leaves_the_list_with_its_caller() {
        let calls = PendingCalls::default();
        let listed = calls.begin();
        let number = listed.call.number;
        assert!(calls.get(number).is_some());
        assert_eq!(calls.older_than(Duration::ZERO).len(), 1);
        drop(listed);
        assert!(calls.get(number).is_none() && calls.is_empty());
    }
}
