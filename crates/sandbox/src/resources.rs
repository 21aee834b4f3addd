//! Resource limits of a process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::ApplyError;

/// Limits the private writable memory of this process.
///
/// The limit is `RLIMIT_DATA`. `RLIMIT_AS` also counts address space that is only reserved, of
/// which the runtimes of Node.js and Go take gigabytes. `RLIMIT_DATA` counts mapped bytes, used or
/// not, the stacks of threads included. It does not count shared memory and memory files, so that
/// the host also measures the resident memory.
#[cfg(target_os = "linux")]
pub(crate) fn limit_memory(bytes: u64) -> Result<(), ApplyError> {
    lower(Resource::Data, bytes, "memory")
}

/// Limits the open files of this process.
pub(crate) fn limit_open_files(files: u64) -> Result<(), ApplyError> {
    lower(Resource::Nofile, files, "open files")
}

/// Sets both values, so that the process cannot raise the limit again. A lower limit of the system
/// stays.
fn lower(resource: Resource, value: u64, name: &str) -> Result<(), ApplyError> {
    let value = getrlimit(resource).maximum.map_or(value, |maximum| maximum.min(value));
    setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })
        .map_err(|error| ApplyError::new(format!("limit {name} to {value}"), error))
}

/// Drops the capability by which root raises its limits.
#[cfg(target_os = "linux")]
pub(crate) fn forbid_raising() -> Result<(), ApplyError> {
    use rustix::thread::{
        CapabilitySet, capabilities, remove_capability_from_bounding_set, set_capabilities,
    };
    let failed = |error| ApplyError::new("drop the capability CAP_SYS_RESOURCE", error);
    let mut sets = capabilities(None).map_err(failed)?;
    if !sets.permitted.contains(CapabilitySet::SYS_RESOURCE) {
        return Ok(());
    }
    // A program that root starts gets all capabilities of this set.
    remove_capability_from_bounding_set(CapabilitySet::SYS_RESOURCE).map_err(failed)?;
    sets.effective.remove(CapabilitySet::SYS_RESOURCE);
    sets.permitted.remove(CapabilitySet::SYS_RESOURCE);
    sets.inheritable.remove(CapabilitySet::SYS_RESOURCE);
    set_capabilities(None, sets).map_err(failed)
}
