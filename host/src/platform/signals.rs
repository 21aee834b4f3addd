//! The system's wish that the program ends.

use std::{io, time::Duration};

/// Has this called at each SIGINT, SIGTERM and SIGHUP; on Windows at each Ctrl-C and Ctrl-Break,
/// when the console is closed, and, for a service, when the system shuts down. It is told how long
/// the system waits before it kills the program, where it does not leave that to the user.
///
/// # Errors
/// The system's.
pub fn when_asked_to_end(act: impl FnMut(Option<Duration>) + Send + 'static) -> io::Result<()> {
    #[cfg(unix)]
    {
        let mut act = act;
        ctrlc::set_handler(move || act(None)).map_err(io::Error::other)
    }
    #[cfg(windows)]
    windows(act)
}

/// Somebody's logging off is not listened to: services are told of anybody's.
#[cfg(windows)]
fn windows(mut act: impl FnMut(Option<Duration>) + Send + 'static) -> io::Result<()> {
    use tokio::{runtime, select, signal::windows};
    /// Of a closed console, and of a service at shutdown unless it has asked for more.
    /// <https://learn.microsoft.com/windows/console/handlerroutine>
    const PATIENCE: Duration = Duration::from_secs(5);
    // What ends with the return of whoever is told of it, Tokio keeps waiting for the program's end.
    let runtime = runtime::Builder::new_current_thread().build()?;
    let (mut c, mut pause) = (windows::ctrl_c()?, windows::ctrl_break()?);
    let (mut close, mut down) = (windows::ctrl_close()?, windows::ctrl_shutdown()?);
    let listen = async move {
        loop {
            let limit = select! {
                _ = c.recv() => None,
                _ = pause.recv() => None,
                _ = close.recv() => Some(PATIENCE),
                _ = down.recv() => Some(PATIENCE),
            };
            act(limit);
        }
    };
    let thread = std::thread::Builder::new().name("signals".into());
    thread.spawn(move || runtime.block_on(listen)).map(drop)
}
