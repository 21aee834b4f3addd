//! Who could have changed a file, and who has signed it.

pub mod permissions;
pub mod signature;
