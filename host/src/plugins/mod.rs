//! Plugins: from a file in the folder to workers in the table, and back out.

pub mod boundary;
pub mod folder;
pub mod gate;
pub mod generation;
pub mod library;
pub mod manager;
pub mod manifest;
pub mod probe;
pub mod refusal;
pub mod shadow;
