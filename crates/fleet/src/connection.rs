//! Connects to the NATS servers, and follows the state of the connection.

use std::{fs, io, str::FromStr, sync::Arc, time::Duration};

use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use percent_encoding::percent_decode_str;

use crate::{
    error::StartError,
    link::CUT,
    node::Node,
    settings::{Credentials, Settings},
};

/// The interval of the pings by which the connection is checked. A server that does not answer two
/// of them has gone.
const PING_INTERVAL: Duration = Duration::from_secs(1);

/// The longest pause between two attempts to connect.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The longest time of an attempt to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

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
                    node.link.note_problem(error);
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
                        follow(&node, &event);
                    }
                }
            }
        });
    options.connect(servers).await.map_err(StartError::Connect)
}

/// Takes an event of the connection.
fn follow(node: &Node, event: &Event) {
    match event {
        // The task that follows has the client, which knows the server's limits.
        Event::Connected => {}
        Event::Disconnected | Event::Closed => {
            if node.link.is_up() {
                log::warn!("fleet: the connection to the NATS server has ended");
            }
            node.link.fall("the connection has ended");
            node.pending.fail_all(CUT);
        }
        // Told in full before the next attempt.
        Event::ClientError(error) => log::debug!("fleet: the NATS client reports: {error}"),
        // While the connection is down, as above.
        Event::ServerError(error) if node.link.is_up() => {
            log::warn!("fleet: the NATS server reports an error: {error}");
        }
        Event::ServerError(_) => {}
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

/// Returns the addresses of the servers.
fn servers(settings: &Settings) -> Result<Vec<ServerAddr>, StartError> {
    let parse = |server: &String| {
        ServerAddr::from_str(server)
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
            let failed = |source| StartError::File { path: path.clone(), source };
            let text = fs::read_to_string(path).map_err(failed)?;
            ConnectOptions::with_credentials(&text).map_err(failed)?
        }
        Credentials::Nkey(path) => {
            let failed = |source: io::Error| StartError::File { path: path.clone(), source };
            let seed = fs::read_to_string(path).map_err(failed)?;
            ConnectOptions::with_nkey(seed.trim().to_owned())
        }
    };
    if let Some(roots) = &settings.roots {
        // It would be read at each attempt only, and a wrong path found late.
        let failed = |source| StartError::File { path: roots.clone(), source };
        fs::metadata(roots).map_err(failed)?;
        options = options.add_root_certificates(roots.clone());
    }
    Ok(options)
}
