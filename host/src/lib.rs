//! The Dropin host: a command server that is extended by dropping a library into a folder.
//!
//! ARCHITECTURE.md, beside the workspace's Cargo.toml, describes its parts. Plugins, keys, the
//! protocol, counters and the operating system are crates of their own, below all of this. Modules
//! import one way, downwards in this list: `cli`; `serve`; `runners`; `session`; `commands`; `net`;
//! `crash`; `runtime`; `config`.

mod cli;
pub mod commands;
pub mod config;
pub mod crash;
pub mod net;
mod runners;
pub mod runtime;
pub mod serve;
pub mod session;

pub use self::cli::main;
