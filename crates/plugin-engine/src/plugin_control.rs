//! What the manager of plugins is told and asked, through one channel.

use std::path::PathBuf;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

/// A change in the plugins folder that has settled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// The file is there, complete, and may be new.
    Ready(PathBuf),
    /// The file is gone.
    Gone(PathBuf),
}

/// What the manager's one channel carries.
#[derive(Debug)]
pub enum Message {
    /// A file in the plugins folder has settled.
    Changed(Change),
    /// Somebody asks for something and waits for the answer.
    Request(Request, String, Sender<ControlResult>),
    /// The host ends: no session is left. Unload, or only save where workers still run.
    End {
        /// Whether no worker runs any more.
        unload: bool,
    },
}

/// What can be asked of the manager, each of a plugin by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Load its file anew, changed or not.
    Reload {
        /// Do not wait for calls that run.
        force: bool,
    },
    /// Put the code back that was served before.
    Rollback {
        /// As above.
        force: bool,
    },
    /// Withdraw its commands until it is enabled.
    Disable {
        /// As above.
        force: bool,
    },
    /// Serve it again.
    Enable,
    /// Tell about it.
    Info,
}

/// The manager's answer. The error is for people.
pub type ControlResult = Result<Response, String>;

/// What the manager tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// What was asked for is done; this is how it is now.
    Done(String),
    /// About a plugin.
    Info(Box<Info>),
}

/// About a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Its name.
    pub name: String,
    /// `serving`, `disabled` or `withdrawn`.
    pub status: &'static str,
    /// Its own version; empty where it is not served.
    pub version: String,
    /// Its file's name in the plugins folder.
    pub file: String,
    /// How many versions of it have been loaded.
    pub generation: u64,
    /// The hash of the code that is served, or was last.
    pub hash: String,
    /// Its commands, sorted.
    pub commands: Vec<String>,
    /// The size of the state that was saved last, in bytes; `None` where none was.
    pub state_bytes: Option<u64>,
    /// How many calls it has answered, in all its generations.
    pub calls: u64,
    /// How many of them with an error.
    pub errors: u64,
    /// Generations that still run a call or are about to be unloaded.
    pub draining: usize,
    /// Ended generations whose code a thread keeps mapped.
    pub lingering: usize,
    /// How it was configured last; `None` where it takes no configuration.
    pub configuration: Option<String>,
    /// A change that waits for calls that run, and for which.
    pub waiting: Option<String>,
    /// Whether there is code to roll back to.
    pub can_roll_back: bool,
    /// What failed last, and how many seconds ago.
    pub last_failure: Option<(String, u64)>,
}

/// Where the manager is told.
#[derive(Clone, Debug)]
pub struct PluginControl {
    sender: Sender<Message>,
}

impl PluginControl {
    /// A sender of requests, and their receiver.
    #[must_use]
    pub fn new() -> (Self, Receiver<Message>) {
        let (sender, receiver) = unbounded();
        (Self { sender }, receiver)
    }

    /// Tells of a settled file.
    pub fn changed(&self, change: Change) {
        // Nobody listens any more where the host is ending.
        let _ = self.sender.send(Message::Changed(change));
    }

    /// Asks for something and waits for the answer, which takes as long as a probe may.
    ///
    /// # Errors
    /// The manager's refusal.
    pub fn ask(&self, request: Request, plugin: &str) -> ControlResult {
        let (reply, answer) = bounded(1);
        let message = Message::Request(request, plugin.to_owned(), reply);
        let ending = || Err("the host is ending".to_owned());
        if self.sender.send(message).is_err() {
            return ending();
        }
        answer.recv().unwrap_or_else(|_| ending())
    }

    /// Ends the manager.
    pub fn end(&self, unload: bool) {
        // Nobody listens any more where it has ended by itself.
        let _ = self.sender.send(Message::End { unload });
    }
}
