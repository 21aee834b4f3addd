//! The host's counters, and throttles for log lines that clients can cause.

pub mod log_throttle;
pub mod metrics;
