//! Serving: from flags to listeners, and to an orderly end.

pub mod acceptor;
mod maintenance;
pub mod metrics_http;
mod plugin_thread;
pub mod sd_notify;
mod slow_calls;
pub(crate) mod start_error;

use std::{
    env,
    io::{self, Write},
    net::TcpListener,
    process::{self, ExitCode},
    sync::Arc,
    time::{Duration, Instant},
};

use auth::{certificate::Certificate, key_file::KeyFile, keyring::Keyring, trust::Trust};
use plugin_engine::VERSION;
use plugin_engine::{
    files::trust_policy::TrustPolicy, plugin_control::PluginControl, registry::LiveRegistry,
};
use telemetry::log_throttle::Throttle;

use self::{
    acceptor::Outcome, maintenance::Maintenance, metrics_http::MetricsServer,
    plugin_thread::PluginThread, start_error::StartError,
};
use crate::{
    config::{self, Logs, Serve},
    crash,
    net::listener::{self, Listeners},
    runtime::{
        client_memory::ClientMemory,
        clients::Sessions,
        context::Shared,
        logging,
        shutdown::{Reason, Shutdown},
        state_dir::StateDir,
    },
};

/// The exit status when the host cannot start.
const FAILED: u8 = 1;
/// How many files a host opens besides one for each session, with plenty of plugins. One that is busy
/// with probes needs a few more for a moment.
const OTHER_FILES: u64 = 64;
/// The exit status when a worker outlasted the grace, or a second signal ended the host.
const STUCK: i32 = 3;
/// The exit status when the state of a plugin was not saved, whatever else happened.
const UNSAVED: i32 = 4;

/// Serves as these flags say, with something beside it, to exit code.
pub(crate) fn serve<B>(
    config: Serve,
    beside: impl FnOnce(&Shared) -> Result<B, StartError>,
) -> ExitCode {
    let Logs { log_level, log_format } = config.logs;
    logging::start(log_level, log_format);
    misspelt_variables().iter().for_each(|warning| log::warn!("{warning}"));
    platform::raise_descriptor_limit();
    warn_of_few_descriptors(config.bounds.max_sessions);
    let run = listeners(&config).and_then(|listeners| run(config, listeners, beside));
    match run {
        Ok(Outcome::Orderly) => ExitCode::SUCCESS,
        // Threads still run in plugins; to return would pull the code from under them.
        Ok(Outcome::Stuck(_)) => process::exit(STUCK),
        Ok(Outcome::Unsaved(_)) => process::exit(UNSAVED),
        Err(error) => {
            logging::cannot_start(log_format, &error);
            ExitCode::from(FAILED)
        }
    }
}

/// What to say about environment variables that are probably misspelt.
pub(crate) fn misspelt_variables() -> Vec<String> {
    config::misspelt(env::vars_os().filter_map(|(name, _)| name.into_string().ok()))
}

/// Warns where the system lets the host open fewer files than its sessions may need.
fn warn_of_few_descriptors(sessions: u32) {
    let needed = u64::from(sessions) + OTHER_FILES;
    if let Some(limit) = platform::descriptor_limit().filter(|limit| *limit < needed) {
        log::warn!(
            "this process may open {limit} files, and --max-sessions {sessions} needs {needed}: raise \
             the limit (ulimit -n, LimitNOFILE= in a systemd unit) or lower --max-sessions"
        );
    }
}

/// The service manager's sockets where it has passed some, else those of the flags.
fn listeners(config: &Serve) -> Result<Listeners, StartError> {
    let inherited = platform::inherited_listeners()
        .map_err(|error| StartError::System("use the service manager's sockets", error))?;
    if !inherited.is_empty() {
        log::info!("serving the service manager's sockets, whatever --bind and --port say");
        return Ok(Listeners { sockets: inherited, inherited: true });
    }
    let sockets = listener::listen(&config.bind, config.port).map_err(StartError::Listen)?;
    Ok(Listeners { sockets, inherited: false })
}

