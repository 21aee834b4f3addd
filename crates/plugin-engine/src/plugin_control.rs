//! Sends requests and folder changes to the manager of plugins, through one channel.

use std::{path::PathBuf, sync::Arc};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use crate::{process::status::ProcessStatus, registry::Command, state::durable::DurabilityStatus};

/// A settled change in the plugins folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileChange {
    /// The file is complete, and may be new.
    Ready(PathBuf),
    /// The file is gone.
    Gone(PathBuf),
}

/// A message to the manager.
#[derive(Debug)]
pub enum Message {
    /// A file in the plugins folder has settled.
    Changed(FileChange),
    /// A request for a plugin, and the channel for its answer.
    Request(Request, String, Sender<ControlResult>),
    /// The list of commands of this plugin has changed.
    Commands(String),
    /// The commands that other hosts answer, and a text for people about the change.
    Remote(Vec<Arc<Command>>, String),
    /// The host ends, and no session is left.
    End {
        /// Unloads all plugins; if false, workers still run, so states are only saved.
        unload: bool,
    },
}

/// A request of an operator for a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Loads its file again, changed or not.
    Reload {
        /// Does not wait for running calls.
        force: bool,
    },
    /// Puts the earlier code back.
    Rollback {
        /// Does not wait for running calls.
        force: bool,
    },
    /// Withdraws its commands until it is enabled.
    Disable {
        /// Does not wait for running calls.
        force: bool,
    },
    /// Starts its processes again now, and ends a quarantine.
    Restart,
    /// Takes a snapshot of its state now.
    Save,
    /// Serves it again.
    Enable,
    /// Describes it.
    Info,
}

/// The manager's answer; the error is a text for people.
pub type ControlResult = Result<Response, String>;

/// The manager's answer to a request that succeeded.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    /// The request is done; describes the result for people.
    Done(String),
    /// The description of a plugin.
    Info(Box<Info>),
}

/// The description of a plugin.
#[derive(Clone, Debug, PartialEq)]
pub struct Info {
    /// Its name.
    pub name: String,
    /// `serving`, `starting`, `quarantined`, `disabled` or `withdrawn`.
    pub status: &'static str,
    /// Its own version; empty if it is not served.
    pub version: String,
    /// Its file's name in the plugins folder.
    pub file: String,
    /// The number of its loaded versions.
    pub generation: u64,
    /// The hash of the code that is served, or was served last.
    pub hash: String,
    /// Its commands, sorted.
    pub commands: Vec<String>,
    /// The size of the state that was saved last, in bytes; `None` if there is none.
    pub state_bytes: Option<u64>,
    /// The way in which its state is kept; `None` if it keeps none or is not served.
    pub durability: Option<DurabilityStatus>,
    /// The number of calls that all its generations have answered.
    pub calls: u64,
    /// The number of calls that were answered with an error.
    pub errors: u64,
    /// Generations that still run a call or are about to be unloaded.
    pub draining: usize,
    /// Ended generations whose code a thread keeps mapped.
    pub lingering: usize,
    /// Its last configuration; `None` if it accepts none.
    pub configuration: Option<String>,
    /// A pending change and the calls that it waits for.
    pub waiting: Option<String>,
    /// True if there is code to roll back to.
    pub can_roll_back: bool,
    /// The last failure, and the seconds since then.
    pub last_failure: Option<(String, u64)>,
    /// Its processes; `None` if it runs in the host or is not served.
    pub process: Option<ProcessStatus>,
}

/// Sends messages to the manager.
#[derive(Clone, Debug)]
pub struct PluginControl {
    sender: Sender<Message>,
}

impl PluginControl {
    /// Makes a sender of messages, and their receiver.
    #[must_use]
    pub fn new() -> (Self, Receiver<Message>) {
        let (sender, receiver) = unbounded();
        (Self { sender }, receiver)
    }

    /// Reports a settled file.
    pub fn changed(&self, change: FileChange) {
        // The receiver is gone while the host is ending.
        let _ = self.sender.send(Message::Changed(change));
    }

    /// Reports that the list of commands of a plugin has changed.
    pub fn commands_changed(&self, plugin: &str) {
        // The receiver is gone while the host is ending.
        let _ = self.sender.send(Message::Commands(plugin.to_owned()));
    }

    /// Serves these commands, which other hosts answer, in place of those before. A command of this
    /// host precedes one of the same name.
    pub fn serve_remote(&self, commands: Vec<Arc<Command>>, change: String) {
        // The receiver is gone while the host is ending.
        let _ = self.sender.send(Message::Remote(commands, change));
    }

    /// Sends a request and waits for the answer, which takes as long as a probe may.
    ///
    /// # Errors
    /// The manager refuses the request, or the host is ending.
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
        // The receiver is gone if the manager has ended by itself.
        let _ = self.sender.send(Message::End { unload });
    }
}
