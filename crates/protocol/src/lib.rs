//! The wire protocols: requests and replies as bytes. This crate uses no sockets and no clocks.
//!
//! - [`Parser`] finds one request at the front of the received bytes, as a plain line or as a RESP
//!   array of bulk strings, and remembers its position in an incomplete request.
//! - [`Encoder`] collects replies as plain lines, RESP2 or RESP3, and guarantees that each reply is
//!   exactly one well-formed frame, even if the worker writes a wrong number of items.
//!
//! Both keep their buffers from one request to the next, so that a busy session does not allocate.

mod delivery;
mod element;
mod length;
mod line;
pub mod nearest;
mod nesting;
mod outgoing;
mod plain;
pub mod quoting;
mod reply;
mod request;
mod request_error;
mod resp;
mod sink;

pub use self::reply::{Encoder, Finished, Protocol};
pub use self::request::{Framing, Limits, Parsed, Parser, RequestView};
pub use self::request_error::RequestError;

#[cfg(test)]
mod tests;
