//! Guides: one page for each thing that a plugin can do.
//!
//! The first page is the [crate's](crate), with a complete plugin. Each page here is a complete
//! plugin too, with its test; all of them are run with this crate's own tests.
//!
//! | page | answers |
//! | --- | --- |
//! | [`replies`] | What may a function return, and how does it say that it cannot answer? |
//! | [`state`] | How does a plugin keep something between calls, over a reload and a restart? |
//! | [`configuration`] | How does the person who runs the host set something? |
//! | [`background`] | How does a plugin work while nobody asks? |
//! | [`progress`] | What does a command do that takes long? |

pub mod background;
pub mod configuration;
pub mod progress;
pub mod replies;
pub mod state;
