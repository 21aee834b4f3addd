//! Signals: Ctrl-C, and requests of the system to end.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use crossbeam_channel::Sender;

use crate::{conversation::event::LocalEvent, error::Error};

/// The number of unacknowledged signals that end the process at once.
const FORCED_END: usize = 3;

/// The delivery of signals as local events.
#[derive(Clone, Debug, Default)]
pub struct Signals {
    /// While this is set, Ctrl-C is for the line editor or for another program.
    ignores_interrupt: Arc<AtomicBool>,
    /// The number of signals that the main thread has not acknowledged.
    unacknowledged: Arc<AtomicUsize>,
}

impl Signals {
    /// Starts the delivery.
    pub fn watch(events: Sender<LocalEvent>) -> Result<Self, Error> {
        let signals = Self::default();
        signals
            .start(events)
            .map_err(|source| Error::Io { operation: "watch for Ctrl-C", source })?;
        Ok(signals)
    }

    /// Ignores Ctrl-C, or stops ignoring it. Other signals are always delivered.
    pub fn set_interrupt_ignored(&self, ignored: bool) {
        self.ignores_interrupt.store(ignored, Ordering::SeqCst);
    }

    /// Resets the count of unacknowledged signals.
    pub fn acknowledge(&self) {
        self.unacknowledged.store(0, Ordering::SeqCst);
    }

    fn deliver(&self, event: LocalEvent, events: &Sender<LocalEvent>) {
        if matches!(event, LocalEvent::Interrupt) && self.ignores_interrupt.load(Ordering::SeqCst) {
            return;
        }
        if self.unacknowledged.fetch_add(1, Ordering::SeqCst) + 1 >= FORCED_END {
            std::process::exit(i32::from(Error::Interrupted.exit_code()));
        }
        let _ = events.send(event);
    }

    /// Starts the thread. A signal that was ignored at the start stays ignored, for `nohup`.
    #[cfg(unix)]
    fn start(&self, events: Sender<LocalEvent>) -> io::Result<()> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        let ignored = ignored_signals();
        let wanted = [SIGHUP, SIGINT, SIGTERM]
            .into_iter()
            .filter(|signal| u32::try_from(signal - 1).is_ok_and(|bit| ignored >> bit & 1 == 0));
        let mut arriving = signal_hook::iterator::Signals::new(wanted)?;
        let signals = self.clone();
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for signal in arriving.forever() {
                let event =
                    if signal == SIGINT { LocalEvent::Interrupt } else { LocalEvent::Terminate };
                signals.deliver(event, &events);
            }
        })?;
        Ok(())
    }

    /// Starts the thread. Windows ends a client 5 s after its console was closed, and at once when
    /// the handler returns; the handler of Tokio does not return.
    #[cfg(windows)]
    fn start(&self, events: Sender<LocalEvent>) -> io::Result<()> {
        use tokio::{runtime, select, signal::windows};
        let runtime = runtime::Builder::new_current_thread().build()?;
        let (mut c, mut pause) = (windows::ctrl_c()?, windows::ctrl_break()?);
        let (mut close, mut off) = (windows::ctrl_close()?, windows::ctrl_logoff()?);
        let mut down = windows::ctrl_shutdown()?;
        let signals = self.clone();
        let listen = async move {
            loop {
                let event = select! {
                    _ = c.recv() => LocalEvent::Interrupt,
                    _ = pause.recv() => LocalEvent::Interrupt,
                    _ = close.recv() => LocalEvent::Terminate,
                    _ = off.recv() => LocalEvent::Terminate,
                    _ = down.recv() => LocalEvent::Terminate,
                };
                signals.deliver(event, &events);
            }
        };
        let thread = std::thread::Builder::new().name("signals".to_owned());
        thread.spawn(move || runtime.block_on(listen)).map(drop)
    }
}

/// Returns the ignored signals of this process, as bits.
///
/// Linux has them in a file. Other systems need unsafe code: there, none counts as ignored.
#[cfg(unix)]
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
