//! Runs work for several items at once, on as many threads as the system provides.

use std::{io, thread};

/// Runs the work for each item on a thread of its own, and waits for all of it. Items for which the
/// system has no thread come last, one after the other on this thread, each after `without_thread`.
pub fn for_each<T: Sync>(
    items: &[T],
    thread: impl Fn() -> thread::Builder,
    without_thread: impl Fn(&T, &io::Error),
    work: impl Fn(&T) + Sync,
) {
    let mut left = Vec::new();
    thread::scope(|scope| {
        for item in items {
            let work = &work;
            if let Err(error) = thread().spawn_scoped(scope, move || work(item)) {
                left.push((item, error));
            }
        }
    });
    for (item, error) in left {
        without_thread(item, &error);
        work(item);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Barrier, Mutex,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    #[test]
    fn everything_is_done_at_once() {
        let both = Barrier::new(2);
        let none = |_: &i32, _: &io::Error| panic!("there are threads");
        for_each(&[1, 2], thread::Builder::new, none, |_| {
            both.wait();
        });
    }

    #[test]
    fn everything_is_done_without_threads() {
        let (asked, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        // The system has room for the first thread's stack alone.
        let builder = || match asked.fetch_add(1, Ordering::SeqCst) {
            0 => thread::Builder::new(),
            _ => thread::Builder::new().stack_size(usize::MAX / 4),
        };
        let failures = AtomicUsize::new(0);
        let count = |_: &i32, _: &io::Error| {
            failures.fetch_add(1, Ordering::SeqCst);
        };
        for_each(&[1, 2, 3], builder, count, |item| done.lock().unwrap().push(*item));
        assert_eq!(done.into_inner().unwrap(), [1, 2, 3]);
        assert_eq!(failures.into_inner(), 2);
    }
}
