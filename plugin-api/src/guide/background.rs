//! Background work: threads that the host can stop.
//!
//! [`Host::spawn`](crate::Host::spawn) starts a thread that the host stops and joins before it
//! unloads the library. A thread that was started in another way would execute code that is no
//! longer mapped.
//!
//! ```standalone_crate
//! use std::{
//!     sync::{
//!         Arc,
//!         atomic::{AtomicI64, Ordering},
//!     },
//!     time::Duration,
//! };
//!
//! use plugin_api::{Host, Request, Result, State, log, plugin};
//!
//! plugin! {
//!     name: "beat",
//!     state: Beat,
//!     commands: {
//!         "beats" "" => beats, "The number of heartbeats so far.";
//!     }
//! }
//!
//! struct Beat {
//!     count: Arc<AtomicI64>,
//! }
//!
//! impl State for Beat {
//!     fn create(host: &Host) -> Result<Self> {
//!         let count = Arc::new(AtomicI64::new(0));
//!         let counted = Arc::clone(&count);
//!         host.spawn("heart", move |stop| {
//!             // The wait ends early when the plugin is about to be unloaded.
//!             while !stop.wait(Duration::from_millis(1)) {
//!                 counted.fetch_add(1, Ordering::Relaxed);
//!             }
//!             log::info!("the heart has stopped");
//!         })?;
//!         Ok(Self { count })
//!     }
//! }
//!
//! fn beats(beat: &Beat, _: &Request) -> i64 {
//!     beat.count.load(Ordering::Relaxed)
//! }
//!
//! // The test:
//! let plugin = plugin_api::testing::Plugin::start(&PLUGIN).unwrap();
//! let beats = || plugin.call("beats", &[]).unwrap();
//! while beats() == 0.into() {
//!     std::thread::yield_now();
//! }
//! ```
//!
//! - Work that blocks for long, such as reading from a socket, needs a timeout of its own, after
//!   which it checks [`Stop::is_set`](crate::Stop::is_set).
//! - The host also calls [`create`](crate::State::create) in the probe, a separate process that
//!   tries a library before it is loaded. Threads that it starts there are stopped again.
//! - An async runtime starts threads that the host does not know. A plugin with such a runtime
//!   declares `threads: untracked` in [`plugin!`](crate::plugin!); its code is then never unloaded,
//!   which costs some memory at each reload.
