//! Checks which users could have changed a file, and which key has signed it.

pub mod permissions;
pub mod signature;
