//! The reasons for which a library is refused.

use std::{fmt, io, path::Path, time::Duration};

use serde::{Deserialize, Serialize};

use super::trust::{permissions::Insecure, signature::BadSignature};

/// The reason for which a library is refused. It crosses from the probe's process to the host, so
/// it holds no memory of the library.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The file could not be read or copied.
    Unreadable {
        /// The operation, as a verb and its object.
        operation: String,
        /// The system's error.
        error: String,
    },
    /// It is not a regular file, or it is empty.
    NotAFile {
        /// A description of it.
        what: String,
    },
    /// It is larger than a library may be.
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The limit, in bytes.
        most: u64,
    },
    /// Other users could have written it.
    Insecure(#[source] Insecure),
    /// Its signature does not vouch for it.
    Signature(#[source] BadSignature),
    /// It changed while it was read.
    Unsettled,
    /// Another program has it or its copy open, such as its writer or a virus scanner.
    InUse,
    /// It ends before it is complete.
    Truncated,
    /// It is a library, but not for this system.
    OtherKind {
        /// A description of it and the remedy.
        what: String,
    },
    /// The system's loader refuses it.
    NotALibrary {
        /// The loader's error.
        error: String,
    },
    /// It does not export a plugin.
    NoPlugin,
    /// It was built with another version of the ABI library.
    AbiStable {
        /// The plugin's, and the host's.
        versions: [String; 2],
    },
    /// It was built for another major version of the plugin API.
    ApiVersion {
        /// The plugin's, and the host's.
        versions: [String; 2],
    },
    /// Its types are laid out differently.
    Layout {
        /// The differences.
        report: String,
    },
    /// Its manifest breaks a rule.
    Manifest {
        /// The rule and the breach.
        problem: String,
    },
    /// Its `create` failed.
    Create {
        /// Its message.
        error: String,
    },
    /// Another plugin or the host has one of its commands, or its name.
    Clash {
        /// The names and the two files.
        problem: String,
    },
    /// It ended the process that probed it.
    Died {
        /// The way in which it ended.
        how: String,
    },
    /// It did not finish in time.
    TimedOut {
        /// The limit, in milliseconds.
        millis: u64,
    },
    /// Its probe has left an invalid report.
    BadProbeReport {
        /// The defect.
        problem: String,
    },
    /// The host is ending.
    Stopping,
    /// Its state could not be handed over; the earlier version keeps serving with it.
    Handover {
        /// The failure.
        problem: String,
    },
    /// It does not start with its present configuration.
    Configuration {
        /// The plugin.
        plugin: String,
        /// The mistake, its place, and the remedy.
        problem: String,
        /// True if the same file may be accepted a moment later.
        passing: bool,
    },
    /// The operator's settings for it are wrong.
    Settings {
        /// The mistake, its place, and the remedy.
        problem: String,
    },
    /// It is an executable that does not serve as a worker.
    Worker {
        /// The failure.
        problem: String,
    },
    /// The probe itself could not be run.
    ProbeFailed {
        /// The operation, as a verb and its object.
        operation: String,
        /// The cause.
        error: String,
    },
}

impl Refusal {
    /// Makes the refusal of a file that could not be read or copied.
    #[must_use]
    pub fn unreadable(operation: &str, error: &io::Error) -> Self {
        if platform::is_in_use(error) {
            return Self::InUse;
        }
        // A temporary failure says nothing about the file.
        if platform::is_passing(error) {
            return Self::probe_failed(operation, error);
        }
        Self::Unreadable { operation: operation.to_owned(), error: error.to_string() }
    }

    /// Makes the refusal of a file whose probe could not be run.
    #[must_use]
    pub fn probe_failed(operation: &str, error: &impl fmt::Display) -> Self {
        Self::ProbeFailed { operation: operation.to_owned(), error: error.to_string() }
    }

    /// Returns true if the same content is refused again, whatever else changes.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        use Refusal as R;
        matches!(
            self,
            R::NotAFile { .. }
                | R::OtherKind { .. }
                | R::NotALibrary { .. }
                | R::Truncated
                | R::NoPlugin
                | R::AbiStable { .. }
                | R::ApiVersion { .. }
                | R::Layout { .. }
                | R::Manifest { .. }
        )
    }

    /// Returns true if a probe's child may give this reason; the others come from the host alone.
    #[must_use]
    pub fn is_of_the_library(&self) -> bool {
        use Refusal as R;
        matches!(
            self,
            R::NotALibrary { .. }
                | R::InUse
                | R::NoPlugin
                | R::AbiStable { .. }
                | R::ApiVersion { .. }
                | R::Layout { .. }
                | R::Manifest { .. }
                | R::Create { .. }
        )
    }

    /// Returns true if the same content may be accepted a moment later.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        use Refusal as R;
        matches!(
            self,
            R::Unsettled
                | R::InUse
                | R::Handover { .. }
                | R::ProbeFailed { .. }
                | R::Signature(BadSignature::InUse { .. } | BadSignature::NoAnswer { .. })
                | R::Configuration { passing: true, .. }
        )
    }

    /// Replaces the path of the private copy by the file's own path in the loader's message.
    #[must_use]
    pub fn about(self, copy: &Path, file: &Path) -> Self {
        let (copy, file) = (copy.to_string_lossy(), file.to_string_lossy());
        match self {
            Self::NotALibrary { error } => {
                Self::NotALibrary { error: error.replace(&*copy, &file) }
            }
            other => other,
        }
    }
}

