//! Rolls plugins out over the fleet.
//!
//! A plugin travels in an object store of NATS JetStream, and its rollout is an entry of a
//! key-value bucket that hosts change by compare-and-set. One host, the canary, serves the new
//! version first. The others follow when it has served well for a time. Only hosts that run with a
//! plugin key take part: the bucket is a way to run code on them.
//!
//! - `state` is the entry of a rollout and its changes, `step` decides what a host does next: both
//!   are pure.
//! - `store` has the buckets, `folder` writes into the plugins folder, `record` remembers what came
//!   from the fleet, `version` describes and names a pushed file.
//! - `run` is the task that follows the buckets, `entries` takes their entries, `advance` carries out
//!   its steps, `hold` is what it knows of each rollout, `take` fetches and places a file, `publish` offers pushed ones to the
//!   fleet, `drops` those of the plugins folder.
//! - `requests` are those of sessions, `upload` the files that arrive in pieces, `facts` describes
//!   the rollouts to people.

mod advance;
mod drops;
mod entries;
mod error;
mod facts;
mod folder;
mod hold;
mod publish;
mod record;
mod requests;
mod run;
mod state;
mod step;
mod store;
mod take;
mod upload;
mod version;

pub use self::{
    error::RolloutError,
    facts::RolloutFacts,
    requests::{RolloutState, Rollouts},
    run::run,
};
