//! The variables that an outer cargo sets for its package; xtask includes this file as well.

use std::{env, process::Command};

/// Removes from cargo's environment the variables that name the package of this process.
///
/// The build script of ring reads some of them. Without this it would run again, and everything
/// that uses ring would be rebuilt, whenever cargo is started by a test or a task after it was
/// started by a shell, or vice versa.
pub fn hide(cargo: &mut Command) {
    for (variable, _) in env::vars_os() {
        let name = variable.to_string_lossy();
        let is_prefixed = name.starts_with("CARGO_MANIFEST_") || name.starts_with("CARGO_PKG_");
        // Tests have one, and start tasks.
        if is_prefixed || name == "OUT_DIR" {
            cargo.env_remove(&variable);
        }
    }
}
