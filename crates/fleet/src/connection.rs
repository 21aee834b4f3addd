//! Connects to the NATS servers, and follows the state of the connection.

use std::{
    fs, io,
    str::FromStr,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use async_nats::{Client, ConnectOptions, Event, ServerAddr, ServerError, connection::State};
use nkeys::KeyPair;
use percent_encoding::percent_decode_str;

use crate::{
    alive,
    error::StartError,
    link::CUT,
    members::SILENCE,
    node::Node,
    settings::{Credentials, Settings},
    stall,
};

/// The interval of the pings of the NATS client, which makes a new connection when two of them are
/// not answered: 10 to 15 s after the last answer. An answer may wait behind a large message on a
/// slow connection; [`watch`] tells the callers sooner.
const PING_INTERVAL: Duration = Duration::from_secs(5);

/// The interval at which the connection is looked at. Its end is an event.
const LOOK: Duration = Duration::from_millis(50);

/// The longest pause between two attempts to connect.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The longest time of an attempt to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The beginning of a certificate in a file.
const PEM: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// The beginning of the subjects of JetStream.
const JETSTREAM: &str = "$JS.API.";

/// The error of calls whose replies may have been lost.
const LOST: &str = "replies of other hosts were lost, since this host is too busy; the command may have \
                    run";

/// Connects to the servers of a node; it goes on trying until one can be reached.
///
/// # Errors
/// An address or a file of the settings cannot be used.
pub async fn connect(node: &Arc<Node>) -> Result<Client, StartError> {
    let settings = &node.settings;
    let servers = servers(settings)?;
    let options = options(settings)?
        .name(format!("dropin {}", settings.host))
        .retry_on_initial_connect()
        .connection_timeout(CONNECT_TIMEOUT)
        .ping_interval(PING_INTERVAL)
        .reconnect_delay_callback(|attempts| {
            let pause = Duration::from_millis(20 << attempts.min(10));
            pause.min(LONGEST_PAUSE)
        })
        .reconnect_to_server_callback({
            let node = Arc::downgrade(node);
            move |servers, _| {
                // The only place that has the whole text of an error. `None` leaves the choice of the
                // server to the client.
                let error = servers.into_iter().find_map(|server| server.last_error);
                if let (Some(node), Some(error)) = (node.upgrade(), error) {
                    node.link.note_problem(with_advice(error));
                }
                std::future::ready(None)
            }
        })
        .event_callback({
            let node = Arc::downgrade(node);
            move |event| {
                let node = node.upgrade();
                async move {
                    if let Some(node) = node {
                        take_event(&node, &event);
                    }
                }
            }
        });
    options.connect(servers).await.map_err(StartError::Connect)
}

/// Follows the state of the connection for as long as the membership lasts.
///
/// A connection by which nothing comes is dead, whatever the client thinks: this host gets its own
/// announcements back, each second. Bytes count and not messages, which may be large.
pub async fn watch(node: Arc<Node>, client: Client) {
    let statistics = client.statistics();
    let (mut seen, mut heard) = (0, Instant::now());
    // False from a silence to the next byte: the client may take the connection for a good one.
    let mut is_alive = true;
    loop {
        let was_stopped = stall::sleep(LOOK).await;
        let arrived = statistics.in_bytes.load(Ordering::Relaxed);
        is_alive |= arrived != seen;
        if arrived != seen || was_stopped {
            (seen, heard) = (arrived, Instant::now());
        }
        let is_connected = client.connection_state() == State::Connected;
        if node.link.is_up() && !is_connected {
            // The event of it may have been lost among many.
            fall(&node, "the connection has ended");
        } else if node.link.is_up() {
            if heard.elapsed() >= SILENCE {
                log::warn!(
                    "fleet: nothing has come from the NATS server for {} s",
                    SILENCE.as_secs_f64()
                );
                // The client makes a new connection when its pings have failed, too. To demand one
                // could wait for ever: it would end this one first.
                fall(&node, "nothing comes from it");
                is_alive = false;
            }
        } else if is_alive && is_connected {
            // The limits are known once the server has greeted.
            node.link.rise(client.max_payload());
            // Nobody was heard while the connection was down.
            node.members.forgive_silence();
            let again = if node.link.connects() > 1 { " again" } else { "" };
            log::info!("fleet '{}': connected{again} to NATS", node.settings.fleet);
            alive::announce(&node).await;
        }
    }
}

/// Notes that the connection is down.
fn fall(node: &Node, why: &str) {
    node.link.fall(why);
    // Its answer is lost.
    node.echo.end();
    node.pending.fail_all(CUT);
}

/// Takes an event of the connection.
fn take_event(node: &Node, event: &Event) {
    match event {
        // The task that follows has the client, which knows the server's limits.
        Event::Connected => {}
        Event::Disconnected | Event::Closed => {
            if node.link.is_up() {
                log::warn!("fleet: the connection to the NATS server has ended");
            }
            fall(node, "the connection has ended");
        }
        // Told in full before the next attempt.
        Event::ClientError(error) => log::debug!("fleet: the NATS client reports: {error}"),
        // As above.
        Event::ServerError(ServerError::AuthorizationViolation) if !node.link.is_up() => {}
        Event::ServerError(error) => note_refusal(node, &error.to_string()),
        Event::SlowConsumer(_) => {
            log::warn!("fleet: messages arrive faster than this host takes them; some are lost");
            // A reply may be among them.
            node.pending.fail_all(LOST);
        }
        Event::LameDuckMode | Event::Draining => {
            log::info!("fleet: the NATS server is about to stop");
        }
    }
}

/// Adds what to do to an error of an attempt to connect.
fn with_advice(error: String) -> String {
    let advice = if error.contains("authorization violation") {
        "check --fleet-credentials, --fleet-nkey, or USER:PASSWORD@ in --fleet"
    } else if error.contains("InvalidContentType") {
        "the server speaks no TLS, write nats:// instead of tls://"
    } else {
        "it is tried again"
    };
    format!("{error}; {advice}")
}

/// Notes what the server refuses.
fn note_refusal(node: &Node, error: &str) {
    // Rollouts alone need JetStream, and this host takes no part in them.
    if node.host.plugin_key.is_none() && error.contains(JETSTREAM) {
        return log::debug!("fleet: the NATS server reports an error: {error}");
    }
    // Any other subject was chosen for a reply by a client.
    let needed = ["\"dropin.", &node.inbox, JETSTREAM, "\"$KV.", "\"$O.", "\"$SRV."];
    let about = needed.into_iter().find(|subject| error.contains(*subject));
    if about.is_some() {
        node.link.note_refusal(error);
    }
    node.refusals.warn(about.unwrap_or_default(), Instant::now(), || {
        format!("fleet: the NATS server reports an error: {error}")
    });
}

/// Returns the addresses of the servers.
fn servers(settings: &Settings) -> Result<Vec<ServerAddr>, StartError> {
    let parse = |server: &String| {
        let nowhere = || io::Error::new(io::ErrorKind::InvalidInput, "it names no host");
        ServerAddr::from_str(server)
            .and_then(|address| match address.host() {
                "" => Err(nowhere()),
                _ => Ok(address),
            })
            .map_err(|source| StartError::Server { server: redacted(server), source })
    };
    settings.servers.iter().map(parse).collect()
}

/// Returns an address without its password.
fn redacted(server: &str) -> String {
    match server.rsplit_once('@') {
        Some((_, place)) => format!("...@{place}"),
        None => server.to_owned(),
    }
}

/// Returns options with the user and the password, or the token, of the first address that has some.
fn by_address(servers: &[ServerAddr]) -> ConnectOptions {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let Some(server) = servers.iter().find(|server| server.has_user_pass()) else {
        return ConnectOptions::new();
    };
    match (server.username(), server.password()) {
        (Some(user), Some(password)) => {
            ConnectOptions::with_user_and_password(decoded(user), decoded(password))
        }
        (Some(token), None) => ConnectOptions::with_token(decoded(token)),
        (None, _) => ConnectOptions::new(),
    }
}

fn options(settings: &Settings) -> Result<ConnectOptions, StartError> {
    let mut options = match &settings.credentials {
        Credentials::None => by_address(&servers(settings)?),
        Credentials::File(path) => {
            let flag = "--fleet-credentials";
            let failed = |source| StartError::File { flag, path: path.clone(), source };
            let text = fs::read_to_string(path).map_err(failed)?;
            ConnectOptions::with_credentials(&text).map_err(failed)?
        }
        Credentials::Nkey(path) => {
            let flag = "--fleet-nkey";
            let failed = |source: io::Error| StartError::File { flag, path: path.clone(), source };
            let seed = fs::read_to_string(path).map_err(failed)?;
            let seed = seed.trim();
            // It would be read at each attempt only, and a wrong one found late.
            KeyPair::from_seed(seed)
                .map_err(|source| StartError::Seed { path: path.clone(), source })?;
            ConnectOptions::with_nkey(seed.to_owned())
        }
    };
    if let Some(roots) = &settings.roots {
        // As above.
        let flag = "--fleet-roots";
        let failed = |source| StartError::File { flag, path: roots.clone(), source };
        let text = fs::read(roots).map_err(failed)?;
        if memchr::memmem::find(&text, PEM).is_none() {
            let problem = "it has no certificate in PEM form";
            return Err(failed(io::Error::new(io::ErrorKind::InvalidData, problem)));
        }
        options = options.add_root_certificates(roots.clone());
    }
    Ok(options)
}
