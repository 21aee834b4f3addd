//! Writes a backtrace when a worker process crashes, for the host's log at its level debug.
//!
//! Making a backtrace allocates and takes locks, which a handler of a fatal signal must not do: it
//! may wait for ever. Here the process is lost anyway, serves nobody, and an alarm ends it.
#![allow(unsafe_code, reason = "signal handlers cannot be installed without")]

use std::{backtrace::Backtrace, mem, ptr};

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

extern "C" fn on_signal(signal: c_int) {
    // SAFETY: these calls take numbers only and may be made at any time. The alarm's default action
    // ends the process.
    unsafe {
        libc::signal(libc::SIGALRM, libc::SIG_DFL);
        libc::alarm(LIMIT);
    }
    eprintln!("signal {signal}, backtrace:\n{}", Backtrace::force_capture());
    // SAFETY: to raise a signal is always allowed; its action is the default one.
    unsafe {
        libc::raise(signal);
    }
}
