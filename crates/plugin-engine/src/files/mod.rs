//! Handles files of plugins before any of their code runs.

pub mod deferred_delete;
pub mod folder;
pub mod kind;
pub mod object_header;
pub mod shadow_copy;
pub mod trust_policy;
