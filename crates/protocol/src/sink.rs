//! The encoder as a [`Sink`] of the binary contract, through which plugins write replies.

use abi_stable::std_types::{RSlice, RStr};
use plugin_api::abi::Sink;

use crate::Encoder;

impl Sink for Encoder {
    fn ok(&mut self) {
        Encoder::ok(self);
    }
    fn text(&mut self, text: RSlice<'_, u8>) {
        Encoder::text(self, text.as_slice());
    }
    fn integer(&mut self, value: i64) {
        Encoder::integer(self, value);
    }
    fn float(&mut self, value: f64) {
        Encoder::float(self, value);
    }
    fn boolean(&mut self, value: bool) {
        Encoder::boolean(self, value);
    }
    fn null(&mut self) {
        Encoder::null(self);
    }
    fn list(&mut self, items: u64) {
        Encoder::list(self, usize::try_from(items).unwrap_or(usize::MAX));
    }
    fn map(&mut self, pairs: u64) {
        Encoder::map(self, usize::try_from(pairs).unwrap_or(usize::MAX));
    }
    fn error(&mut self, kind: RStr<'_>, message: RSlice<'_, u8>) {
        Encoder::error(self, kind.as_str(), message.as_slice());
    }
    fn reset(&mut self) {
        Encoder::reset(self);
    }
}
