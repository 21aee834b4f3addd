//! Commands: the built-in ones, and the sessions behind calls of any.

pub mod builtins;
pub mod caller;
pub mod flow;
pub mod progress;
pub mod running_call;
