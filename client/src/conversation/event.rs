//! Events on the client's own side.

use std::io;

use crate::{
    conversation::{cancel_request::CancelRequest, connection::Connection},
    error::Error,
};

/// An event on the client's own side.
#[derive(Debug)]
pub enum LocalEvent {
    /// The answer to a request for input.
    Input(Input),
    /// Ctrl-C outside of a prompt.
    Interrupt,
    /// The system asks the client to end.
    Terminate,
    /// Reconnecting has succeeded, or failed for good.
    Reconnected(Box<Result<Connection, Error>>),
    /// The host has answered a cancel request; true when it cancelled a command.
    Cancelled(CancelRequest, Result<bool, Error>),
}

/// The answer to a request for a line of input.
#[derive(Debug)]
pub enum Input {
    /// A line, without its end.
    Line(Vec<u8>),
    /// Ctrl-C: the person discards the line.
    Discarded,
    /// The end of input.
    End,
    /// The input cannot be read.
    Failed(io::Error),
}
