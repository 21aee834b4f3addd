//! The JSON-lines protocol between the host and an executable, from the host's side: messages as
//! bytes. Only [`launcher`], what it starts, and [`try_out`] use threads, processes and clocks.
//!
//! - [`Requests`] writes the lines for the worker process.
//! - [`LineReader`] splits its output into lines of limited length, and [`parse`] reads one.
//! - [`write_answer`] turns an answer into a reply.
//! - [`script_commands`] finds the commands of a script that speaks no protocol.
//! - [`try_out`] starts an executable for its manifest alone.

mod answer;
#[cfg(test)]
mod answer_tests;
mod bounded;
mod header;
mod hello;
mod json;
pub mod launcher;
mod line_reader;
mod message;
#[cfg(test)]
mod message_tests;
mod process;
mod reader;
mod request;
mod tokens;
mod trial;

pub use self::{
    answer::{BadValue, WorkerAnswer, write_answer},
    header::{BadHeader, HEADER_BYTES, script_commands},
    hello::Hello,
    json::Json,
    line_reader::{Line, LineReader},
    message::{BadLine, Message, parse, start_id},
    request::{Requests, SessionFields},
    trial::try_out,
};

/// The version of the protocol, which both first lines have as `dropin`.
pub const VERSION: u64 = 1;
