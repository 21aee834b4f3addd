//! Loads, serves and retires plugins: from a file in the folder to workers in the registry.

pub mod files;
pub mod live;
pub mod load_error;
pub mod manager;
pub mod state;
pub mod trust;
pub mod watch;
