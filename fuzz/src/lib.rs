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
    pub(crate) mod kind;
    pub mod object_header;
}

#[path = "../../crates/plugin-engine/src/live"]
pub mod live {
    pub(crate) mod manifest;
    pub mod probe_report;
}

#[path = "../../crates/plugin-engine/src/process"]
pub mod process {
    /// The messages alone, without the module that uses threads, processes and clocks.
    pub mod lines {
        mod answer;
        mod bounded;
        mod header;
        mod hello;
        mod json;
        mod line_reader;
        mod message;
        mod request;
        mod tokens;

        pub use self::{
            answer::{BadValue, WorkerAnswer, write_answer},
            header::script_commands,
            hello::Hello,
            json::Json,
            line_reader::{Line, LineReader},
            message::{Message, parse, start_id},
            request::Requests,
        };

        /// The version of the protocol.
        pub const VERSION: u64 = 1;
    }

    /// The messages alone, as above.
    pub mod native {
        pub mod mailbox;
        pub mod message;
        pub mod pieces;
        pub mod wire;
    }
}

#[path = "../../crates/plugin-engine/src/state"]
pub mod state {
    pub mod file;
}

#[path = "../../crates/plugin-engine/src/trust"]
mod trust {
    pub(crate) mod permissions;
    pub(crate) mod signature;
}
