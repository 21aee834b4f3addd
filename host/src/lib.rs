//! The Dropin host: a command server that is extended by dropping a library into a folder.
//!
//! ARCHITECTURE.md, beside the workspace's Cargo.toml, says how it hangs together. Modules import
//! one way, downwards in this list: `cli`; `serve`; `session`; `plugins`; `commands`; `net`;
//! `crash`; `runtime`; `telemetry`; `config`; `access`; `wire`; `util`; `platform`.

mod cli;
pub mod commands;
pub mod config;
pub mod crash;
pub mod net;
pub mod plugins;
pub mod runtime;
pub mod serve;
pub mod session;

pub use self::cli::main;
