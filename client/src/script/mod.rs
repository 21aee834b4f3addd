//! Runs without a prompt: one command, commands from a pipe or a file, and latency measurements.

pub mod batch;
pub mod latency;
pub mod repeat;
pub mod source;
