//! Describes a plugin that is about to be served, and the request for it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use crossbeam_channel::Sender;

use crate::{files::shadow_copy::Shadow, live::plugin::Plugin, plugin_control::ControlResult};

/// A plugin's private copy that is about to be served, with the request for it.
pub(super) struct Candidate {
    /// The file in the plugins folder.
    pub(super) path: PathBuf,
    pub(super) shadow: Arc<Shadow>,
    pub(super) started: Instant,
    pub(super) asked: ChangeRequest,
    /// True for the code that was served before: it does not come from the file in the folder.
    pub(super) is_rollback: bool,
    /// The plugin in its process, if that is started already.
    pub(super) plugin: Option<Arc<dyn Plugin>>,
}

/// A request for a file or a plugin, and its senders.
#[derive(Default)]
pub(super) struct ChangeRequest {
    /// Loads the file even if its content is the same as before.
    pub(super) anew: bool,
    /// Does not wait for running calls.
    pub(super) force: bool,
    /// Operators who wait for the outcome; none if only a file has changed.
    pub(super) replies: Vec<Sender<ControlResult>>,
    /// True if a file has changed, too: a failure that may pass is retried then.
    pub(super) is_change: bool,
}

impl ChangeRequest {
    /// Makes the request of a changed file.
    pub(super) fn by_change(anew: bool) -> Self {
        Self { anew, is_change: true, ..Self::default() }
    }

    /// Makes the request of an operator.
    pub(super) fn by_operator(force: bool, reply: Sender<ControlResult>) -> Self {
        Self { anew: true, force, replies: vec![reply], is_change: false }
    }

    /// Merges an earlier request for the same file into this one.
    pub(super) fn merge(&mut self, earlier: Self) {
        self.replies.extend(earlier.replies);
        self.is_change |= earlier.is_change;
        self.force |= earlier.force;
    }

    /// Answers every operator who waits.
    pub(super) fn answer(&mut self, answer: &ControlResult) {
        for reply in self.replies.drain(..) {
            // Best effort: the session that asked may have ended.
            let _ = reply.send(answer.clone());
        }
    }
}

impl Candidate {
    /// Returns true if it comes from the file at this path in the plugins folder.
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
            let mut asked = ChangeRequest::by_operator(later_force, reply.clone());
            assert!(asked.anew && !asked.is_change);
            asked.merge(ChangeRequest::by_operator(earlier_force, reply.clone()));
            assert_eq!((asked.force, asked.is_change), (earlier_force || later_force, false));
            asked.merge(ChangeRequest::by_change(false));
            assert!(asked.is_change && asked.anew);
            asked.merge(ChangeRequest::default());
            assert_eq!((asked.force, asked.is_change), (earlier_force || later_force, true));
            let done = Ok(Response::Done("it is served".into()));
            asked.answer(&done);
            asked.answer(&Err("once".into()));
            assert_eq!(replies.try_iter().collect::<Vec<_>>(), [done.clone(), done]);
        }
        assert!(ChangeRequest::by_change(true).anew && !ChangeRequest::by_change(false).anew);
        assert!(!ChangeRequest::by_change(true).force);
    }
}
