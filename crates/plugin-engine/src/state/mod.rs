//! Keeps the state and the configuration of plugins.

pub mod aside;
pub mod configuration;
pub mod durability;
pub mod durable;
pub mod export;
pub mod file;
pub mod handover;
pub mod import;
pub mod inspection;
pub mod line;
pub mod load;
pub mod parallel;
pub mod repair;
pub mod replay;
pub mod saves;
pub mod snapshot;
pub mod store;
pub mod stream;
pub mod transfer;
pub mod write;
