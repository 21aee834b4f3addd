//! Hosts to connect to: settings, named places, addresses, credentials and fingerprints.

pub mod address;
pub mod args;
pub mod connection_type;
mod document;
pub mod environment;
pub mod known_hosts;
pub mod named_places;
pub mod place;
mod place_name;
pub mod security;
pub mod settings;
pub mod settings_file;
