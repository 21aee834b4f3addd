//! A reply of the host as a value.

use redis_protocol::bytes::Bytes;

/// A reply. Text and errors are bytes, since a server can send any.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// A string of any kind, `OK` included.
    Text(Bytes),
    /// A whole number.
    Integer(i64),
    /// A floating-point number.
    Float(f64),
    /// A boolean.
    Boolean(bool),
    /// The null value.
    Null,
    /// Values in order.
    List(Vec<Reply>),
    /// Keys and values, in the order of the server.
    Map(Vec<(Reply, Reply)>),
    /// An error: a kind in capitals, a space and a message.
    Error(Bytes),
}

impl Reply {
    /// Returns true for an error.
    pub fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }
}
