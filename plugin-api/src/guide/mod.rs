//! Guides: one page for each feature of a plugin.
//!
//! The first page is the [crate's](crate), with a complete plugin. Each page here is a complete
//! plugin too, with its test; this crate's own tests run all of them.
//!
//! | page | topic |
//! | --- | --- |
//! | [`replies`] | the values that a function may return, and errors |
//! | [`state`] | state that lasts between calls, over a reload and a restart |
//! | [`configuration`] | values that the operator of the host sets |
//! | [`background`] | work in background threads |
//! | [`progress`] | commands that take long: progress and cancellation |

pub mod background;
pub mod configuration;
pub mod progress;
pub mod replies;
pub mod state;
