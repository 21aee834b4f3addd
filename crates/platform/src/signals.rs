//! Reports the signals that ask the program to end.

use std::{io, time::Duration};

/// A signal that asks the program to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndSignal {
    /// The time after which the system kills the program; `None`: never.
    pub limit: Option<Duration>,
    /// True if sending it again means to insist. Closing a terminal does not.
    pub can_insist: bool,
}

/// Calls `act` at each SIGINT, SIGTERM and SIGHUP, except those that were ignored when the program
/// started (`nohup`, or a shell's background job without job control). On Windows, calls it at each
/// Ctrl-C and Ctrl-Break, when the console is closed, and, in a service, when the system shuts
/// down.
///
/// # Errors
/// The system cannot register a handler or start a thread.
pub fn on_end_signal(act: impl FnMut(EndSignal) + Send + 'static) -> io::Result<()> {
    #[cfg(unix)]
    return unix(act);
    #[cfg(windows)]
    windows(act)
}

#[cfg(unix)]
fn unix(mut act: impl FnMut(EndSignal) + Send + 'static) -> io::Result<()> {
    use signal_hook::{
        consts::{SIGHUP, SIGINT, SIGTERM},
        iterator::Signals,
    };
    let ignored = ignored_signals();
    let wanted = [SIGHUP, SIGINT, SIGTERM].into_iter().filter(|signal| !ignored.holds(*signal));
    let mut arriving = Signals::new(wanted)?;
    let thread = std::thread::Builder::new().name("signals".into());
    let mut act = move |signal| act(EndSignal { limit: None, can_insist: signal != SIGHUP });
    thread.spawn(move || arriving.forever().for_each(&mut act)).map(drop)
}

/// A set of signals, as bits.
#[cfg(unix)]
struct SignalSet(u64);

#[cfg(unix)]
impl SignalSet {
    fn holds(&self, signal: i32) -> bool {
        u32::try_from(signal - 1).is_ok_and(|bit| self.0.checked_shr(bit).unwrap_or(0) & 1 == 1)
    }
}

/// Returns the signals that this process ignores. Linux lists them in a file; other systems report
/// them only to unsafe code, so there every signal counts as not ignored.
#[cfg(unix)]
fn ignored_signals() -> SignalSet {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    SignalSet(mask.unwrap_or(0))
}

/// Ignores the logging off of a user, since services are notified of every user's.
#[cfg(windows)]
fn windows(mut act: impl FnMut(EndSignal) + Send + 'static) -> io::Result<()> {
    use tokio::{runtime, select, signal::windows};
    /// The limit after the close of a console, and for a service at shutdown unless it has asked
    /// for more.
    /// <https://learn.microsoft.com/windows/console/handlerroutine>
    const TIMEOUT: Duration = Duration::from_secs(5);
    // Windows ends the program when the handler of a closed console returns; Tokio's handler
    // waits until the program has ended.
    let runtime = runtime::Builder::new_current_thread().build()?;
    let (mut c, mut pause) = (windows::ctrl_c()?, windows::ctrl_break()?);
    let (mut close, mut down) = (windows::ctrl_close()?, windows::ctrl_shutdown()?);
    let listen = async move {
        loop {
            let limit = select! {
                _ = c.recv() => None,
                _ = pause.recv() => None,
                _ = close.recv() => Some(TIMEOUT),
                _ = down.recv() => Some(TIMEOUT),
            };
            act(EndSignal { limit, can_insist: limit.is_none() });
        }
    };
    let thread = std::thread::Builder::new().name("signals".into());
    thread.spawn(move || runtime.block_on(listen)).map(drop)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use signal_hook::consts::{SIGPIPE, SIGTERM};

    use super::*;

    #[test]
    fn ignored_signals_are_known() {
        // Rust's runtime ignores this one.
        let ignored = ignored_signals();
        assert!(ignored.holds(SIGPIPE) && !ignored.holds(SIGTERM));
        assert!(!ignored.holds(0) && !ignored.holds(65) && !ignored.holds(i32::MIN + 1));
    }
}
