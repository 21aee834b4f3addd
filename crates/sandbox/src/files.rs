//! Restricts writing to files, by Landlock.

use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, make_bitflags,
    path_beneath_rules,
};

use crate::{error::ApplyError, syscalls::Gaps};

/// Devices that stay writable. `/dev/tty` does not: it could type into the host's terminal.
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// The rights without which the sandbox is refused: Linux 5.13.
fn basic() -> BitFlags<AccessFs> {
    AccessFs::from_write(ABI::V1)
}

/// The rights that are withheld where the kernel knows them.
///
/// The right to connect to a socket's path, of Landlock 9, is left to the plugin: a local database
/// is reached by one.
fn all() -> BitFlags<AccessFs> {
    AccessFs::from_write(ABI::V8)
}

/// Returns the operations that Landlock of this kernel does not restrict.
pub(crate) fn gaps() -> Gaps {
    let strictly = || Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    Gaps {
        signals: strictly().scope(Scope::Signal).is_err(),
        truncation: strictly().handle_access(AccessFs::Truncate).is_err(),
    }
}

/// Lets this thread, and all that it starts, write only below `writable` and to some devices.
pub(crate) fn restrict(writable: &[PathBuf]) -> Result<(), ApplyError> {
    let mut rules = Vec::with_capacity(writable.len());
    for path in writable {
        let opened = PathFd::new(path).map_err(|error| {
            ApplyError::new(format!("allow writing below {}", path.display()), error)
        })?;
        rules.push(Ok(PathBeneath::new(opened, all())));
    }
    let operation = "restrict writing by Landlock";
    let status = enforce(rules).map_err(|error| ApplyError::new(operation, error))?;
    // "Partially" means that the kernel lacks newer rights: the basic ones are required.
    if status.ruleset == RulesetStatus::NotEnforced || !status.no_new_privs {
        return Err(ApplyError::new(operation, format!("the kernel did not: {status:?}")));
    }
    Ok(())
}

fn enforce(
    rules: Vec<Result<PathBeneath<PathFd>, RulesetError>>,
) -> Result<landlock::RestrictionStatus, RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(basic())?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all())?
        .scope(Scope::from_all(ABI::V6))?
        .create()?
        .add_rules(rules)?
        .add_rules(path_beneath_rules(DEVICES, make_bitflags!(AccessFs::{WriteFile | Truncate})))?
        .restrict_self()
}
