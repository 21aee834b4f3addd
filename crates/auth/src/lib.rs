//! Who may come in, and what they may run. Knows neither sockets nor commands.

pub mod certificate;
pub mod date;
pub mod identity;
pub mod key_file;
pub mod keyring;
pub mod keys;
pub mod pattern;
pub mod private;
pub mod trust;
