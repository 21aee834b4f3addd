//! The host, as a plugin sees it.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{
    abi::HostObject,
    error::{Error, Result},
};

/// The host: its facts and its services for this plugin. Cheap to clone; a plugin may keep it.
#[derive(Clone)]
pub struct Host {
    shared: Arc<Shared>,
}

struct Shared {
    object: HostObject,
    stop: Stop,
    /// Joined by `stop_threads`, before the library may be closed.
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// The signal that ends background threads. Cheap to clone.
#[derive(Clone, Default)]
pub struct Stop {
    shared: Arc<(Mutex<bool>, Condvar)>,
}

impl Host {
    pub(crate) fn new(object: HostObject) -> Self {
        let shared = Shared { object, stop: Stop::default(), threads: Mutex::default() };
        Self { shared: Arc::new(shared) }
    }

    /// Returns the host's version.
    #[must_use]
    pub fn version(&self) -> String {
        self.shared.object.version().into()
    }

    /// Returns how long the host has been running.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        Duration::from_millis(self.shared.object.uptime_millis())
    }

    /// Returns this plugin's own directory, which is created on first use. It remains when the
    /// plugin is replaced or removed.
    ///
    /// # Errors
    /// The directory cannot be created.
    pub fn data_dir(&self) -> Result<PathBuf> {
        self.shared
            .object
            .data_dir()
            .into_result()
            .map(|path| PathBuf::from(String::from(path)))
            .map_err(|message| Error::new(String::from(message)))
    }

    /// Starts a background thread that the host stops and joins before it unloads this library.
    /// `work` must return soon after [`Stop`] is set.
    ///
    /// Threads that are started in any other way make unloading unsafe; a plugin with such threads
    /// declares `threads: untracked` in [`plugin!`](crate::plugin!).
    ///
    /// # Errors
    /// The system cannot start another thread, or the plugin is already being stopped.
    pub fn spawn(&self, name: &str, work: impl FnOnce(&Stop) + Send + 'static) -> Result<()> {
        let mut threads = lock(&self.shared.threads);
        if self.shared.stop.is_set() {
            return Err(Error::new("the plugin is being stopped"));
        }
        let stop = self.shared.stop.clone();
        threads.push(thread::Builder::new().name(name.to_owned()).spawn(move || work(&stop))?);
        Ok(())
    }

    pub(crate) fn stop_threads(&self) {
        self.shared.stop.set();
        // A thread may itself spawn another meanwhile. The flag above prevents new ones, and the
        // lock is not held while joining.
        loop {
            let threads = std::mem::take(&mut *lock(&self.shared.threads));
            if threads.is_empty() {
                return;
            }
            for thread in threads {
                // The panic hook has logged a panic of the thread.
                let _ = thread.join();
            }
        }
    }

    pub(crate) fn log(&self, record: &log::Record<'_>) {
        let level = record.level() as u32;
        if self.shared.object.log_enabled(level) {
            let message = fmt::format(*record.args());
            self.shared.object.log(level, record.target().into(), message.as_str().into());
        }
    }

    pub(crate) fn log_enabled(&self, level: log::Level) -> bool {
        self.shared.object.log_enabled(level as u32)
    }
}

impl Stop {
    /// Returns whether the thread must end.
    #[must_use]
    pub fn is_set(&self) -> bool {
        *lock(&self.shared.0)
    }

    /// Waits for `time`. Returns true as soon as the thread must end, and false when the time is
    /// over.
    #[must_use]
    pub fn wait(&self, time: Duration) -> bool {
        let (flag, changed) = &*self.shared;
        let (stopped, _) = changed
            .wait_timeout_while(lock(flag), time, |stopped| !*stopped)
            .unwrap_or_else(PoisonError::into_inner);
        *stopped
    }

    fn set(&self) {
        let (flag, changed) = &*self.shared;
        *lock(flag) = true;
        changed.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
