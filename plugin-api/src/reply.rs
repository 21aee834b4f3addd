//! Typed replies: the types that a worker may return, and their conversion into a reply.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use crate::{
    abi::SinkObject,
    error::{Error, Result},
};

/// The writer of one reply. Workers return a value and do not need it; it is for implementations of
/// [`IntoReply`] for types of one's own.
///
/// A list or a map is announced with its length and must be followed by exactly as many items or
/// pairs. The host turns an inconsistent reply into an error.
pub struct Reply<'a> {
    pub(crate) sink: SinkObject<'a>,
}

impl Reply<'_> {
    /// Writes `OK`: the command is done and has no result.
    pub fn ok(&mut self) {
        self.sink.ok();
    }

    /// Writes text or any other bytes.
    pub fn text(&mut self, text: impl AsRef<[u8]>) {
        self.sink.text(text.as_ref().into());
    }

    /// Writes an integer.
    pub fn integer(&mut self, value: i64) {
        self.sink.integer(value);
    }

    /// Writes a floating-point number.
    pub fn float(&mut self, value: f64) {
        self.sink.float(value);
    }

    /// Writes true or false.
    pub fn boolean(&mut self, value: bool) {
        self.sink.boolean(value);
    }

    /// Writes null.
    pub fn null(&mut self) {
        self.sink.null();
    }

    /// Begins a list: the next `items` replies are its items.
    pub fn list(&mut self, items: usize) {
        self.sink.list(items as u64);
    }

    /// Begins a map: the next `2 * pairs` replies are its keys and values, in turn.
    pub fn map(&mut self, pairs: usize) {
        self.sink.map(pairs as u64);
    }

    /// Writes an error.
    pub fn error(&mut self, error: &Error) {
        self.sink.error(error.kind().into(), error.message().as_bytes().into());
    }

    pub(crate) fn reset(&mut self) {
        self.sink.reset();
    }
}

/// A type that a worker may return.
///
/// | returned | reply |
/// | --- | --- |
/// | `()` | `OK` |
/// | `String`, `&str`, `Vec<u8>`, `&[u8]`, `Arc<[u8]>`, `Cow` of either | text |
/// | `i64` and smaller, `u32` and smaller, `usize`, `u64` | integer (text beyond 63 bits) |
/// | `f64`, `f32` | float |
/// | `bool` | boolean |
/// | `Option<T>` | null for `None` |
/// | `Vec<T>` | list |
/// | `BTreeMap<K, T>` | map |
/// | [`Value`] | any of these, mixed |
/// | `Result<T>` | error for `Err` |
pub trait IntoReply {
    /// Writes the reply.
    fn write(self, reply: &mut Reply<'_>);
}

/// A reply of any kind, for lists and maps whose items differ.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Done, without a result.
    Ok,
    /// Text or any other bytes.
    Text(Vec<u8>),
    /// An integer.
    Integer(i64),
    /// A floating-point number.
    Float(f64),
    /// True or false.
    Boolean(bool),
    /// No value.
    Null,
    /// Items in order.
    List(Vec<Value>),
    /// Keys and values in order.
    Map(Vec<(Value, Value)>),
}

impl Value {
    /// Creates a map from names to values, in this order.
    pub fn map<const N: usize>(pairs: [(&str, Value); N]) -> Self {
        Self::Map(pairs.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }

    /// Creates a list of values.
    pub fn list<T: Into<Value>>(items: impl IntoIterator<Item = T>) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }
}

impl IntoReply for Value {
    fn write(self, reply: &mut Reply<'_>) {
        match self {
            Self::Ok => reply.ok(),
            Self::Text(text) => reply.text(text),
            Self::Integer(value) => reply.integer(value),
            Self::Float(value) => reply.float(value),
            Self::Boolean(value) => reply.boolean(value),
            Self::Null => reply.null(),
            Self::List(items) => items.write(reply),
            Self::Map(pairs) => {
                reply.map(pairs.len());
                for (key, value) in pairs {
                    key.write(reply);
                    value.write(reply);
                }
            }
        }
    }
}

impl IntoReply for () {
    fn write(self, reply: &mut Reply<'_>) {
        reply.ok();
    }
}

impl<T: IntoReply> IntoReply for Result<T> {
    fn write(self, reply: &mut Reply<'_>) {
        match self {
            Ok(value) => value.write(reply),
            Err(error) => reply.error(&error),
        }
    }
}

impl<T: IntoReply> IntoReply for Option<T> {
    fn write(self, reply: &mut Reply<'_>) {
        match self {
            Some(value) => value.write(reply),
            None => reply.null(),
        }
    }
}

impl<T: IntoReply> IntoReply for Vec<T> {
    fn write(self, reply: &mut Reply<'_>) {
        reply.list(self.len());
        for item in self {
            item.write(reply);
        }
    }
}

impl<K: IntoReply, T: IntoReply> IntoReply for BTreeMap<K, T> {
    fn write(self, reply: &mut Reply<'_>) {
        reply.map(self.len());
        for (key, value) in self {
            key.write(reply);
            value.write(reply);
        }
    }
}

impl IntoReply for u64 {
    fn write(self, reply: &mut Reply<'_>) {
        match i64::try_from(self) {
            Ok(value) => reply.integer(value),
            Err(_) => reply.text(self.to_string()),
        }
    }
}

impl IntoReply for usize {
    fn write(self, reply: &mut Reply<'_>) {
        (self as u64).write(reply);
    }
}

impl IntoReply for bool {
    fn write(self, reply: &mut Reply<'_>) {
        reply.boolean(self);
    }
}

macro_rules! replies {
    ($method:ident($convert:expr, $into:expr) for $($type:ty),+) => {$(
        impl IntoReply for $type {
            fn write(self, reply: &mut Reply<'_>) {
                let convert: fn($type) -> _ = $convert;
                reply.$method(convert(self));
            }
        }

        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                let into: fn($type) -> Value = $into;
                into(value)
            }
        }
    )+};
}

replies!(integer(|value| value, Value::Integer) for i64);
replies!(integer(i64::from, |value| Value::Integer(value.into())) for i32, i16, u32, u16);
replies!(float(|value| value, Value::Float) for f64);
replies!(float(f64::from, |value| Value::Float(value.into())) for f32);
replies!(text(|text| text, |text| Value::Text(text.into())) for String);
replies!(text(|text| text, Value::Text) for Vec<u8>);
replies!(text(|text| text, |text| Value::Text(text.to_vec())) for Arc<[u8]>);

macro_rules! borrowed_replies {
    ($($type:ty),+) => {$(
        impl IntoReply for $type {
            fn write(self, reply: &mut Reply<'_>) {
                let bytes: &[u8] = self.as_ref();
                reply.text(bytes);
            }
        }

        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                let bytes: &[u8] = value.as_ref();
                Value::Text(bytes.to_vec())
            }
        }
    )+};
}

borrowed_replies!(&str, &[u8]);

impl IntoReply for Cow<'_, str> {
    fn write(self, reply: &mut Reply<'_>) {
        reply.text(self.as_bytes());
    }
}

impl IntoReply for Cow<'_, [u8]> {
    fn write(self, reply: &mut Reply<'_>) {
        reply.text(self);
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        i64::try_from(value).map_or_else(|_| value.to_string().into(), Self::Integer)
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        (value as u64).into()
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
