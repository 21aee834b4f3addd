//! Runs libraries in worker processes: both sides of the protocol.
//!
//! The host opens a connection for each call that runs at the same time, and keeps idle ones. A
//! thread of the process answers each connection, so that no thread in between passes messages on.

pub mod launcher;
pub mod mailbox;
pub mod message;
pub mod pieces;
mod process;
pub mod queue;
pub mod session;
pub mod wire;
pub mod worker;
