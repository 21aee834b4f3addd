//! The reasons for which a worker process has ended.

use std::{fmt, process::ExitStatus, time::Duration};

/// The reason for which a worker process has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It ended by itself, or by another process.
    Exit(Exit),
    /// It broke the protocol; the host has ended it.
    Protocol(String),
    /// It exceeded a limit; the host has ended it.
    Limit(String),
    /// It could not be started again.
    NotStarted(String),
    /// An operator, or the end of the host, has ended it.
    Asked,
}

/// The way in which a process has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With a status.
    Status(i32),
    /// By a signal.
    Signal(i32),
    /// The system does not tell.
    Unknown,
}

impl Cause {
    /// Returns true if a process that was asked to end has not done so in order.
    #[must_use]
    pub fn is_fault(&self) -> bool {
        /// The signal that the host asks by.
        const TERM: i32 = 15;
        !matches!(self, Self::Asked | Self::Exit(Exit::Status(0) | Exit::Signal(TERM)))
    }
}

impl Exit {
    /// Returns the way in which a process with this status has ended.
    #[must_use]
    pub fn of(status: ExitStatus) -> Self {
        #[cfg(unix)]
        if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
            return Self::Signal(signal);
        }
        status.code().map_or(Self::Unknown, Self::Status)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // <https://learn.microsoft.com/openspecs/windows_protocols/ms-erref/>: the NTSTATUS of
            // an error.
            Self::Status(code) if cfg!(windows) && code.cast_unsigned() >= 0x8000_0000 => {
                write!(out, "exception {code:#x}")
            }
            Self::Status(code) => write!(out, "exit status {code}"),
            Self::Signal(signal) => write!(out, "signal {signal}"),
            Self::Unknown => out.write_str("an unknown end"),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(exit) => exit.fmt(out),
            Self::Protocol(problem) => write!(out, "protocol error: {problem}"),
            Self::Limit(limit) => write!(out, "exceeded {limit}"),
            Self::NotStarted(problem) => write!(out, "not started: {problem}"),
            Self::Asked => out.write_str("the host has ended it"),
        }
    }
}

/// Describes an end with the commands that were running.
#[must_use]
pub fn describe(cause: &Cause, running: &[&str]) -> String {
    /// The most commands that are named.
    const NAMED: usize = 3;
    match running {
        [] => cause.to_string(),
        [command] => format!("{cause} in '{command}'"),
        several => {
            let named: Vec<_> =
                several.iter().take(NAMED).map(|command| format!("'{command}'")).collect();
            let more = match several.len().saturating_sub(NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!("{cause} while {}{more} ran", named.join(", "))
        }
    }
}

/// Returns a time for people: `5 s`, `1.2 s`.
#[must_use]
pub fn seconds(time: Duration) -> String {
    let tenths = (time.as_secs_f64() * 10.0).round() / 10.0;
    format!("{tenths} s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_names_the_running_commands() {
        let cause = Cause::Exit(Exit::Signal(11));
        for (running, text) in [
            (&[][..], "signal 11"),
            (&["x.cmd"], "signal 11 in 'x.cmd'"),
            (&["a", "b"], "signal 11 while 'a', 'b' ran"),
            (&["a", "b", "c", "d", "e"], "signal 11 while 'a', 'b', 'c' and 2 more ran"),
        ] {
            assert_eq!(describe(&cause, running), text);
        }
    }

    #[test]
    fn orderly_end_is_no_fault() {
        let faults = [Exit::Status(0), Exit::Signal(15), Exit::Status(3), Exit::Signal(11)]
            .map(|exit| Cause::Exit(exit).is_fault());
        assert_eq!(faults, [false, false, true, true]);
        assert!(!Cause::Asked.is_fault() && Cause::Limit(String::new()).is_fault());
    }

    #[test]
    fn times_are_rounded_to_tenths() {
        for (millis, text) in [(5_000, "5 s"), (1_249, "1.2 s"), (40, "0 s"), (950, "1 s")] {
            assert_eq!(seconds(Duration::from_millis(millis)), text);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_signal_is_no_status() {
        use std::os::unix::process::ExitStatusExt;
        assert_eq!(Exit::of(ExitStatus::from_raw(9)), Exit::Signal(9));
        assert_eq!(Exit::of(ExitStatus::from_raw(3 << 8)), Exit::Status(3));
    }
}
