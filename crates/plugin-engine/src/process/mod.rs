//! Runs plugins in processes of their own.

pub mod settings;
