//! Long commands: reporting progress, and ending early once they are cancelled.
//!
//! No client waits for another one's command, so a command may take long. But it must end once the
//! client is gone or has cancelled it, or the host is shutting down.
//!
//! | kind of work | how it ends early |
//! | --- | --- |
//! | a wait | [`request.wait(time)`](crate::Request::wait) |
//! | pieces of some microseconds or more | [`request.check_cancelled()?`](crate::Request::check_cancelled) between two pieces |
//! | a loop of many short steps | [`check.step()?`](crate::CancelCheck::step), with `let mut check = request.cancel_check()` before the loop |
//!
//! The client decides the length of its arguments, so a loop over them can be long, and so can one
//! over everything that clients have stored. Two rules keep one client from delaying the others:
//!
//! - Take time in proportion to the length of the input, never to a product of lengths, or bound
//!   it. Search and pattern matching need the most care.
//!
//! - Never process a client's data while a lock is held: copy it or clone a reference under the
//!   lock, release the lock, then work.
//!
//! A session that waits for a lock cannot be cancelled, and it also delays the reload of its
//! plugin.
//!
//! ```standalone_crate
//! use std::time::Duration;
//!
//! use plugin_api::{Error, Request, Result, plugin};
//!
//! plugin! {
//!     name: "kitchen",
//!     commands: {
//!         "cook" "EGGS" => cook, "Cooks EGGS eggs, one after the other.";
//!     }
//! }
//!
//! fn cook(request: &Request) -> Result<u64> {
//!     let eggs = u64::try_from(request.integer(0)?)?;
//!     for done in 0..eggs {
//!         // Done, total and a text. The host forwards it to the client a few times a second.
//!         request.progress(done, eggs, "eggs cooked");
//!         // Waits. Between two pieces of work `request.cancelled()` serves the same purpose.
//!         if request.wait(Duration::from_millis(1)) {
//!             return Err(Error::cancelled(format!("{done} of {eggs} eggs are cooked")));
//!         }
//!     }
//!     Ok(eggs)
//! }
//!
//! // The test:
//! use plugin_api::testing::Plugin;
//!
//! let plugin = Plugin::start(&PLUGIN).unwrap();
//! assert_eq!(plugin.call("cook", &["3"]), Ok(3.into()));
//! assert_eq!(plugin.progress().len(), 3);
//! plugin.cancel();
//! assert_eq!(plugin.call("cook", &["3"]).unwrap_err().kind(), "CANCELLED");
//! ```
