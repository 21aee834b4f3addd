//! The host's parsers of foreign data.
//!
//! They are the host's own files, included by their paths: building all of the host, with its
//! dependencies, with a sanitizer takes minutes. A module that another one imports must be included
//! here, too.
#![allow(dead_code, reason = "the rest of the host uses more of them")]

#[path = "../../host/src/wire/mod.rs"]
pub mod wire;
#[path = "../../host/src/access"]
pub mod access {
    pub mod keys;
    mod pattern;
}

#[path = "../../host/src/net"]
pub mod net {
    pub mod read_buffer;
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
    mod load_error;
    pub mod files {
        pub(crate) mod folder;
        pub mod object_header;
    }
    pub mod live {
        pub(crate) mod manifest;
        pub mod probe_report;
    }
    pub mod trust {
        pub(crate) mod permissions;
        pub(crate) mod signature;
    }
}

#[path = "../../host/src/util"]
pub mod util {
    pub(crate) mod program;
}
