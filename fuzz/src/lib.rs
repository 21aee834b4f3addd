//! The host's parsers of foreign data.
//!
//! The protocol is a crate of its own. The other parts are files of larger crates, included by
//! their paths: building those crates with their dependencies and a sanitizer takes minutes. A
//! module that another one imports must be included here too, at the same path.
#![allow(dead_code, reason = "the crates that the files are from use more of them")]

#[path = "../../crates/auth/src/keys.rs"]
pub mod keys;
#[path = "../../crates/auth/src/pattern.rs"]
mod pattern;

#[path = "../../host/src/net"]
pub mod net {
    pub mod read_buffer;
}

#[path = "../../crates/plugin-engine/src/load_error.rs"]
mod load_error;

#[path = "../../crates/plugin-engine/src/files"]
pub mod files {
    pub(crate) mod folder;
    pub mod object_header;
}

#[path = "../../crates/plugin-engine/src/live"]
pub mod live {
    pub(crate) mod manifest;
    pub mod probe_report;
}

#[path = "../../crates/plugin-engine/src/process"]
pub mod process {
    pub mod lines;
}

#[path = "../../crates/plugin-engine/src/trust"]
mod trust {
    pub(crate) mod permissions;
    pub(crate) mod signature;
}
