//! The parts of the host that read what others have written.
//!
//! They are the host's own files, included by their paths: building all of the host, and all that it
//! depends on, with a sanitizer takes minutes. A module that imports another needs it here, too.
#![allow(dead_code, reason = "the rest of the host uses more of them")]

#[path = "../../host/src/program.rs"]
mod program;
#[path = "../../host/src/read_buffer.rs"]
pub mod read_buffer;
#[path = "../../host/src/wire/mod.rs"]
pub mod wire;
#[path = "../../host/src/access"]
pub mod access {
    pub mod keys;
    mod pattern;
}

#[path = "../../host/src/platform"]
mod platform {
    mod durable;
    mod files;

    pub use files::{
        LIBRARY_EXTENSION, is_in_use, is_own, is_passing, mode_for_others, open_file, open_plain,
        retry_while_in_use, retry_while_in_use_until,
    };
}

#[path = "../../host/src/plugins"]
pub mod plugins {
    mod folder;
    mod load_error;
    mod manifest;
    pub mod object_header;
    mod permissions;
    pub mod probe_report;
    mod signature;
}
