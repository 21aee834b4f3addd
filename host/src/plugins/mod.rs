//! Plugins: from a file in the folder to workers in the table, and back out.

pub mod admission;
pub mod boundary;
pub mod clashes;
pub mod elf;
pub mod eye;
pub mod folder;
pub mod gate;
pub mod generation;
pub mod handover;
pub mod insecure;
pub mod library;
pub mod loader;
pub mod manager;
pub mod manifest;
pub mod patience;
pub mod probe;
pub mod refusal;
pub mod retired;
pub mod retries;
pub mod settle;
pub mod shadow;
pub mod signature;
pub mod slot;
pub mod states;
pub mod verdict;
pub mod watch;
