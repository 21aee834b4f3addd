//! The system's wish that the program ends.

use std::io;

/// Has this called at each SIGINT, SIGTERM and SIGHUP; on Windows at each Ctrl-C and Ctrl-Break, and
/// when the console is closed. Logging off and shutting down are told to services alone.
///
/// Windows ends a program whose console was closed after 5 s, whatever it does then.
/// <https://learn.microsoft.com/windows/console/handlerroutine>
///
/// # Errors
/// The system's.
pub fn when_asked_to_end(act: impl FnMut() + Send + 'static) -> io::Result<()> {
    #[cfg(unix)]
    return ctrlc::set_handler(act).map_err(io::Error::other);
    #[cfg(windows)]
    windows(act)
}

#[cfg(windows)]
fn windows(mut act: impl FnMut() + Send + 'static) -> io::Result<()> {
    use tokio::{runtime, select, signal::windows};
    // What ends with the return of whoever is told of it, Tokio keeps waiting for the program's end.
    let runtime = runtime::Builder::new_current_thread().build()?;
    let (mut c, mut pause) = (windows::ctrl_c()?, windows::ctrl_break()?);
    let (mut close, mut off) = (windows::ctrl_close()?, windows::ctrl_logoff()?);
    let mut down = windows::ctrl_shutdown()?;
    let listen = async move {
        loop {
            select! {
                _ = c.recv() => {}
                _ = pause.recv() => {}
                _ = close.recv() => {}
                _ = off.recv() => {}
                _ = down.recv() => {}
            }
            act();
        }
    };
    let thread = std::thread::Builder::new().name("signals".into());
    thread.spawn(move || runtime.block_on(listen)).map(drop)
}
