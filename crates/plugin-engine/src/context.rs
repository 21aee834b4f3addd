//! The host, as far as the manager of plugins knows it.

use std::{
    fmt::Display,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use telemetry::metrics::Metrics;

use crate::{
    events::EventBus,
    plugin_control::PluginControl,
    process::{
        crashed::CrashedPlugins,
        settings::{Isolate, PluginSettings, SettingsSource},
    },
    registry::Command,
};

/// The settings and the facilities of the host that the manager of plugins uses.
pub struct EngineContext {
    /// The plugins folder and the times that plugins are given.
    pub settings: Settings,
    /// The operator's settings for each plugin.
    pub plugin_settings: Arc<dyn SettingsSource>,
    /// Plugins that have crashed a host before: with [`Isolate::Auto`] they run in processes.
    pub crashed: Arc<CrashedPlugins>,
    /// The directory that this host has to itself while it runs.
    pub state_dir: PathBuf,
    /// The time of the host's start.
    pub started: Instant,
    /// The host's own commands: in every registry, and their names are closed to plugins.
    pub builtins: Vec<Arc<Command>>,
    /// The counters of commands and generations.
    pub metrics: Arc<Metrics>,
    /// The bus that events of plugins are published on.
    pub events: Arc<EventBus>,
    /// The end of the host.
    pub shutdown: Arc<dyn Shutdown>,
    /// The sessions that call plugins.
    pub callers: Arc<dyn Callers>,
    /// The channel to the manager.
    pub plugin_control: PluginControl,
}

/// The plugins folder and the times that plugins are given.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder that libraries are loaded from.
    pub plugins: PathBuf,
    /// The longest time that a probe, and later the load, may take.
    pub probe_timeout: Duration,
    /// The longest time that a hand-over waits for calls with the gate closed.
    pub handover_pause: Duration,
    /// The longest time that `save` and `restore` may take in a hand-over.
    pub handover_timeout: Duration,
    /// The longest time that a `save` may take at the host's end; zero: as long as it takes.
    pub save_timeout: Duration,
    /// True if every plugin needs a signature.
    pub signed_only: bool,
    /// A folder in which executables find modules, besides the plugins folder.
    pub module_folder: Option<PathBuf>,
}

/// The end of the host.
pub trait Shutdown: Send + Sync {
    /// Returns whether the host is ending.
    fn is_stopping(&self) -> bool;
    /// Returns when running workers are given up; `None` while the host is not ending.
    fn deadline(&self) -> Option<Instant>;
    /// Returns whether states that are not saved yet are given up.
    fn is_saving_over(&self) -> bool;
}

/// The sessions that call plugins.
pub trait Callers: Send + Sync {
    /// Finds the calls of these commands that are running now. A call that starts or ends at this
    /// moment may be missed.
    fn running_calls(&self, commands: &[Arc<Command>]) -> Vec<Box<dyn RunningCall>>;
}

/// One call of one session, observed from another thread; displayed as the command and its session.
pub trait RunningCall: Display + Send + Sync {
    /// Returns whether the session still runs this very call.
    fn is_running(&self) -> bool;
}

impl EngineContext {
    /// Returns true if a library with these settings runs in processes of its own.
    #[must_use]
    pub fn is_isolated(&self, plugin: &str, settings: &PluginSettings) -> bool {
        match settings.isolate {
            Isolate::Never => false,
            Isolate::Auto => self.crashed.has(plugin),
            Isolate::Always => true,
        }
    }

    /// Returns the directory of the plugins' private directories.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.state_dir.join("data")
    }

    /// Returns whether the host has this command name for itself.
    #[must_use]
    pub fn is_builtin(&self, name: &str) -> bool {
        self.builtins.iter().any(|command| command.name == name)
    }
}

#[cfg(test)]
pub(crate) mod fakes {
    use std::{
        fmt,
        sync::atomic::{AtomicBool, Ordering},
    };

    use super::*;

    /// A session that runs `ping` until it is told to end.
    pub struct FakeSession(AtomicBool);

    impl FakeSession {
        pub fn end_call(&self) {
            self.0.store(false, Ordering::SeqCst);
        }
    }

    struct FakeCall {
        id: u64,
        session: Arc<FakeSession>,
    }

    impl fmt::Display for FakeCall {
        fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(out, "'ping' of session {} from 127.0.0.1:1", self.id)
        }
    }

    impl RunningCall for FakeCall {
        fn is_running(&self) -> bool {
            self.session.0.load(Ordering::SeqCst)
        }
    }

    /// A running call of `ping`, and the session that runs it.
    pub fn running_call(id: u64) -> (Box<dyn RunningCall>, Arc<FakeSession>) {
        let session = Arc::new(FakeSession(AtomicBool::new(true)));
        (Box::new(FakeCall { id, session: Arc::clone(&session) }), session)
    }
}
