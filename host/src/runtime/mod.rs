//! The state that all threads of a running host share.

pub mod client_handle;
pub mod client_memory;
pub mod clients;
pub mod context;
pub mod logging;
pub mod membership;
pub mod registered;
pub mod rollout_request;
#[cfg(feature = "fleet")]
mod rollouts;
pub mod shutdown;
pub mod state_dir;
