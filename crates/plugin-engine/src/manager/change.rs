//! Describes a change of the served generation of a plugin.

use std::time::Instant;

use super::{
    candidate::{Candidate, ChangeRequest},
    drain::Drain,
    file_name,
};
use crate::{live::manifest::Manifest, load_error::Refusal, state::handover::NotQuiesced};

/// A change of the served generation of a plugin.
pub(super) enum Change {
    /// Serves this library in place of the present one, if there is one.
    Replace(Candidate, Manifest),
    /// Removes its commands: its file is gone, or it is to be disabled.
    Withdraw { disable: bool, asked: ChangeRequest },
}

/// A change that waits for running calls.
pub(super) struct Pending {
    pub(super) change: Change,
    pub(super) drain: Drain,
    pub(super) since: Instant,
    /// True once the log and the operators know that it waits.
    pub(super) is_reported: bool,
}

/// The reason for which a change was not made.
pub(super) enum Stopped {
    /// A running call is in the way: retry later.
    Busy,
    /// The change is refused.
    Refused(Refusal),
}

impl From<Refusal> for Stopped {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<NotQuiesced> for Stopped {
    fn from(problem: NotQuiesced) -> Self {
        match problem {
            NotQuiesced::Busy(..) => Self::Busy,
            NotQuiesced::Saving => {
                Self::Refused(Refusal::Handover { problem: problem.to_string() })
            }
        }
    }
}

impl Change {
    /// Returns the name of the file to serve; `None` if nothing is to be served.
    pub(super) fn file(&self) -> Option<String> {
        match self {
            Self::Replace(candidate, _) => Some(file_name(&candidate.path)),
            Self::Withdraw { .. } => None,
        }
    }

    pub(super) fn asked(&mut self) -> &mut ChangeRequest {
        match self {
            Self::Replace(candidate, _) => &mut candidate.asked,
            Self::Withdraw { asked, .. } => asked,
        }
    }
}

impl Pending {
    /// Returns the `plugin` subcommand that asks for such a change.
    pub(super) fn subcommand(&self) -> &'static str {
        match &self.change {
            Change::Replace(candidate, _) if candidate.is_rollback => "rollback",
            Change::Replace(..) => "reload",
            Change::Withdraw { .. } => "disable",
        }
    }

    /// Returns the library to serve, if there is one.
    pub(super) fn candidate(&mut self) -> Option<&mut Candidate> {
        match &mut self.change {
            Change::Replace(candidate, _) => Some(candidate),
            Change::Withdraw { .. } => None,
        }
    }

    /// Describes the change and the calls that it waits for.
    pub(super) fn describe(&self) -> String {
        let what = match &self.change {
            Change::Replace(candidate, manifest) => {
                format!("version {} of {}", manifest.version, file_name(&candidate.path))
            }
            Change::Withdraw { disable: true, .. } => "its disabling".into(),
            Change::Withdraw { disable: false, .. } => "its withdrawal".into(),
        };
        let waited = self.since.elapsed().as_secs_f64();
        let calls = self.drain.calls();
        match calls.first() {
            Some(call) if calls.len() > 1 => {
                let more = calls.len() - 1;
                format!("{what} has waited {waited:.1} s for {call} and {more} more")
            }
            Some(call) => format!("{what} has waited {waited:.1} s for {call}"),
            None => format!("{what} has waited {waited:.1} s for calls that overlap"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::Arc};

    use super::*;
    use crate::{
        context::{RunningCall, fakes::running_call},
        files::{kind::FileKind, shadow_copy::ShadowDir, trust_policy::TrustPolicy},
        trust::PluginTrust,
    };

    fn pending(change: Change, calls: Vec<Box<dyn RunningCall>>) -> Pending {
        let now = Instant::now();
        Pending { change, drain: Drain::new(calls, now), since: now, is_reported: false }
    }

    fn withdraw(disable: bool) -> Change {
        Change::Withdraw { disable, asked: ChangeRequest::default() }
    }

    /// A new version of a plugin, copied from a file of this folder, or the code before.
    fn candidate(folder: &Path, is_rollback: bool) -> Candidate {
        let path = folder.join("libtext.so");
        std::fs::write(&path, b"code").unwrap();
        let trust = PluginTrust { allow_insecure_plugins: true, plugin_key: None };
        // A folder for each: opening one again would empty it, and Windows keeps open files.
        let copies = ShadowDir::open(tempfile::tempdir_in(folder).unwrap().keep()).unwrap();
        let shadow = Arc::new(
            copies.copy(&path, FileKind::Library, &TrustPolicy::new(&trust).unwrap()).unwrap(),
        );
        let asked = ChangeRequest::by_change(true);
        Candidate { path, shadow, started: Instant::now(), asked, is_rollback, plugin: None }
    }

    fn manifest() -> Manifest {
        Manifest {
            name: "text".into(),
            version: "1.2.3".into(),
            api_version: "1.1.0".into(),
            commands: Vec::new(),
            untracked_threads: false,
        }
    }

    #[test]
    fn each_change_names_its_order_and_file() {
        let temp = tempfile::tempdir().unwrap();
        let replace = |is_rollback| {
            pending(Change::Replace(candidate(temp.path(), is_rollback), manifest()), Vec::new())
        };
        for (mut change, subcommand, file) in [
            (replace(false), "reload", Some("libtext.so")),
            (replace(true), "rollback", Some("libtext.so")),
            (pending(withdraw(true), Vec::new()), "disable", None),
            (pending(withdraw(false), Vec::new()), "disable", None),
        ] {
            assert_eq!((change.subcommand(), change.change.file().as_deref()), (subcommand, file));
            assert_eq!(change.candidate().is_some(), file.is_some());
        }
        assert!(replace(false).describe().starts_with("version 1.2.3 of libtext.so has waited "));
    }

    #[test]
    fn calls_in_the_way_are_counted() {
        let mut sessions = Vec::new();
        let mut said = |count| {
            let (calls, running): (Vec<_>, Vec<_>) = (0..count).map(running_call).unzip();
            sessions.extend(running);
            pending(withdraw(true), calls).describe()
        };
        assert!(said(0).starts_with("its disabling has waited "));
        assert!(said(0).ends_with(" s for calls that overlap"), "{}", said(0));
        let one = said(1);
        assert!(one.contains(" s for 'ping' of session 0 from ") && !one.contains("more"), "{one}");
        assert!(said(2).ends_with(" and 1 more"), "{}", said(2));
        assert!(said(4).ends_with(" and 3 more"), "{}", said(4));
        assert!(
            pending(withdraw(false), Vec::new())
                .describe()
                .starts_with("its withdrawal has waited ")
        );
    }

    #[test]
    fn only_the_folders_own_file_is_a_candidates() {
        let temp = tempfile::tempdir().unwrap();
        let (new, before) = (candidate(temp.path(), false), candidate(temp.path(), true));
        let path = temp.path().join("libtext.so");
        assert!(new.is_from(&path) && !new.is_from(&temp.path().join("libother.so")));
        assert!(!before.is_from(&path), "it is the code that was served before");
    }
}
