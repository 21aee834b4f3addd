//! Access control: keys, roles, command patterns, trust by address, and the TLS certificate.
//!
//! This crate depends on neither sockets nor commands.

pub mod certificate;
pub mod date;
pub mod identity;
pub mod key_file;
pub mod keyring;
pub mod keys;
pub mod network;
pub mod pattern;
pub mod private;
pub mod trust;
