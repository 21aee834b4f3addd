//! Calls commands of other hosts.

pub mod pending;
pub mod watch;
pub mod worker;
