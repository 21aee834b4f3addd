//! Runs plugins in processes of their own.

pub mod lines;
pub mod settings;