/// Writes one line without control characters and of limited length: parts of the text come from
/// the library, and it goes to logs and terminals.
impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(&mut OneLine { out, room: MOST_SHOWN })
    }
}

/// The longest reason that is shown in full, in bytes.
const MOST_SHOWN: usize = 4096;

struct OneLine<'a, 'b> {
    out: &'a mut fmt::Formatter<'b>,
    room: usize,
}

impl fmt::Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
            if self.room == 0 {
                return Ok(());
            }
            self.room = self.room.saturating_sub(c.len_utf8());
            match self.room {
                0 => self.out.write_str(" ...")?,
                _ => self.out.write_char(c)?,
            }
        }
        Ok(())
    }
}

impl Refusal {
    fn write(&self, out: &mut impl fmt::Write) -> fmt::Result {
        match self {
            Self::Unreadable { operation, error } => write!(out, "cannot {operation}: {error}"),
            Self::NotAFile { what } => write!(out, "it is {what}, not a library"),
            Self::TooLarge { bytes, most } => {
                write!(out, "it has {bytes} bytes, more than the limit of {most}")
            }
            Self::Insecure(insecure) => write!(out, "{insecure}"),
            Self::Signature(bad) => write!(out, "{bad}"),
            Self::Unsettled => out.write_str("it changed while it was being read"),
            Self::InUse => out.write_str(
                "another program has it open; it is loaded as soon as that one closes it",
            ),
            Self::Truncated => out.write_str("it is only the beginning of a library"),
            Self::Stopping => out.write_str("the host is ending"),
            Self::Handover { problem } => {
                write!(out, "its state could not be handed over: {problem}")
            }
            Self::OtherKind { what } => out.write_str(what),
            Self::NotALibrary { error } => {
                write!(out, "the system's loader does not take it: {error}")
            }
            Self::NoPlugin => out.write_str(
                "it exports no plugin: it needs plugin_api's `plugin!` and \
                 `crate-type = [\"cdylib\"]`",
            ),
            Self::AbiStable { versions: [plugin, host] } => write!(
                out,
                "it was built with abi_stable {plugin} and this host with {host}: build it with \
                 this host's version of plugin-api"
            ),
            Self::ApiVersion { versions: [plugin, host] } => write!(
                out,
                "it was built for plugin API {plugin} and this host has {host}: build it with \
                 that major version of plugin-api"
            ),
            Self::Layout { report } => write!(
                out,
                "its types do not match this host's: build it with this host's version of \
                 plugin-api: {report}"
            ),
            Self::Manifest { problem }
            | Self::Clash { problem }
            | Self::Settings { problem }
            | Self::Worker { problem }
            | Self::Configuration { problem, .. } => out.write_str(problem),
            Self::Create { error } => write!(out, "its `create` failed: {error}"),
            Self::Died { how } => write!(out, "it ended the process that probed it: {how}"),
            Self::TimedOut { millis } => write!(
                out,
                "it did not finish within {} s of being probed: touch the file to have it tried \
                 again, or give it longer with --probe-timeout",
                Duration::from_millis(*millis).as_secs_f64()
            ),
            Self::BadProbeReport { problem } => {
                write!(out, "its probe left an invalid report: {problem}")
            }
            Self::ProbeFailed { operation, error } => {
                write!(out, "cannot {operation}: {error}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn an_error_of_the_disk_is_tried_again() {
        use rustix::io::Errno as E;
        let passes = |errno: E| Refusal::unreadable("open it", &errno.into()).is_passing();
        assert_eq!([E::IO, E::STALE, E::TIMEDOUT, E::MFILE].map(passes), [true; 4]);
        assert_eq!([E::NOENT, E::ACCESS, E::NOTDIR, E::LOOP].map(passes), [false; 4]);
    }

    #[test]
    fn load_error_is_one_printable_line() {
        let said = |error: &str| Refusal::Create { error: error.into() }.to_string();
        assert_eq!(said("no\nluck\x1b[2J\u{9b}\u{e9}"), "its `create` failed: no luck [2J \u{e9}");
        let long = said(&"\u{e9}".repeat(1 << 20));
        assert!(long.len() < MOST_SHOWN + 8 && long.ends_with("\u{e9} ..."), "{}", long.len());
    }
}
