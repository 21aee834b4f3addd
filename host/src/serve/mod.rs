//! Serving: starts the host as the flags say, and ends it in order.

pub mod acceptor;
mod admission;
mod maintenance;
pub mod metrics_http;
mod plugin_thread;
pub mod sd_notify;
mod slow_calls;
pub(crate) mod start_error;

use std::{
    env,
    io::{self, Write},
    net::SocketAddr,
    process::{self, ExitCode},
    sync::Arc,
    time::{Duration, Instant},
};

use auth::{certificate::Certificate, key_file::KeyFile, keyring::Keyring, trust::Trust};
use plugin_engine::{
    VERSION, files::trust_policy::TrustPolicy, plugin_control::PluginControl,
    process::crashed::CrashedPlugins, registry::LiveRegistry,
};
use telemetry::log_throttle::Throttle;

use self::{
    acceptor::Outcome, maintenance::Maintenance, metrics_http::MetricsServer,
    plugin_thread::PluginThread, start_error::StartError,
};
use crate::{
    config::{self, Logs, Serve, Threads},
    crash,
    net::listener::{self, Listeners},
    runtime::{
        client_memory::ClientMemory,
        clients::Sessions,
        context::Shared,
        logging,
        membership::Membership,
        shutdown::{Reason, Shutdown},
        state_dir::StateDir,
    },
};

/// The exit status when the host cannot start.
const FAILED: u8 = 1;
/// The files that a host with many plugins opens besides one for each session. Probes need a few
/// more while they run.
const OTHER_FILES: u64 = 64;
/// The files that each runner has open: its poller, and the two ends that wake it.
const FILES_OF_A_RUNNER: u64 = 3;
/// The exit status when a worker outlasted the grace, or a second signal ended the host.
const STUCK: i32 = 3;
/// The exit status when the state of a plugin was not saved. It overrides the others.
const UNSAVED: i32 = 4;

/// Serves as these flags say, and returns the exit code. `beside` is passed on to [`run`].
pub(crate) fn serve<B>(
    config: Serve,
    beside: impl FnOnce(&Shared) -> Result<B, StartError>,
) -> ExitCode {
    let Logs { log_level, log_format } = config.logs;
    logging::start(log_level, log_format);
    misspelt_variables().iter().for_each(|warning| log::warn!("{warning}"));
    platform::raise_descriptor_limit();
    warn_of_few_descriptors(&config);
    let run = open_listeners(&config).and_then(|listeners| run(config, listeners, beside));
    match run {
        Ok(Outcome::Orderly) => ExitCode::SUCCESS,
        // Threads still run plugins' code, which returning from `main` would unload.
        Ok(Outcome::Stuck(_)) => process::exit(STUCK),
        Ok(Outcome::Unsaved(_)) => process::exit(UNSAVED),
        Err(error) => {
            logging::cannot_start(log_format, &error);
            ExitCode::from(FAILED)
        }
    }
}

/// Returns a warning for each environment variable that is probably misspelt.
pub(crate) fn misspelt_variables() -> Vec<String> {
    config::misspelt(env::vars_os().filter_map(|(name, _)| name.into_string().ok()))
}

/// Logs a warning if the limit of open files is below what the sessions may need.
fn warn_of_few_descriptors(config: &Serve) {
    let sessions = config.bounds.max_sessions;
    let runners = match config.threads {
        Threads::PerClient => 0,
        Threads::Shared => std::thread::available_parallelism().map_or(1, usize::from),
    };
    let needed = u64::from(sessions) + OTHER_FILES + runners as u64 * FILES_OF_A_RUNNER;
    if let Some(limit) = platform::descriptor_limit().filter(|limit| *limit < needed) {
        log::warn!(
            "this process may open {limit} files, and --max-sessions {sessions} needs {needed}: raise \
             the limit (ulimit -n, LimitNOFILE= in a systemd unit) or lower --max-sessions"
        );
    }
}

