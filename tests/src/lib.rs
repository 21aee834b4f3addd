//! Tools of the end-to-end tests: hosts, clients, files and waits.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

pub mod built;
pub mod cable;
pub mod connection;
#[cfg(unix)]
pub mod executable;
pub mod files;
pub mod frame;
pub mod host;
pub mod keys;
pub mod lines;
pub mod load;
pub mod nats;
pub mod network;
pub mod open_metrics;
mod package_variables;
pub mod port;
pub mod reload;
pub mod resp;
pub mod setup;
pub mod signer;
pub mod slow_link;
#[cfg(target_os = "linux")]
mod stacks;
mod stall;
pub mod system;
#[cfg(unix)]
pub mod terminal;
pub mod tool;
pub mod wait;
pub mod workspace;

pub use crate::{
    connection::Connection,
    frame::Frame,
    host::Host,
    lines::Lines,
    load::Load,
    port::Port,
    resp::Resp,
    setup::{Ended, Setup},
    wait::{LIMIT, wait_for, wait_until},
};

/// The notice to every client when the host is shut down by `ks`.
pub const NOTICE: &str = "the server is shutting down";

/// The notice to every client when the system stops the host.
pub const RESTART_NOTICE: &str = "the server is stopping, perhaps for a restart";

/// The shipped plugins.
pub const SHIPPED: [&str; 5] = ["clock", "server", "store", "system", "text"];

/// The pages whose examples in Rust are compiled as documentation tests.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../README.md")]
    struct Readme;
    #[doc = include_str!("../../docs/plugins.md")]
    struct Plugins;
}
