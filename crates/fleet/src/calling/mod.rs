//! Calls commands of other hosts.

mod parts;
pub mod pending;
pub mod watch;
pub mod worker;
