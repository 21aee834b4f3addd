//! Counters of what a host does, and bounds for log lines that a client can cause.

pub mod log_throttle;
pub mod metrics;
