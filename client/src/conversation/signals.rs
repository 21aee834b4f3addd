//! Ctrl-C, and the system's wish that the client ends.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use crossbeam_channel::Sender;

use crate::{conversation::event::Event, error::Error};

/// As many that nobody listens to end the client: whatever keeps it is not wanted.
const ENOUGH: usize = 3;

/// Where signals go.
#[derive(Clone, Debug, Default)]
pub struct Signals {
    /// While this is set Ctrl-C is the client's own, or for a program that it runs.
    deaf: Arc<AtomicBool>,
    /// Those that nobody has listened to.
    unheard: Arc<AtomicUsize>,
}

impl Signals {
    /// Tells of signals from now on.
    pub fn watch(events: Sender<Event>) -> Result<Self, Error> {
        let signals = Self::default();
        signals
            .start(events)
            .map_err(|source| Error::Local { doing: "watch for Ctrl-C", source })?;
        Ok(signals)
    }

    /// Passes over Ctrl-C, or no longer. The system's wish is always meant for the client.
    pub fn set_deaf(&self, deaf: bool) {
        self.deaf.store(deaf, Ordering::SeqCst);
    }

    /// Notes that somebody has listened.
    pub fn heard(&self) {
        self.unheard.store(0, Ordering::SeqCst);
    }

    fn arrived(&self, event: Event, events: &Sender<Event>) {
        if matches!(event, Event::Interrupt) && self.deaf.load(Ordering::SeqCst) {
            return;
        }
        if self.unheard.fetch_add(1, Ordering::SeqCst) + 1 >= ENOUGH {
            std::process::exit(i32::from(Error::Interrupted.exit_code()));
        }
        let _ = events.send(event);
    }

    /// A signal that was ignored when the client started stays ignored, as `nohup` wants it.
    #[cfg(unix)]
    fn start(&self, events: Sender<Event>) -> io::Result<()> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        let ignored = ignored_signals();
        let wanted = [SIGHUP, SIGINT, SIGTERM]
            .into_iter()
            .filter(|signal| u32::try_from(signal - 1).is_ok_and(|bit| ignored >> bit & 1 == 0));
        let mut arriving = signal_hook::iterator::Signals::new(wanted)?;
        let signals = self.clone();
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for signal in arriving.forever() {
                let event = if signal == SIGINT { Event::Interrupt } else { Event::Terminate };
                signals.arrived(event, &events);
            }
        })?;
        Ok(())
    }

    /// Windows ends a client whose console was closed after 5 s, and at once where the handler
    /// returns, which Tokio's does not.
    #[cfg(windows)]
    fn start(&self, events: Sender<Event>) -> io::Result<()> {
        use tokio::{runtime, select, signal::windows};
        let runtime = runtime::Builder::new_current_thread().build()?;
        let (mut c, mut pause) = (windows::ctrl_c()?, windows::ctrl_break()?);
        let (mut close, mut off) = (windows::ctrl_close()?, windows::ctrl_logoff()?);
        let mut down = windows::ctrl_shutdown()?;
        let signals = self.clone();
        let listen = async move {
            loop {
                let event = select! {
                    _ = c.recv() => Event::Interrupt,
                    _ = pause.recv() => Event::Interrupt,
                    _ = close.recv() => Event::Terminate,
                    _ = off.recv() => Event::Terminate,
                    _ = down.recv() => Event::Terminate,
                };
                signals.arrived(event, &events);
            }
        };
        let thread = std::thread::Builder::new().name("signals".to_owned());
        thread.spawn(move || runtime.block_on(listen)).map(drop)
    }
}

/// The signals that this process ignores, as bits. Linux says it in a file; other systems only say
/// it to unsafe code, so that a signal counts as not ignored there.
#[cfg(unix)]
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
