//! State: data that a plugin keeps between calls and over a change of its code.
//!
//! With `state: Type` in [`plugin!`](crate::plugin!), every function takes the state first. There
//! is one value of the type for each loaded version, and the threads of all sessions use it
//! concurrently, so it needs a lock, an atomic or the like. A thread-local is no place for state,
//! nor for data of one client: a thread may serve another session later.
//!
//! ```standalone_crate
//! use std::{
//!     collections::BTreeMap,
//!     sync::{Mutex, MutexGuard, PoisonError},
//! };
//!
//! use plugin_api::{Host, Request, Result, Saved, State, plugin};
//!
//! plugin! {
//!     name: "votes",
//!     state: Votes,
//!     commands: {
//!         "vote" "NAME" => vote, "Adds a vote for NAME and replies its total.";
//!     }
//! }
//!
//! #[derive(Default)]
//! struct Votes(Mutex<BTreeMap<String, i64>>);
//!
//! impl Votes {
//!     // A panic in another call must not end this one: the state that it left is consistent.
//!     fn lock(&self) -> MutexGuard<'_, BTreeMap<String, i64>> {
//!         self.0.lock().unwrap_or_else(PoisonError::into_inner)
//!     }
//! }
//!
//! impl State for Votes {
//!     fn create(_: &Host) -> Result<Self> {
//!         Ok(Self::default())
//!     }
//! }
//!
//! // With this trait the state is handed over to the next version, and over a restart of the host.
//! impl Saved for Votes {
//!     fn save(&self) -> Result<Vec<u8>> {
//!         let votes = self.lock();
//!         let lines = votes.iter().map(|(name, count)| format!("{count} {name}\n")).collect();
//!         Ok(String::into_bytes(lines))
//!     }
//!
//!     fn restore(&self, saved: &[u8]) -> Result<()> {
//!         for line in std::str::from_utf8(saved)?.lines() {
//!             if let Some((count, name)) = line.split_once(' ') {
//!                 self.lock().insert(name.to_owned(), count.parse()?);
//!             }
//!         }
//!         Ok(())
//!     }
//! }
//!
//! fn vote(votes: &Votes, request: &Request) -> Result<i64> {
//!     let name = request.text(0)?.to_owned();
//!     let mut votes = votes.lock();
//!     let count = votes.entry(name).or_default();
//!     *count += 1;
//!     Ok(*count)
//! }
//!
//! // The test: the next version restores the state that this one has saved.
//! use plugin_api::testing::Plugin;
//!
//! let old = Plugin::start(&PLUGIN).unwrap();
//! assert_eq!(old.call("vote", &["Ada"]), Ok(1.into()));
//! let saved = old.save().unwrap().unwrap();
//! let new = Plugin::start(&PLUGIN).unwrap();
//! new.restore(&saved).unwrap();
//! assert_eq!(new.call("vote", &["Ada"]), Ok(2.into()));
//! ```
//!
//! - The order is: [`create`](crate::State::create), then
//!   [`configure`](crate::Configured::configure), then [`restore`](crate::Saved::restore), then the
//!   first call.
//! - While state is handed over, calls to the plugin wait. `save` and `restore` must return within
//!   `--handover-timeout`; the last `save`, when the host shuts down, within `--save-timeout`.
//! - After any failure (an error, a panic, a timeout) the old version keeps serving with its state
//!   intact.
//! - Save in a format that both later and earlier versions can read: a rollback hands state to an
//!   *older* version.
//! - Data that is too large for this belongs in files in [`Host::data_dir`](crate::Host::data_dir).
