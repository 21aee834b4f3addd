//! A library on its way to be served.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use crossbeam_channel::Sender;

use crate::{files::shadow_copy::Shadow, plugin_control::ControlResult};

/// A library's private copy on its way to be served, and those who wait for what becomes of it.
pub(super) struct Candidate {
    /// The file in the plugins folder.
    pub(super) path: PathBuf,
    pub(super) shadow: Arc<Shadow>,
    pub(super) started: Instant,
    pub(super) asked: Asked,
    /// The code that was served before: its file is not what is in the folder.
    pub(super) is_rollback: bool,
}

/// A request for a file or a plugin, and those who made it.
#[derive(Default)]
pub(super) struct Asked {
    /// Takes the file even if its content is the same as before.
    pub(super) anew: bool,
    /// Does not wait for calls that run.
    pub(super) force: bool,
    /// Operators who wait for the outcome; none where a file has changed.
    pub(super) replies: Vec<Sender<ControlResult>>,
    /// A file has changed, too, so that a failure that may pass is tried again.
    pub(super) is_change: bool,
}

impl Asked {
    /// A file has changed.
    pub(super) fn by_change(anew: bool) -> Self {
        Self { anew, is_change: true, ..Self::default() }
    }

    /// An operator asks.
    pub(super) fn by_operator(force: bool, reply: Sender<ControlResult>) -> Self {
        Self { anew: true, force, replies: vec![reply], is_change: false }
    }

    /// Takes over what an earlier request for the same file is owed.
    pub(super) fn take_over(&mut self, earlier: Self) {
        self.replies.extend(earlier.replies);
        self.is_change |= earlier.is_change;
        self.force |= earlier.force;
    }

    /// Answers everybody who waits.
    pub(super) fn answer(&mut self, answer: &ControlResult) {
        for reply in self.replies.drain(..) {
            // Best effort: the session that asked may have ended.
            let _ = reply.send(answer.clone());
        }
    }
}

impl Candidate {
    /// Whether it is what lies in the plugins folder at this path.
    pub(super) fn is_from(&self, path: &Path) -> bool {
        !self.is_rollback && self.path == path
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::unbounded;

    use super::*;
    use crate::plugin_control::Response;

    #[test]
    fn later_request_owes_what_an_earlier_one_owed() {
        let (reply, replies) = unbounded();
        for (earlier_force, later_force) in [(false, false), (false, true), (true, false)] {
            let mut asked = Asked::by_operator(later_force, reply.clone());
            assert!(asked.anew && !asked.is_change);
            asked.take_over(Asked::by_operator(earlier_force, reply.clone()));
            assert_eq!((asked.force, asked.is_change), (earlier_force || later_force, false));
            asked.take_over(Asked::by_change(false));
            assert!(asked.is_change && asked.anew);
            asked.take_over(Asked::default());
            assert_eq!((asked.force, asked.is_change), (earlier_force || later_force, true));
            let done = Ok(Response::Done("it is served".into()));
            asked.answer(&done);
            asked.answer(&Err("once".into()));
            assert_eq!(replies.try_iter().collect::<Vec<_>>(), [done.clone(), done]);
        }
        assert!(Asked::by_change(true).anew && !Asked::by_change(false).anew);
        assert!(!Asked::by_change(true).force);
    }
}
