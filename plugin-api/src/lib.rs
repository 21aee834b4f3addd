//! The API for authors of Dropin plugins.
//!
//! A complete plugin, in a library crate with `crate-type = ["cdylib"]`:
//!
//! ```
//! use plugin_api::{Request, Result, plugin};
//!
//! plugin! {
//!     commands: {
//!         "shout" "TEXT.." => shout, "TEXT in capitals.";
//!         "add" "NUMBER NUMBER" => add, "The sum of two numbers.";
//!     }
//! }
//!
//! fn shout(request: &Request) -> Result<String> {
//!     Ok(request.joined_text()?.to_uppercase())
//! }
//!
//! fn add(request: &Request) -> Result<f64> {
//!     Ok(request.float(0)? + request.float(1)?)
//! }
//!
//! // The test, without a host:
//! let plugin = plugin_api::testing::Plugin::start(&PLUGIN).unwrap();
//! assert_eq!(plugin.call("shout", &["hello", "there"]), Ok("HELLO THERE".into()));
//! assert_eq!(plugin.call("add", &["1", "2.5"]), Ok(3.5.into()));
//! ```
//!
//! Build it and copy the library into the host's plugins folder. The host then answers `shout` and
//! `add`.
//!
//! - [`Request`] has the arguments, the session and the host's facts.
//! - [`IntoReply`] lists the types that a function may return; [`Error`] is its error.
//! - [`State`] keeps data between calls; [`Saved`] or [`Streamed`] hands it over to the next
//!   version, and keeps it over a restart or a crash.
//! - [`Configured`] reads the values that the operator of the host sets in a file.
//! - [`Host`] has a data directory and background threads; the macros of [`log`] write to the
//!   host's log.
//! - [`testing`] calls workers in a unit test.
//! - [`guide`] has a page for each of these, with a complete plugin.
//!
//! The crate does no I/O and imports nothing of the host. [`abi`] is the binary contract and
//! [`export`] is the code behind the macro; authors need neither.

#![warn(missing_docs)]

pub mod abi;
mod cancel_check;
pub mod commands;
mod configuration;
mod detect;
mod error;
pub mod export;
mod facts;
pub mod guide;
mod host;
mod logging;
mod reply;
mod request;
mod state;
pub mod testing;
mod worker;

#[doc(hidden)]
pub use abi_stable;
pub use log;
/// Re-exported for [`Configured::Config`], so that a plugin needs no dependency of its own:
/// `#[derive(plugin_api::serde::Deserialize)] #[serde(crate = "plugin_api::serde")]`.
pub use serde;

pub use crate::{
    cancel_check::CancelCheck,
    commands::Commands,
    configuration::Configured,
    error::{Error, Result},
    facts::{CommandInfo, PluginInfo, SessionInfo},
    host::{Host, Stop},
    reply::{IntoReply, Reply, Value},
    request::Request,
    state::{Saved, State, Streamed},
    worker::{Argument, Function, MAX_NAME, Usage, UsageError, is_command_name},
};
