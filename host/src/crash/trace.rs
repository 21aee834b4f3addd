//! Writes a backtrace when a worker process crashes, for the host's log at its level debug.
//!
//! Making a backtrace allocates and takes locks, which a handler of a fatal signal must not do: it
//! may wait for ever. Here the process is lost anyway, serves nobody, and an alarm ends it.
#![allow(unsafe_code, reason = "signal handlers cannot be installed without")]

use std::{
    backtrace::Backtrace,
    mem, ptr,
    sync::atomic::{AtomicI32, Ordering},
};

use libc::c_int;

/// The signals of a fault or an abort.
const FATAL: [c_int; 6] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT, libc::SIGTRAP];

/// The longest time for a backtrace, in seconds.
const LIMIT: u32 = 2;

/// Writes a backtrace to standard error when this process crashes from now on.
pub fn install() {
    for signal in FATAL {
        // SAFETY: all of an action's fields are integers or sets of bits, or a function that may be
        // absent, so that zeros are a valid value; the handler has the signature of an action
        // without SA_SIGINFO. A refusal leaves the default action in force.
        unsafe {
            let mut action: libc::sigaction = mem::zeroed();
            action.sa_sigaction = on_signal as *const () as usize;
            // The default action is in force in the handler already, for a second fault. Not on the
            // alternate stack, which is too small: after a stack overflow there is no backtrace.
            action.sa_flags = libc::SA_RESETHAND | libc::SA_NODEFER;
            libc::sigaction(signal, &raw const action, ptr::null_mut());
        }
    }
}

/// The signal of the crash.
static CRASH: AtomicI32 = AtomicI32::new(libc::SIGABRT);

extern "C" fn on_signal(signal: c_int) {
    CRASH.store(signal, Ordering::SeqCst);
    let on_alarm: extern "C" fn(c_int) = on_alarm;
    // SAFETY: the handler has the signature that `signal` asks for; the other calls may be made at
    // any time.
    unsafe {
        libc::signal(libc::SIGALRM, on_alarm as libc::sighandler_t);
        unblock(libc::SIGALRM);
        libc::alarm(LIMIT);
    }
    eprintln!("signal {signal}, backtrace:\n{}", Backtrace::force_capture());
    // SAFETY: to raise a signal is always allowed; its action is the default one.
    unsafe {
        libc::raise(signal);
    }
}

/// Ends the process by the signal of the crash: the backtrace takes too long.
extern "C" fn on_alarm(_: c_int) {
    let crash = CRASH.load(Ordering::SeqCst);
    // SAFETY: the default action of a signal may be restored, and a signal raised, at any time.
    unsafe {
        libc::signal(crash, libc::SIG_DFL);
        unblock(crash);
        libc::raise(crash);
    }
}

/// Lets a signal reach this thread.
fn unblock(signal: c_int) {
    // SAFETY: a set of signals is a set of bits or numbers, so that zeros are a valid value; and
    // all pointers are to it, or null where nothing is to be returned.
    unsafe {
        let mut set: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, ptr::null_mut());
    }
}

#[cfg(test)]
mod tests {
    use std::{
        env, io,
        os::unix::process::ExitStatusExt,
        process::{Command, Stdio},
        sync::mpsc,
        thread,
        time::{Duration, Instant},
    };

    use super::*;

    const PART: &str = "DROPIN_TEST_STUCK_TRACE";

    /// The child's part of the test: it crashes while another thread keeps standard error locked.
    #[test]
    #[ignore = "a part of another"]
    fn crashes_without_standard_error() {
        if env::var_os(PART).is_none() {
            return;
        }
        // SAFETY: as in `unblock`.
        unsafe {
            let mut all: libc::sigset_t = mem::zeroed();
            libc::sigfillset(&raw mut all);
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, ptr::null_mut());
        }
        unblock(libc::SIGSEGV);
        install();
        let (locked, is_locked) = mpsc::channel();
        thread::spawn(move || {
            let _lock = io::stderr().lock();
            locked.send(()).unwrap();
            thread::sleep(Duration::from_secs(600));
        });
        is_locked.recv().unwrap();
        // SAFETY: to raise a signal is always allowed.
        unsafe { libc::raise(libc::SIGSEGV) };
    }

    #[test]
    fn stuck_backtrace_ends_by_the_crash() {
        let mut command = Command::new(env::current_exe().unwrap());
        let module = module_path!().split_once("::").unwrap().1;
        let part = format!("{module}::crashes_without_standard_error");
        command.args(["--ignored", "--exact", "--nocapture", &part]).env(PART, "1");
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let limit = Instant::now() + Duration::from_secs(60);
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() >= limit {
                child.kill().unwrap();
                break child.wait().unwrap();
            }
            thread::sleep(Duration::from_millis(10));
        };
        assert_eq!(status.signal(), Some(libc::SIGSEGV), "{status}");
    }
}
