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
//!         "vote" "NAME" => vote, writes, "Adds a vote for NAME and replies its total.";
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
//!
//! # A crash
//!
//! With the attribute `writes` on each command that changes the state, the host keeps a journal of
//! them: a crash loses nothing that a client was told. At its next start the host restores the last
//! snapshot, and runs the commands since then again. So such a command must do the same whenever it
//! runs on the same state:
//!
//! - Its effect depends on its arguments, the state and
//!   [`request.time()`](crate::Request::time) alone: not on the clock, on random numbers, on the
//!   session, on files, or on the order of a `HashMap`.
//! - If it returns an error or panics, it has changed nothing: the host does not record it.
//! - It is short: the commands of a plugin that write run one at a time.
//! - Later versions accept it as well, and no other thread changes the state.
//!
//! # A large state
//!
//! With [`Saved`](crate::Saved), calls wait until the whole state has been copied. With
//! [`Streamed`](crate::Streamed) the state is a list of commands, which the host takes in pieces
//! while calls go on: for the next version, and for snapshots.
//!
//! ```standalone_crate
//! use std::{
//!     collections::{BTreeMap, BTreeSet},
//!     iter,
//!     sync::{Mutex, MutexGuard, PoisonError},
//! };
//!
//! use plugin_api::{Commands, Error, Host, Request, Result, State, Streamed, plugin};
//!
//! plugin! {
//!     name: "scores",
//!     state: Scores,
//!     commands: {
//!         "score.add" "NAME BY" => add, writes, "Adds BY to the score of NAME; replies the sum.";
//!         "score.set" "NAME SCORE" => set, writes, idempotent, "Sets the score of NAME.";
//!         "score.forget" "NAME" => forget, writes, idempotent, "Removes the score of NAME.";
//!     }
//! }
//!
//! #[derive(Default)]
//! struct Scores(Mutex<Inner>);
//!
//! #[derive(Default)]
//! struct Inner {
//!     scores: BTreeMap<String, i64>,
//!     // The names that a stream has not sent, or that have changed since; none without a stream.
//!     unsent: Option<BTreeSet<String>>,
//! }
//!
//! impl Scores {
//!     fn lock(&self) -> MutexGuard<'_, Inner> {
//!         self.0.lock().unwrap_or_else(PoisonError::into_inner)
//!     }
//! }
//!
//! impl Inner {
//!     fn note(&mut self, name: &str) {
//!         if let Some(unsent) = &mut self.unsent {
//!             unsent.insert(name.to_owned());
//!         }
//!     }
//! }
//!
//! impl State for Scores {
//!     fn create(_: &Host) -> Result<Self> {
//!         Ok(Self::default())
//!     }
//! }
//!
//! impl Streamed for Scores {
//!     fn begin(&self) -> Result<()> {
//!         let mut inner = self.lock();
//!         inner.unsent = Some(inner.scores.keys().cloned().collect());
//!         Ok(())
//!     }
//!
//!     fn next(&self, commands: &mut Commands) -> Result<bool> {
//!         let mut inner = self.lock();
//!         let Inner { scores, unsent: Some(unsent) } = &mut *inner else { return Ok(false) };
//!         let names: Vec<String> = iter::from_fn(|| unsent.pop_first()).take(1_000).collect();
//!         for name in &names {
//!             // `score.add` does not belong here: the result must not depend on what was before.
//!             match scores.get(name).map(i64::to_string) {
//!                 Some(score) => {
//!                     commands.push([&b"score.set"[..], name.as_bytes(), score.as_bytes()]);
//!                 }
//!                 None => commands.push([&b"score.forget"[..], name.as_bytes()]),
//!             }
//!         }
//!         Ok(!names.is_empty())
//!     }
//!
//!     fn end(&self) {
//!         self.lock().unsent = None;
//!     }
//! }
//!
//! fn add(scores: &Scores, request: &Request) -> Result<i64> {
//!     let (name, by) = (request.text(0)?, request.integer(1)?);
//!     let mut inner = scores.lock();
//!     let old = inner.scores.get(name).copied().unwrap_or_default();
//!     // An error changes nothing.
//!     let sum = old.checked_add(by).ok_or_else(|| Error::new("the score is too large"))?;
//!     inner.scores.insert(name.to_owned(), sum);
//!     inner.note(name);
//!     Ok(sum)
//! }
//!
//! fn set(scores: &Scores, request: &Request) -> Result<()> {
//!     let (name, score) = (request.text(0)?, request.integer(1)?);
//!     let mut inner = scores.lock();
//!     inner.scores.insert(name.to_owned(), score);
//!     inner.note(name);
//!     Ok(())
//! }
//!
//! fn forget(scores: &Scores, request: &Request) -> Result<bool> {
//!     let name = request.text(0)?;
//!     let mut inner = scores.lock();
//!     inner.note(name);
//!     Ok(inner.scores.remove(name).is_some())
//! }
//!
//! // The test: the commands of a stream make the same state, with what changed meanwhile.
//! use plugin_api::testing::Plugin;
//!
//! let (old, new) = (Plugin::start(&PLUGIN).unwrap(), Plugin::start(&PLUGIN).unwrap());
//! old.call("score.add", &["Ada", "2"]).unwrap();
//! old.begin_stream().unwrap();
//! let mut list = old.next_of_stream().unwrap().unwrap();
//! old.call("score.add", &["Ada", "3"]).unwrap();
//! list.extend(old.next_of_stream().unwrap().unwrap());
//! assert_eq!(old.next_of_stream().unwrap(), None);
//! old.end_stream();
//! for words in &list {
//!     let words: Vec<&str> = words.iter().map(|word| str::from_utf8(word).unwrap()).collect();
//!     new.call(words[0], &words[1..]).unwrap();
//! }
//! assert_eq!(new.call("score.add", &["Ada", "0"]), Ok(5.into()));
//! ```
