//! Hosts to connect to: settings, named places, addresses, credentials and fingerprints.

pub mod access;
pub mod config;
mod document;
pub mod folders;
pub mod kind;
pub mod known_hosts;
pub mod list;
pub mod settings;
