//! The interactive prompt: editing, hints, history, and the loop that runs typed lines.

pub mod assistant;
pub mod commands;
pub mod confirm;
pub mod editor;
pub mod history;
pub mod host_state;
pub mod line;
pub mod questions;
pub mod repl;
pub mod shell;
