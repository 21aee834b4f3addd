//! Helpers that know nothing of the host.

pub mod log_throttle;
pub(crate) mod nearest;
pub(crate) mod program;
