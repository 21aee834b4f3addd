//! Handles loaded plugins: probe, open, call, end.

pub mod deadline;
pub mod gate;
pub mod generation;
pub mod host_services;
pub mod library;
pub mod loader;
pub mod manifest;
pub mod place;
pub mod plugin;
pub mod probe;
pub mod probe_report;
pub(crate) mod sync;
pub mod task_thread;
