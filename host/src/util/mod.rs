//! Helpers that do not depend on the rest of the host.

pub mod log_throttle;
pub(crate) mod nearest;
pub(crate) mod program;
