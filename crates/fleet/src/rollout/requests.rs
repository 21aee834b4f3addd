//! The requests of sessions about rollouts, and the state that sessions see.

use std::{collections::BTreeMap, time::Duration};

use crossbeam_channel::{Sender, bounded};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::{
    error::RolloutError,
    facts::{self, RolloutFacts},
    state::Rollout,
    upload::{Upload, Uploads},
};
use crate::{link::Link, node::Node};

/// The most requests that wait.
const MOST: usize = 16;

/// The longest wait for the answer to a request.
const TIMEOUT: Duration = Duration::from_secs(150);

/// The answer to a request: a text for people.
pub type Answer = Result<String, RolloutError>;

/// A request of a session.
pub enum Request {
    /// Offers this file to the fleet.
    Push(Upload, Sender<Answer>),
    /// Puts the version of this plugin before back.
    RollBack(String, Sender<Answer>),
    /// Ends the rollout of this plugin.
    Forget(String, Sender<Answer>),
}

/// The state of the rollouts that the threads of a membership share.
pub struct RolloutState {
    sender: mpsc::Sender<Request>,
    receiver: Mutex<Option<mpsc::Receiver<Request>>>,
    /// The files that arrive.
    pub uploads: Uploads,
    /// The rollouts by key, as far as this host knows.
    pub known: Mutex<BTreeMap<String, Rollout>>,
    /// The versions that have proved themselves on this host, by the key of their rollout.
    pub confirmed: Mutex<BTreeMap<String, String>>,
    /// The reason for which JetStream is away; `None` if it is not.
    pub problem: Mutex<Option<String>>,
}

impl Default for RolloutState {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(MOST);
        Self {
            sender,
            receiver: Mutex::new(Some(receiver)),
            uploads: Uploads::default(),
            known: Mutex::default(),
            confirmed: Mutex::default(),
            problem: Mutex::new(Some("it has not answered yet".to_owned())),
        }
    }
}

impl RolloutState {
    /// Returns the error of JetStream that is away for this reason: an answer that does not come may
    /// be one that the server refuses.
    pub fn away(&self, problem: String, link: &Link) -> RolloutError {
        RolloutError::Away(match link.refusal() {
            Some(refusal) => format!("{problem}; the server refuses: {refusal}"),
            None => problem,
        })
    }

    /// Returns the requests, once.
    pub fn requests(&self) -> Option<mpsc::Receiver<Request>> {
        self.receiver.lock().take()
    }
}

/// The rollouts, for sessions.
pub struct Rollouts<'a>(pub(crate) &'a Node);

impl Rollouts<'_> {
    /// Begins to receive a file of this size, and returns the number of the upload.
    ///
    /// # Errors
    /// This host takes no plugins, the name is not that of a plugin, or the limits are reached.
    pub fn begin(
        &self,
        session: u64,
        file: &str,
        size: usize,
        signature: String,
    ) -> Result<u64, RolloutError> {
        self.check_key()?;
        self.0.rollouts.uploads.begin(session, file, size, signature)
    }

    /// Receives a piece of a file.
    ///
    /// # Errors
    /// The session has no such upload, or the file becomes too large.
    pub fn add(&self, session: u64, number: u64, piece: &[u8]) -> Result<(), RolloutError> {
        self.0.rollouts.uploads.add(session, number, piece)
    }

    /// Offers a received file to the fleet, and waits until it is stored. Returns a text for
    /// people.
    ///
    /// # Errors
    /// The file is incomplete or has no good signature, or JetStream is away.
    pub fn end(&self, session: u64, number: u64) -> Answer {
        let upload = self.0.rollouts.uploads.end(session, number)?;
        self.ask(|reply| Request::Push(upload, reply))
    }

    /// Puts the version of a plugin before back on all hosts. Returns a text for people.
    ///
    /// # Errors
    /// There is none, JetStream is away, or this host takes no plugins.
    pub fn roll_back(&self, plugin: &str) -> Answer {
        self.check_key()?;
        self.ask(|reply| Request::RollBack(plugin.to_owned(), reply))
    }

    /// Ends the rollout of a plugin: no further host takes it, and those that have it keep it. Returns
    /// a text for people.
    ///
    /// # Errors
    /// There is none, JetStream is away, or this host takes no plugins.
    pub fn forget(&self, plugin: &str) -> Answer {
        self.check_key()?;
        self.ask(|reply| Request::Forget(plugin.to_owned(), reply))
    }

    /// Describes all rollouts, by plugin and target.
    ///
    /// # Errors
    /// JetStream is away.
    pub fn facts(&self) -> Result<Vec<RolloutFacts>, RolloutError> {
        if let Some(problem) = self.0.rollouts.problem.lock().clone() {
            return Err(self.0.rollouts.away(problem, &self.0.link));
        }
        Ok(facts::all(self.0))
    }

    /// Checks that this host takes part in rollouts.
    fn check_key(&self) -> Result<(), RolloutError> {
        self.0.host.plugin_key.as_ref().map(drop).ok_or(RolloutError::NoKey)
    }

    fn ask(&self, request: impl FnOnce(Sender<Answer>) -> Request) -> Answer {
        let (reply, answer) = bounded(1);
        let away = |problem: &str| RolloutError::Away(problem.to_owned());
        let sent = self.0.rollouts.sender.try_send(request(reply));
        sent.map_err(|_| away("too many requests wait; try again"))?;
        match answer.recv_timeout(TIMEOUT) {
            Ok(answer) => answer,
            Err(error) if error.is_timeout() => Err(RolloutError::TimedOut(TIMEOUT)),
            Err(_) => Err(away("the host is ending")),
        }
    }
}
