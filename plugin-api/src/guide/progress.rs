//! A command that takes long: it says how far it is, and ends early when nobody waits for it.
//!
//! Each session has a thread of its own, so that a command may take its time. What it must not do is
//! to go on when the client is gone, has cancelled it, or the host is ending.
//!
//! | the work | how it ends early |
//! | --- | --- |
//! | waits | [`request.wait(time)`](crate::Request::wait) |
//! | pieces of some microseconds or more | [`request.check_cancelled()?`](crate::Request::check_cancelled) between two |
//! | a loop of many short steps | [`check.step()?`](crate::CancelCheck::step), with `let mut check = request.cancel_check()` before the loop |
//!
//! The client decides how long its arguments are, so a loop over them is a long one, and so is one
//! over everything that clients have stored. Two rules keep one client from stopping the others:
//! take time by the length of the input and never by a product of lengths (search and pattern
//! matching above all), or bound it; and never work on what a client has sent while a lock is held:
//! copy or count a reference under the lock, let it go, then work. A session that waits for a lock
//! cannot be cancelled, and neither can the reload of its plugin go on.
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
//!         // How many of how many, and of what. The host tells the client a few times a second.
//!         request.progress(done, eggs, "eggs cooked");
//!         // Waits, or asks: `request.cancelled()` between two pieces of work does as well.
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
