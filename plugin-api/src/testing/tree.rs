//! Turns the pieces of a reply into a value.

use abi_stable::std_types::{RSlice, RStr};

use crate::{
    abi::Sink,
    error::{Error, Result},
    reply::Value,
};

/// Builds a [`Value`] from the pieces of a reply.
#[derive(Default)]
pub(super) struct Tree {
    open: Vec<(Value, usize)>,
    done: Option<Result<Value>>,
}

impl Tree {
    fn item(&mut self, mut value: Value) {
        loop {
            let Some((container, left)) = self.open.last_mut() else {
                assert!(self.done.is_none(), "the worker replied twice");
                self.done = Some(Ok(value));
                return;
            };
            match container {
                Value::List(items) => items.push(value),
                Value::Map(pairs) if *left % 2 == 0 => pairs.push((value, Value::Null)),
                Value::Map(pairs) => {
                    if let Some(pair) = pairs.last_mut() {
                        pair.1 = value;
                    }
                }
                _ => return,
            }
            *left -= 1;
            if *left > 0 {
                return;
            }
            let Some((full, _)) = self.open.pop() else { return };
            value = full;
        }
    }

    fn container(&mut self, container: Value, items: u64) {
        match usize::try_from(items) {
            Ok(0) => self.item(container),
            items => self.open.push((container, items.unwrap_or(usize::MAX))),
        }
    }

    pub(super) fn finish(self) -> Result<Value> {
        assert!(self.open.is_empty(), "the worker announced more items than it wrote");
        self.done.unwrap_or_else(|| panic!("the worker wrote no reply"))
    }
}

impl Sink for Tree {
    fn ok(&mut self) {
        self.item(Value::Ok);
    }
    fn text(&mut self, text: RSlice<'_, u8>) {
        self.item(Value::Text(text.to_vec()));
    }
    fn integer(&mut self, value: i64) {
        self.item(Value::Integer(value));
    }
    fn float(&mut self, value: f64) {
        self.item(Value::Float(value));
    }
    fn boolean(&mut self, value: bool) {
        self.item(Value::Boolean(value));
    }
    fn null(&mut self) {
        self.item(Value::Null);
    }
    fn list(&mut self, items: u64) {
        self.container(Value::List(Vec::new()), items);
    }
    fn map(&mut self, pairs: u64) {
        self.container(Value::Map(Vec::new()), pairs.saturating_mul(2));
    }
    fn error(&mut self, kind: RStr<'_>, message: RSlice<'_, u8>) {
        let message = String::from_utf8_lossy(message.as_slice()).into_owned();
        if self.open.is_empty() && self.done.is_none() {
            self.done = Some(Err(Error::with_kind(kind.to_string(), message)));
        } else {
            self.item(format!("{kind} {message}").into());
        }
    }
    fn reset(&mut self) {
        *self = Self::default();
    }
}
