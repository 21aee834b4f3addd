//! The journal of one plugin: records that many threads append, in segment files.
//!
//! A journal has a folder and a name, and numbers its records from 0. In the folder, for a name
//! NAME, the files `NAME.journal.00000001`, `NAME.journal.00000002` and so on are its segments. Each
//! is complete and flushed before the next one gets its first record, so only the last one can end
//! in a torn record.
//!
//! - [`frame`] is the form of one record, and tells a torn one from a damaged one.
//! - [`segment`] is one file: its header and its records.
//! - [`folder`] is all segments: reading them in order, and removing old ones.
//! - [`Journal`] appends: one write, or one flush, for all threads that wait for it.

#![warn(missing_docs)]

mod commit;
pub mod folder;
pub mod frame;
mod journal;
pub mod segment;
mod sync_policy;
mod writer;

pub use crate::{
    folder::{Found, ReadError, Torn, read},
    journal::{Journal, Options, Problem},
    sync_policy::SyncPolicy,
};
