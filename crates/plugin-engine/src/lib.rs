//! Loads, serves and retires plugins: from a file in the folder to workers in the registry.

pub mod call;
pub mod context;
pub mod events;
pub mod facts;
pub mod files;
pub mod live;
pub mod load_error;
pub mod manager;
pub mod plugin_control;
pub mod process;
pub mod registry;
pub mod state;
pub mod trust;
pub mod watch;
pub mod write;

/// The version of the host, which is that of all its crates.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
