//! End-to-end tests of Dropin: sockets, processes and files.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg_attr(
    not(target_os = "linux"),
    allow(unused_imports, dead_code, reason = "some tests need what other systems do not have")
)]

mod access;
mod addresses;
mod bad_input;
#[cfg(unix)]
mod book;
mod builtins;
mod cancelling;
mod check_command;
mod client_places;
mod client_program;
mod client_scripts;
mod client_shells;
#[cfg(unix)]
mod client_terminal;
mod command_line;
mod command_watch;
#[cfg(unix)]
mod crashes;
mod crowds;
#[cfg(unix)]
mod demo;
mod dev;
#[cfg(unix)]
mod durability;
mod examples;
mod exhaustion;
mod fairness;
mod fleet;
mod floods;
mod half_open;
#[cfg(unix)]
mod haproxy;
mod info;
mod limits;
mod lines;
mod mistakes;
mod new_plugin;
mod plugin_clashes;
mod plugin_files;
mod processes;
mod program_names;
mod progress;
mod redis_clients;
mod reload;
mod resp;
#[cfg(unix)]
mod rollout;
mod service;
mod sessions;
mod shared_threads;
mod shipped_plugins;
mod shutdown;
mod shutdown_pending;
#[cfg(target_os = "linux")]
mod signals;
#[cfg(unix)]
mod sources;
mod tables;
mod transactions;
mod vanishing;
mod workers;
#[cfg(unix)]
mod xtask_run;
