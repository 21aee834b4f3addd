//! Runs without a prompt: one command, commands from a pipe or a file, a push, and latency measurements.

pub mod batch;
pub mod latency;
pub mod push;
pub mod repeat;
pub mod source;
