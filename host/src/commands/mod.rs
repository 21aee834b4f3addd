//! Commands: the built-in ones, and the sessions that call any.

pub mod builtins;
pub mod caller;
pub mod flow;
pub mod progress;
pub mod running_call;
