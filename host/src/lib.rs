//! The Dropin host: a command server that is extended by dropping a library into a folder.
//!
//! ARCHITECTURE.md, beside the workspace's Cargo.toml, describes its parts. Modules import one way,
//! downwards in this list: `cli`; `serve`; `session`; `commands`; `net`; `crash`; `runtime`;
//! `config`. Below them are the crates `plugin-engine`, `auth`, `protocol`, `telemetry` and `platform`.

mod cli;
pub mod commands;
pub mod config;
pub mod crash;
pub mod net;
pub mod runtime;
pub mod serve;
pub mod session;

pub use self::cli::main;
