//! A fake session and a fake host, for tests.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process,
    sync::{
        Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use abi_stable::std_types::{RErr, ROk, RResult, RStr, RString, RVec};

use crate::abi::{RawCommand, RawPeer, RawPlugin, RawSession, Services, Session};

#[derive(Default)]
pub(super) struct FakeSession {
    pub(super) cancelled: (Mutex<bool>, Condvar),
    pub(super) commands: RVec<RawCommand>,
    pub(super) progress: Mutex<Vec<(u64, u64, String)>>,
    /// In milliseconds since 1970; 0 is the present time.
    pub(super) time: AtomicU64,
}

impl FakeSession {
    fn peer() -> RawPeer {
        SocketAddr::from((Ipv4Addr::LOCALHOST, 50_000)).into()
    }
}

impl Session for FakeSession {
    fn id(&self) -> u64 {
        1
    }
    fn peer(&self) -> RawPeer {
        Self::peer()
    }
    fn name(&self) -> RString {
        "tester".into()
    }
    fn cancelled(&self) -> bool {
        self.wait(0)
    }
    fn wait(&self, millis: u64) -> bool {
        let (flag, changed) = &self.cancelled;
        let flag = flag.lock().unwrap_or_else(PoisonError::into_inner);
        let (flag, _) = changed
            .wait_timeout_while(flag, Duration::from_millis(millis), |cancelled| !*cancelled)
            .unwrap_or_else(PoisonError::into_inner);
        *flag
    }
    fn commands(&self) -> RVec<RawCommand> {
        self.commands.clone()
    }
    fn sessions(&self) -> RVec<RawSession> {
        let (id, peer, name) = (1, Self::peer(), self.name());
        vec![RawSession { id, peer, name, age_millis: 1_000, idle_millis: 0, commands: 1 }].into()
    }
    fn plugins(&self) -> RVec<RawPlugin> {
        RVec::new()
    }
    fn progress(&self, done: u64, total: u64, text: RStr<'_>) {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.push((done, total, text.into()));
    }
    fn role(&self) -> RString {
        "admin".into()
    }
    fn time_millis(&self) -> u64 {
        self.time.load(Ordering::Relaxed)
    }
}

pub(super) struct FakeHost {
    started: Instant,
    data: PathBuf,
}

impl FakeHost {
    pub(super) fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let data = env::temp_dir().join(format!("dropin-test-{}-{count}", process::id()));
        Self { started: Instant::now(), data }
    }
}

impl Drop for FakeHost {
    fn drop(&mut self) {
        // The directory is missing where the plugin never asked for it.
        let _ = fs::remove_dir_all(&self.data);
    }
}

impl Services for FakeHost {
    fn version(&self) -> RString {
        "0.0.0".into()
    }
    fn uptime_millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
    fn log_enabled(&self, _: u32) -> bool {
        true
    }
    fn log(&self, level: u32, target: RStr<'_>, message: RStr<'_>) {
        eprintln!("{level} {target}: {message}");
    }
    fn data_dir(&self) -> RResult<RString, RString> {
        match fs::create_dir_all(&self.data) {
            Ok(()) => ROk(self.data.to_string_lossy().into()),
            Err(error) => RErr(error.to_string().into()),
        }
    }
}
