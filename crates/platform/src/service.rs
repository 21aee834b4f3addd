//! Talks to a service manager such as systemd.

use std::{io, net::TcpListener, time::Duration};

/// Returns true if a service manager expects notifications.
#[must_use]
pub fn has_service_manager() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// Sends a notification of sd_notify(3) to the service manager, if there is one.
pub fn notify_service_manager(what: &str) {
    #[cfg(unix)]
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Custom(what)]) {
        log::debug!("cannot notify the service manager: {error}");
    }
    #[cfg(not(unix))]
    let _ = what;
}

/// Returns the interval in which the service manager expects a sign of life; `None` if it expects
/// none.
#[must_use]
pub fn watchdog() -> Option<Duration> {
    #[cfg(unix)]
    return sd_notify::watchdog_enabled().filter(|time| !time.is_zero());
    #[cfg(not(unix))]
    None
}

/// Returns the sockets that the service manager has opened for this process.
///
/// # Errors
/// One of them is not a TCP listener.
pub fn inherited_listeners() -> io::Result<Vec<TcpListener>> {
    #[cfg(unix)]
    {
        let mut passed = listenfd::ListenFd::from_env();
        let mut listeners = Vec::new();
        for index in 0..passed.len() {
            if let Some(listener) = passed.take_tcp_listener(index)? {
                // Acceptors block in `accept`.
                listener.set_nonblocking(false)?;
                // Apple's systems do not report it.
                #[cfg(not(target_vendor = "apple"))]
                if !rustix::net::sockopt::socket_acceptconn(&listener)? {
                    let why = format!("{} does not listen", listener.local_addr()?);
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
                }
                listeners.push(listener);
            }
        }
        Ok(listeners)
    }
    #[cfg(not(unix))]
    Ok(Vec::new())
}
