//! A reply as a value, whatever carried it.

use redis_protocol::bytes::Bytes;

/// What the server answers. Text and errors are bytes: a server may send anything.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// A string of any kind, `OK` included.
    Text(Bytes),
    /// A whole number.
    Integer(i64),
    /// A floating-point number.
    Float(f64),
    /// A truth value.
    Boolean(bool),
    /// Nothing.
    Null,
    /// Values in order.
    List(Vec<Reply>),
    /// Keys and values, in the server's order.
    Map(Vec<(Reply, Reply)>),
    /// The command failed: a kind in capitals, a space and a message.
    Error(Bytes),
}

impl Reply {
    /// Whether the command failed.
    pub fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }
}
