//! What a service manager gives a program and wants to hear of it.

use std::{io, net::TcpListener, time::Duration};

/// Whether there is a service manager that listens.
#[must_use]
pub fn has_service_manager() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// Tells the service manager something, in the words of sd_notify(3), if there is one.
pub fn tell_service_manager(what: &str) {
    #[cfg(unix)]
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Custom(what)]) {
        log::debug!("the service manager does not listen: {error}");
    }
    #[cfg(not(unix))]
    let _ = what;
}

/// How often the service manager wants to hear that the host is alive.
#[must_use]
pub fn watchdog() -> Option<Duration> {
    #[cfg(unix)]
    return sd_notify::watchdog_enabled().filter(|time| !time.is_zero());
    #[cfg(not(unix))]
    None
}

/// The sockets that the service manager has opened for this process; none where it has not.
///
/// # Errors
/// Where one of them does not listen for TCP.
pub fn inherited_listeners() -> io::Result<Vec<TcpListener>> {
    #[cfg(unix)]
    {
        let mut passed = listenfd::ListenFd::from_env();
        let mut listeners = Vec::new();
        for index in 0..passed.len() {
            if let Some(listener) = passed.take_tcp_listener(index)? {
                // Acceptors wait in `accept`.
                listener.set_nonblocking(false)?;
                // Apple's systems do not tell.
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
