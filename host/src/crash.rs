//! Reports a crash that a plugin has caused, as the host's last action.
//!
//! Plugins run in the host's process, so a fault in one ends the host. The host then writes the
//! running command to the log and to a file in its state directory, and ends by the signal as if
//! nothing had been written: exit status and core dump are the usual ones. The next start logs the
//! file.
//!
//! A call of `exit` in a plugin ends the host in the same way, with the status 70. Not noticed:
//! `_exit`, `SIGKILL`, and a stack overflow in a thread that a plugin has started itself, which has
//! no alternate stack for a handler. Windows has no such handler here.

#[cfg(unix)]
mod handler;
#[cfg(unix)]
mod line;
#[cfg(unix)]
mod place;

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
};

#[cfg(unix)]
pub use self::place::in_session;
use crate::config::LogFormat;

/// The exit status after a plugin has called `exit`: `EX_SOFTWARE` of sysexits(3).
pub const EXIT_STATUS: i32 = 70;

/// The name of the report's file in the state directory.
const FILE: &str = "crash";
/// The most that is read of it, in bytes.
const LONGEST: u64 = 1_024;

/// Reports crashes while it lives.
pub struct CrashReporter(());

impl CrashReporter {
    /// Starts to report crashes to the log and to a file in this directory.
    ///
    /// # Errors
    /// The path contains a zero byte, or the system refuses a handler.
    pub fn start(state_dir: &Path, format: LogFormat) -> io::Result<Self> {
        #[cfg(unix)]
        handler::install(Form::of(format), &state_dir.join(FILE))?;
        #[cfg(not(unix))]
        let _ = (state_dir, format);
        Ok(Self(()))
    }
}

impl Drop for CrashReporter {
    fn drop(&mut self) {
        allow_exit();
    }
}

/// Runs a session.
#[cfg(not(unix))]
pub fn in_session<R>(
    _: &crate::runtime::client_handle::ClientHandle,
    run: impl FnOnce() -> R,
) -> R {
    run()
}

/// Lets the host itself exit from now on.
pub fn allow_exit() {
    #[cfg(unix)]
    handler::allow_exit();
}

/// Logs the crash of the last run with this state directory, once. Returns the plugin that was
/// running.
pub fn report_last(state_dir: &Path) -> Option<String> {
    let path = state_dir.join(FILE);
    let file = File::open(&path).ok()?;
    let mut text = Vec::new();
    // If it cannot be read, its existence is enough to report.
    let _ = file.take(LONGEST).read_to_end(&mut text);
    log::warn!("the last run crashed: {}", String::from_utf8_lossy(&text).trim_end());
    if let Err(error) = fs::remove_file(&path) {
        log::warn!("cannot remove {}: {error}", path.display());
    }
    plugin_in(&String::from_utf8_lossy(&text))
}

/// Returns the plugin that a report names.
fn plugin_in(report: &str) -> Option<String> {
    let (_, after) = report.split_once(" in plugin '")?;
    let (plugin, _) = after.split_once('\'')?;
    Some(plugin.to_owned())
}

/// The format of the log, see [`logging`](crate::runtime::logging).
#[cfg(unix)]
#[derive(Clone, Copy)]
enum Form {
    Text,
    Journal,
    Json,
}

#[cfg(unix)]
impl Form {
    fn of(format: LogFormat) -> Self {
        match format {
            LogFormat::Json => Self::Json,
            LogFormat::Text if platform::logs_to_journal() => Self::Journal,
            LogFormat::Text => Self::Text,
        }
    }

    /// Writes a log line. The message must need no escapes in JSON; names of plugins and commands
    /// need none.
    fn write(
        self,
        line: &mut line::LineBuffer,
        time: &line::LineBuffer,
        message: &line::LineBuffer,
    ) {
        let (before, between, after) = match self {
            Self::Text => ("", " ERROR host: ", "\n"),
            // 2 is critical, see sd-daemon(3).
            Self::Journal => return line.push_all(&[b"<2>host: ", message.bytes(), b"\n"]),
            Self::Json => {
                (r#"{"time":""#, r#"","level":"error","target":"host","message":""#, "\"}\n")
            }
        };
        let (time, message) = (time.bytes(), message.bytes());
        line.push_all(&[before.as_bytes(), time, between.as_bytes(), message, after.as_bytes()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_of_a_crash_is_logged_once() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(report_last(folder.path()), None);
        for (report, plugin) in [
            ("then fatal: signal 11 in a thread of no session\n", None),
            ("then fatal: exit(3) called in plugin 'x', command 'y', session 1\n", Some("x")),
        ] {
            fs::write(folder.path().join(FILE), report).unwrap();
            assert_eq!(report_last(folder.path()).as_deref(), plugin);
            assert!(!folder.path().join(FILE).exists());
        }
    }

    #[cfg(unix)]
    #[test]
    fn line_of_a_crash_fits_the_log() {
        let written = |form: Form| {
            let (mut line, mut time, mut message) =
                (line::LineBuffer::new(), line::LineBuffer::new(), line::LineBuffer::new());
            time.push_time(0, 5);
            message.push("fatal: signal 11");
            form.write(&mut line, &time, &message);
            String::from_utf8(line.bytes().to_vec()).unwrap()
        };
        assert_eq!(written(Form::Text), "1970-01-01T00:00:00.005Z ERROR host: fatal: signal 11\n");
        assert_eq!(written(Form::Journal), "<2>host: fatal: signal 11\n");
        let json: serde_json::Value = serde_json::from_str(&written(Form::Json)).unwrap();
        let expected = serde_json::json!({
            "time": "1970-01-01T00:00:00.005Z", "level": "error", "target": "host",
            "message": "fatal: signal 11",
        });
        assert_eq!(json, expected);
    }
}