/// Returns the sockets that the service manager has passed, or else binds those of the flags.
fn open_listeners(config: &Serve) -> Result<Listeners, StartError> {
    let inherited = platform::inherited_listeners()
        .map_err(|error| StartError::System("use the service manager's sockets", error))?;
    if !inherited.is_empty() {
        log::info!("serving the service manager's sockets: --bind and --port are ignored");
        return Ok(Listeners { sockets: inherited, inherited: true });
    }
    let sockets = listener::listen(&config.bind, config.port)?;
    Ok(Listeners { sockets, inherited: false })
}

/// Serves on these listeners until the host is asked to end. Fails if the host cannot start.
/// `beside` runs before the first client is served; its value is dropped after the last session.
pub fn run<B>(
    config: Serve,
    listeners: Listeners,
    beside: impl FnOnce(&Shared) -> Result<B, StartError>,
) -> Result<Outcome, StartError> {
    let addresses = listeners
        .addresses()
        .map_err(|error| StartError::System("read a listener's address", error))?;
    let metrics_listener = config.metrics.map(MetricsServer::listen).transpose()?;
    let metrics_at = metrics_listener.as_ref().and_then(|listener| listener.local_addr().ok());
    let port = addresses.first().map_or(config.port, SocketAddr::port);
    let (state_dir, _crash_reports, crashed) = open_state_dir(&config, port)?;
    config.plugin_tables.check().map_err(StartError::PluginSettings)?;
    let trust_policy = TrustPolicy::for_folder(&config.plugins, &(&config.plugin_trust).into())?;
    let (shutdown, stop) = Shutdown::new(config.grace, config.save_timeout);
    let (plugin_control, requests) = PluginControl::new();
    let shared = Arc::new(share(config, &state_dir, crashed, shutdown, plugin_control)?);
    warn_of_open_access(&shared.config);
    handle_signals(&shared.shutdown)?;

    let registry = Arc::new(LiveRegistry::default());
    let plugin_thread = PluginThread::start(&shared, &registry, requests, trust_policy)?;
    let beside = match beside(&shared) {
        Ok(beside) => beside,
        Err(error) => {
            plugin_thread.end(&shared, Outcome::Orderly);
            return Err(error);
        }
    };
    if let Err(error) = Membership::start(&shared, &registry, &addresses) {
        plugin_thread.end(&shared, Outcome::Orderly);
        return Err(error.into());
    }
    let maintenance = Maintenance::start(&shared, &registry)
        .map_err(|error| StartError::System("start the maintenance thread", error))?;
    let metrics_server = metrics_listener
        .map(|listener| MetricsServer::start(listener, &shared, &registry))
        .transpose()
        .map_err(|error| StartError::System("start the metrics thread", error))?;
    announce(&addresses, &shared.certificate.fingerprint, metrics_at);
    sd_notify::ready(&shared, &registry);

    let outcome = acceptor::serve(&shared, &registry, listeners, &stop)
        .map_err(|error| StartError::System("start an acceptor thread", error))?;
    maintenance.end();
    if let Some(metrics_server) = metrics_server {
        metrics_server.end();
    }
    drop(beside);
    let outcome = outcome.with_stuck(shared.membership.end(shared.shutdown.deadline()));
    let outcome = plugin_thread.end(&shared, outcome);
    if outcome != Outcome::Orderly {
        // Never dropped: this may be the last reference to a plugin, whose drop may block for ever.
        std::mem::forget(Arc::clone(&registry));
    }
    log_outcome(outcome);
    Ok(outcome)
}

/// Locks the state directory, logs the crash of the last run, and reports crashes of this one for
/// as long as the returned watch lives. Returns the plugin in which the last run crashed, too.
fn open_state_dir(
    config: &Serve,
    port: u16,
) -> Result<(StateDir, crash::CrashReporter, Option<String>), StartError> {
    let state_dir = StateDir::lock(config.state_root(), port)?;
    let crashed = crash::report_last(state_dir.path());
    if let Some(plugin) = &crashed {
        CrashedPlugins::open(state_dir.path()).add(plugin);
    }
    let watch = crash::CrashReporter::start(state_dir.path(), config.logs.log_format)
        .map_err(|error| StartError::System("set up crash reports", error))?;
    state_dir.log_paths(config.port == 0);
    Ok((state_dir, watch, crashed))
}