/// Serves on these listeners until the host is asked to end. What is `beside` it is made before
/// anybody is served, and dropped when the last session has ended.
///
/// # Errors
/// Why the host cannot start.
pub fn run<B>(
    config: Serve,
    listeners: Listeners,
    beside: impl FnOnce(&Shared) -> Result<B, StartError>,
) -> Result<Outcome, StartError> {
    let started = Instant::now();
    let addresses = listeners
        .sockets
        .iter()
        .map(TcpListener::local_addr)
        .collect::<io::Result<Vec<_>>>()
        .map_err(|error| StartError::System("ask where it listens", error))?;
    let metrics_listener =
        config.metrics.map(MetricsServer::listen).transpose().map_err(StartError::Listen)?;
    let port = addresses.first().map_or(config.port, std::net::SocketAddr::port);
    let state_dir = StateDir::lock(config.state_root(), port).map_err(StartError::StateDir)?;
    crash::report_last(state_dir.path());
    let _watch = crash::Watch::start(state_dir.path(), config.logs.log_format)
        .map_err(|error| StartError::System("watch for crashes", error))?;
    state_dir.tell(config.port == 0);
    let root = state_dir.path().parent().unwrap_or(state_dir.path());
    let keyring = Keyring::open(KeyFile::new(root.to_owned())).map_err(StartError::Keys)?;
    let trust_policy = TrustPolicy::for_folder(&config.plugins, &(&config.plugin_trust).into());
    let trust_policy = trust_policy.map_err(StartError::Plugins)?;
    let certificate = match (&config.access.tls_cert, &config.access.tls_key) {
        (Some(certificate), Some(key)) => Certificate::named(certificate, key),
        _ => Certificate::own(root),
    };
    let certificate = certificate.map_err(StartError::Certificate)?;
    if config.access.trust == Trust::All {
        log::warn!("--trust all: whoever reaches the port can run every command, ks included");
    }
    if config.plugin_trust.allow_insecure_plugins {
        log::warn!(
            "--allow-insecure-plugins: whoever can write to the plugins folder or a library in it \
             can run code as the host"
        );
    }
    platform::own_program()
        .map_err(|error| StartError::System("find its own program, to probe with", error))?;
    let (shutdown, stop) = Shutdown::new(config.grace, config.save_timeout);
    let shutdown = Arc::new(shutdown);
    handle_signals(&shutdown)?;
    let (plugin_control, requests) = PluginControl::new();
    let client_memory = ClientMemory::new(config.bounds.max_memory_clients);
    let shared = Arc::new(Shared {
        client_memory,
        config,
        keyring,
        certificate,
        sessions: Sessions::default(),
        turned_away: Throttle::default(),
        metrics: Arc::default(),
        events: Arc::default(),
        plugin_control,
        shutdown,
        started,
        state_dir: state_dir.path().to_owned(),
    });
    let registry = Arc::new(LiveRegistry::default());
    let plugin_thread = PluginThread::start(&shared, &registry, requests, trust_policy)?;

    let beside = match beside(&shared) {
        Ok(beside) => beside,
        Err(error) => {
            plugin_thread.end(&shared, Outcome::Orderly);
            return Err(error);
        }
    };
    let maintenance = Maintenance::start(&shared, &registry)
        .map_err(|error| StartError::System("start a thread to look after the sessions", error))?;

    let metrics_at = metrics_listener.as_ref().and_then(|listener| listener.local_addr().ok());
    let metrics_server = metrics_listener
        .map(|listener| MetricsServer::start(listener, &shared, &registry))
        .transpose()
        .map_err(|error| StartError::System("start a thread to serve the metrics", error))?;

    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    // Nobody need read it: a host whose output is closed serves all the same.
    let _ = writeln!(
        io::stdout(),
        "dropin {VERSION} listening on {}\nfingerprint {}",
        addresses.join(" and "),
        shared.certificate.fingerprint
    );
    if let Some(address) = metrics_at {
        let _ = writeln!(io::stdout(), "metrics http://{address}/metrics");
    }
    sd_notify::ready(&shared, &registry);
    let outcome = acceptor::serve(&shared, &registry, listeners, &stop)
        .map_err(|error| StartError::System("start a thread to accept clients", error))?;
    maintenance.end();
    if let Some(metrics_server) = metrics_server {
        metrics_server.end();
    }
    drop(beside);
    let outcome = plugin_thread.end(&shared, outcome);
    if outcome != Outcome::Orderly {
        // Or this might be the last reference to a plugin, whose end may take for ever.
        std::mem::forget(Arc::clone(&registry));
    }
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
    Ok(outcome)
}

/// A signal that comes again sooner is the same request: `timeout`, a closed terminal and service
/// managers send several at once, to a process and to its group.
const REPEATED: Duration = Duration::from_secs(1);

/// Ends the host in order at the first SIGINT, SIGTERM or closed console, at once at one that follows
/// after [`REPEATED`].
fn handle_signals(shutdown: &Arc<Shutdown>) -> Result<(), StartError> {
    let shutdown = Arc::clone(shutdown);
    let mut first = None;
    platform::when_asked_to_end(move |signal| {
        shutdown.request(Reason::System { limit: signal.limit });
        let since = *first.get_or_insert_with(Instant::now);
        // To close the console after a Ctrl-C is no wish to lose state.
        if signal.can_insist && since.elapsed() >= REPEATED {
            log::error!(
                "asked to end a second time: ending at once, without what was not saved yet"
            );
            crash::allow_exit();
            process::exit(STUCK);
        }
    })
    .map_err(|error| StartError::System("listen for signals", error))
}
