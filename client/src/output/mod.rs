//! Replies, notices and errors on standard output, standard error and the terminal.

pub mod colour;
mod csv;
pub mod format;
mod json;
pub mod progress;
pub mod render;
pub mod screen;
pub mod table;
pub mod terminal;
pub mod text;
