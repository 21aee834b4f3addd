//! Limits the resources that a worker process may take, and the system calls that it may make.

mod cgroup;
mod delegation;
mod error;
#[cfg(target_os = "linux")]
mod files;
mod limits;
#[cfg(unix)]
mod resources;
#[cfg(target_os = "linux")]
mod syscalls;
#[cfg(all(test, target_os = "linux"))]
mod tests;

pub use self::{
    cgroup::Cgroup,
    error::{ApplyError, CgroupError, Reason, Unsupported},
    limits::{Limits, Sandbox, describe},
};
