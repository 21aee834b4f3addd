//! Handles fatal signals, and an exit that the host has not asked for.
//!
//! Handlers may interrupt any code, so they call only functions that are async-signal-safe: no
//! allocation, no lock, no formatting.
//!
//! `signal-hook` refuses these signals and has no handlers on an alternate stack, without which a
//! stack overflow cannot be handled; `crash-handler` is made for sending a dump to another process
//! and does not pass the signal on.
#![allow(unsafe_code, reason = "signal handlers cannot be installed without")]

use std::{
    cell::UnsafeCell,
    ffi::CString,
    io, mem,
    os::unix::ffi::OsStrExt as _,
    path::Path,
    process, ptr,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use libc::{c_int, c_void, sigaction, siginfo_t};
use plugin_engine::registry::Command;

use super::{EXIT_STATUS, Form, line::LineBuffer, place};

/// The signals of a fault or an abort.
const FATAL: [(c_int, &str); 7] = [
    (libc::SIGSEGV, "SIGSEGV"),
    (libc::SIGBUS, "SIGBUS"),
    (libc::SIGILL, "SIGILL"),
    (libc::SIGFPE, "SIGFPE"),
    (libc::SIGABRT, "SIGABRT"),
    (libc::SIGTRAP, "SIGTRAP"),
    (libc::SIGSYS, "SIGSYS"),
];

/// The code of a signal sent by `kill`: `SI_USER` of the system's headers.
const SENT: c_int = if cfg!(target_os = "linux") { 0 } else { 0x1_0001 };

/// The time for which a second crash waits for the report of the first, in milliseconds.
const TIMEOUT_MILLIS: usize = 1_000;

/// The data of the handlers, which never changes.
struct HandlerState {
    /// The host's process: a child that a plugin has forked has the handlers as well.
    pid: u32,
    form: Form,
    /// The path of the report for the next start.
    file: CString,
    /// The actions that were in force before, in the order of [`FATAL`].
    previous: [sigaction; FATAL.len()],
}

static HANDLER_STATE: OnceLock<HandlerState> = OnceLock::new();
/// True once a thread writes the report.
static REPORTING: AtomicBool = AtomicBool::new(false);
static REPORTED: AtomicBool = AtomicBool::new(false);
/// True if an exit is the host's own.
static EXIT_IS_ALLOWED: AtomicBool = AtomicBool::new(false);

/// The cause of the host's end.
#[derive(Clone, Copy)]
enum Cause {
    /// A signal caused by this thread.
    Signal(c_int),
    /// A signal from the process of this number.
    Sent(c_int, u64),
    /// A call of `exit`, with its status if the system reports it.
    Exit(Option<c_int>),
}

/// Installs the handlers, once for the process.
pub(super) fn install(form: Form, file: &Path) -> io::Result<()> {
    EXIT_IS_ALLOWED.store(false, Ordering::SeqCst);
    if HANDLER_STATE.get().is_some() {
        return Ok(());
    }
    let file = CString::new(file.as_os_str().as_bytes())?;
    let mut previous = [EMPTY; FATAL.len()];
    for ((signal, _), previous) in FATAL.iter().zip(&mut previous) {
        // SAFETY: with no new action this only writes the present one to `previous`, a valid place.
        if unsafe { libc::sigaction(*signal, ptr::null(), previous) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    let known = HandlerState { pid: process::id(), form, file, previous };
    if HANDLER_STATE.set(known).is_err() {
        return Ok(());
    }
    let mut action = EMPTY;
    action.sa_sigaction = on_signal as *const () as usize;
    // On the alternate stack, which the standard library gives each of its threads: a stack
    // overflow leaves no room on the thread's own.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    for (signal, _) in FATAL {
        // SAFETY: `action` is a whole action, and its handler has the signature that SA_SIGINFO
        // asks for.
        if unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    watch_exit()
}

/// Lets the host exit from now on.
pub(super) fn allow_exit() {
    EXIT_IS_ALLOWED.store(true, Ordering::SeqCst);
}

// SAFETY: all of an action's fields are integers or sets of bits, or a function that may be absent,
// so that zeros are a valid value: the default action.
const EMPTY: sigaction = unsafe { mem::zeroed() };

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn watch_exit() -> io::Result<()> {
    // SAFETY: this is how the C library declares it.
    unsafe extern "C" {
        fn on_exit(act: extern "C" fn(c_int, *mut c_void), argument: *mut c_void) -> c_int;
    }

    extern "C" fn exits(status: c_int, _: *mut c_void) {
        handle_exit(Some(status));
    }

    // SAFETY: the function stays valid while the program runs, and takes no argument.
    match unsafe { on_exit(exits, ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::other("no room for another exit handler")),
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn watch_exit() -> io::Result<()> {
    extern "C" fn exits() {
        handle_exit(None);
    }

    // SAFETY: the function stays valid while the program runs.
    match unsafe { libc::atexit(exits) } {
        0 => Ok(()),
        _ => Err(io::Error::other("no room for another exit handler")),
    }
}

fn handle_exit(status: Option<c_int>) {
    let Some(known) = HANDLER_STATE.get() else { return };
    if EXIT_IS_ALLOWED.load(Ordering::SeqCst) || process::id() != known.pid {
        return;
    }
    report_once(known, Cause::Exit(status));
    // SAFETY: ends the process, without whatever else `exit` would do: threads still run.
    unsafe { libc::_exit(EXIT_STATUS) }
}

extern "C" fn on_signal(signal: c_int, info: *mut siginfo_t, _: *mut c_void) {
    let Some(known) = HANDLER_STATE.get() else { return };
    // SAFETY: the system passes a valid pointer to a handler of SA_SIGINFO.
    let info = unsafe { info.as_ref() };
    let code = info.map_or(0, |info| info.si_code);
    // A fault happens again when the handler returns; a signal that was sent does not, nor does a
    // trap,
    // whose instruction has completed. `abort` sends one, with a code that differs between systems.
    let sent =
        code <= 0 || code == SENT || matches!(signal, libc::SIGABRT | libc::SIGTRAP | libc::SIGSYS);
    if process::id() == known.pid {
        // SAFETY: `kill` has sent it, so that the number of the sender is there.
        let sender = |info: &siginfo_t| unsafe { info.si_pid() };
        let sender = info.filter(|_| code == SENT).map(sender);
        let sender = sender.and_then(|pid| u64::try_from(pid).ok());
        report_once(
            known,
            match sender.filter(|pid| *pid != u64::from(known.pid)) {
                Some(sender) => Cause::Sent(signal, sender),
                None => Cause::Signal(signal),
            },
        );
    }
    let place = FATAL.iter().position(|(fatal, _)| *fatal == signal);
    // Next is the earlier handler, for a stack overflow the standard library's. It would ignore a
    // signal that was sent.
    let before = place.filter(|_| !sent).and_then(|place| known.previous.get(place));
    let next = before.unwrap_or(&EMPTY);
    // SAFETY: the action is one that was in force before, or the default one; and to raise a signal
    // is always allowed.
    unsafe {
        libc::sigaction(signal, next, ptr::null_mut());
        if sent {
            libc::raise(signal);
        }
    }
}

/// Writes the report, or waits until another thread has written it.
fn report_once(known: &HandlerState, cause: Cause) {
    if !REPORTING.swap(true, Ordering::SeqCst) {
        report(known, cause);
        REPORTED.store(true, Ordering::SeqCst);
    }
    for _ in 0..TIMEOUT_MILLIS {
        if REPORTED.load(Ordering::SeqCst) {
            return;
        }
        let pause = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000 };
        // SAFETY: `pause` is valid, and the time that is left is not asked for.
        unsafe { libc::nanosleep(&raw const pause, ptr::null_mut()) };
    }
}

/// The texts of a report, not on the stack: the alternate one has some 5 KiB for a handler.
struct Texts {
    time: LineBuffer,
    message: LineBuffer,
    line: LineBuffer,
}

struct ReporterOnly(UnsafeCell<Texts>);

// SAFETY: only the thread that has set `REPORTING`, which is never taken back, uses what is inside.
unsafe impl Sync for ReporterOnly {}

static TEXTS: ReporterOnly = ReporterOnly(UnsafeCell::new(Texts {
    time: LineBuffer::new(),
    message: LineBuffer::new(),
    line: LineBuffer::new(),
}));

/// Writes the report; only for the thread that has set [`REPORTING`].
fn report(known: &HandlerState, cause: Cause) {
    // SAFETY: this thread has set `REPORTING`, so that no other comes here, and neither does this
    // one again.
    let Texts { time, message, line } = unsafe { &mut *TEXTS.0.get() };
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid place for the time.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut now) };
    let millis = u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000;
    time.push_time(u64::try_from(now.tv_sec).unwrap_or(0), millis);
    describe(message, cause);

    known.form.write(line, time, message);
    write(libc::STDERR_FILENO, line.bytes());

    line.clear();
    line.push_all(&[time.bytes(), b" ", message.bytes(), b"\n"]);
    let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC | libc::O_CLOEXEC;
    // SAFETY: the path ends with a zero byte and is never freed.
    let file = unsafe { libc::open(known.file.as_ptr(), flags, 0o600) };
    if file >= 0 {
        write(file, line.bytes());
        // SAFETY: the descriptor was opened above and is used nowhere else.
        unsafe {
            libc::fsync(file);
            libc::close(file);
        }
    }
}

fn write(file: c_int, bytes: &[u8]) {
    // Best effort: a log that takes only a part, or nothing, has no second chance.
    // SAFETY: the pointer and the length are those of `bytes`.
    unsafe { libc::write(file, bytes.as_ptr().cast(), bytes.len()) };
}

/// Describes the cause and the running plugin.
fn describe(line: &mut LineBuffer, cause: Cause) {
    line.push("fatal: ");
    match cause {
        Cause::Signal(signal) => push_signal(line, signal),
        Cause::Sent(signal, sender) => {
            push_signal(line, signal);
            line.push(" sent by process ");
            // The thread that handles it is unrelated to the cause.
            return line.push_number(sender);
        }
        Cause::Exit(status) => {
            line.push("exit(");
            if let Some(status) = status {
                line.push_signed(status);
            }
            line.push(") called");
        }
    }
    if let Some((name, operation)) = plugin_engine::live::place::here() {
        // SAFETY: this thread is inside `in_plugin`, which borrows the name until it has taken the
        // note back.
        push_name(line, " in plugin '", unsafe { &*name });
        return push_name(line, ", in its '", operation);
    }
    // SAFETY: this thread is inside `in_session`, which borrows the handle until it has taken the
    // note back.
    let Some(session) = (unsafe { place::session().as_ref() }) else {
        return line.push(" in a thread of no session");
    };
    let running = session.running();
    // While the host's own code unwinds, the note of the command may be out of date.
    if running != 0 && !thread::panicking() {
        // SAFETY: the session has noted the command by its address, and takes the note back when
        // the worker has returned, until when it holds the registry that owns the command. This
        // thread is the session's, so that the worker has not returned.
        let command = unsafe { &*ptr::with_exposed_provenance::<Command>(running) };
        push_name(line, " in plugin '", command.plugin.as_deref().unwrap_or_default());
        push_name(line, ", command '", &command.name);
        line.push(",");
    } else {
        line.push(" in no plugin,");
    }
    line.push(" session ");
    line.push_number(session.id);
}

fn push_signal(line: &mut LineBuffer, signal: c_int) {
    line.push("signal ");
    line.push_signed(signal);
    if let Some((_, name)) = FATAL.iter().find(|(fatal, _)| *fatal == signal) {
        line.push(" (");
        line.push(name);
        line.push(")");
    }
}

fn push_name(line: &mut LineBuffer, before: &str, name: &str) {
    line.push(before);
    line.push(name);
    line.push("'");
}
