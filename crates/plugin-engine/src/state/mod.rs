//! Keeps the state and the configuration of plugins.

pub mod configuration;
pub mod file;
pub mod handover;
pub mod parallel;
pub mod saves;
pub mod store;
mod write;
