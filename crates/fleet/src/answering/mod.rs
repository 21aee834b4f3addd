//! Answers the calls of other hosts, and of service clients.

pub mod context;
pub mod endpoints;
pub mod pool;
pub mod run;
pub mod running;