/// Opens the keys and the certificate, and returns what all threads of the host share.
fn share(
    config: Serve,
    state_dir: &StateDir,
    crashed: Option<String>,
    shutdown: Shutdown,
    plugin_control: PluginControl,
) -> Result<Shared, StartError> {
    let root = state_dir.path().parent().unwrap_or(state_dir.path());
    let keyring = Keyring::open(KeyFile::new(root.to_owned()))?;
    let certificate = match (&config.access.tls_cert, &config.access.tls_key) {
        (Some(certificate), Some(key)) => Certificate::named(certificate, key),
        _ => Certificate::own(root),
    };
    // Probes start this very program, also after its file has been replaced.
    platform::own_program()
        .map_err(|error| StartError::System("find the host's program file for probes", error))?;
    Ok(Shared {
        client_memory: ClientMemory::new(config.bounds.max_memory_clients),
        keyring,
        certificate: certificate?,
        sessions: Sessions::default(),
        membership: Membership::default(),
        rejected: Throttle::default(),
        metrics: Arc::default(),
        events: Arc::default(),
        plugin_control,
        shutdown: Arc::new(shutdown),
        started: Instant::now(),
        state_dir: state_dir.path().to_owned(),
        crashed,
        config,
    })
}

fn warn_of_open_access(config: &Serve) {
    if config.access.trust == Trust::All {
        log::warn!("--trust all: anyone who can connect can run every command, including ks");
    }
    if let Some(network) = config.access.proxy_from.iter().find(|network| network.has_all()) {
        log::warn!(
            "--proxy-from {network}: anyone who can connect can name any address as his own, also \
             one that is trusted"
        );
    }
    if config.plugin_trust.allow_insecure_plugins {
        log::warn!(
            "--allow-insecure-plugins: anyone who can write to the plugins folder or a library in \
             it can run code as the host"
        );
    }
}

/// Prints where the host serves, and the fingerprint of its certificate. Best effort: a host whose
/// standard output is closed still serves.
fn announce(addresses: &[SocketAddr], fingerprint: &str, metrics_at: Option<SocketAddr>) {
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let addresses = addresses.join(" and ");
    let metrics = metrics_at.map(|address| format!("metrics http://{address}/metrics\n"));
    let text = format!(
        "dropin {VERSION} listening on {addresses}\nfingerprint {fingerprint}\n{}",
        metrics.unwrap_or_default()
    );
    // In one piece, so that a program that waits for the first line finds all of it.
    let mut out = io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn log_outcome(outcome: Outcome) {
    match outcome {
        Outcome::Orderly => log::info!("ended"),
        Outcome::Stuck(threads) => {
            log::error!("ended without {threads} thread(s) that outlasted the grace");
        }
        Outcome::Unsaved(threads) => {
            if threads > 0 {
                log::error!("{threads} thread(s) outlasted the grace");
            }
            log::error!("ended without the state of every plugin saved, see above");
        }
    }
}

/// The time within which a further signal counts as the same request: `timeout`, a closed terminal
/// and service managers send several at once, to a process and to its group.
const REPEATED: Duration = Duration::from_secs(1);

/// Ends the host in order at the first SIGINT, SIGTERM or closed console. A further signal after
/// [`REPEATED`] ends it at once.
fn handle_signals(shutdown: &Arc<Shutdown>) -> Result<(), StartError> {
    let shutdown = Arc::clone(shutdown);
    let mut first = None;
    platform::on_end_signal(move |signal| {
        shutdown.request(Reason::System { limit: signal.limit });
        let since = *first.get_or_insert_with(Instant::now);
        // Closing the console after a Ctrl-C is no request to end at once, which loses state.
        if signal.can_insist && since.elapsed() >= REPEATED {
            log::error!("asked to end a second time: ended at once, unsaved states are lost");
            crash::allow_exit();
            process::exit(STUCK);
        }
    })
    .map_err(|error| StartError::System("set up signal handling", error))
}
