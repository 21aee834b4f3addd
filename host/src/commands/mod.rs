//! Commands: their registry, their calls, and the built-in ones.

pub mod builtins;
pub mod progress;
pub mod registry;
pub mod running_call;
