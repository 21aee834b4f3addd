//! What can happen to a client while it waits.

use crate::{
    conversation::{cancelling::Cancelling, session::Session},
    error::Error,
    reply::Reply,
};

/// What happens on the client's side.
#[derive(Debug)]
pub enum Event {
    /// From the person, or the file, that gives commands; only comes when asked for.
    Input(Input),
    /// Ctrl-C outside of a prompt.
    Interrupt,
    /// The system wants the client to end.
    Terminate,
    /// A lost connection is replaced, or can never be.
    Back(Box<Result<Session, Error>>),
    /// What came of asking the host to cancel: whether there was something to cancel.
    Cancelled(Cancelling, Result<bool, Error>),
}

/// What asking for a line gives.
#[derive(Debug)]
pub enum Input {
    /// A line, without its end.
    Line(Vec<u8>),
    /// Ctrl-C: forget that line.
    Forget,
    /// There are no more lines.
    End,
    /// Lines cannot be read.
    Failed(std::io::Error),
}

/// All that can be heard, from either side.
#[derive(Debug)]
pub enum Heard {
    /// The reply to the command.
    Reply(Reply),
    /// The reply to a question of the client's own.
    InternalReply(InternalRequest, Reply),
    /// Something that no command asked for.
    Push(Vec<Reply>),
    /// A reply to nothing.
    Stray(Reply),
    /// As in [`Event`].
    Input(Input),
    /// As in [`Event`].
    Interrupt,
    /// As in [`Event`].
    Terminate,
    /// As in [`Event`].
    Back(Box<Result<Session, Error>>),
    /// As in [`Event`].
    Cancelled(Cancelling, Result<bool, Error>),
}

/// A question of the client's own, asked behind the person's back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InternalRequest {
    /// To speak RESP3, again.
    Hello,
    /// What this session may do.
    Info,
    /// To be told when the commands change.
    Watch,
    /// What the commands are.
    Docs,
}

impl InternalRequest {
    /// The command that asks it.
    pub fn words(self) -> Vec<Vec<u8>> {
        let words = match self {
            Self::Hello => ["HELLO", "3"],
            Self::Info => ["CLIENT", "INFO"],
            Self::Watch => ["COMMAND", "WATCH"],
            Self::Docs => ["COMMAND", "DOCS"],
        };
        words.map(|word| word.as_bytes().to_vec()).into()
    }
}

impl From<Event> for Heard {
    fn from(event: Event) -> Self {
        match event {
            Event::Input(input) => Self::Input(input),
            Event::Interrupt => Self::Interrupt,
            Event::Terminate => Self::Terminate,
            Event::Back(back) => Self::Back(back),
            Event::Cancelled(wish, outcome) => Self::Cancelled(wish, outcome),
        }
    }
}
