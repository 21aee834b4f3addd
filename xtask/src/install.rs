//! The shipped plugins, from where cargo builds them into the plugins folder.

use std::{
    env::consts::{DLL_PREFIX, DLL_SUFFIX},
    fs,
    path::Path,
};

use crate::{TaskError, cargo};

/// The plugins that ship, which are the folders in `plugins/`.
pub const SHIPPED: [&str; 5] = ["clock", "server", "store", "system", "text"];

/// Cargo's arguments that choose them.
pub fn packages() -> Vec<String> {
    SHIPPED.iter().flat_map(|name| ["--package".to_owned(), (*name).to_owned()]).collect()
}

/// Installs them from the profile's output into `./plugins`.
pub fn plugins(profile: &str) -> Result<(), TaskError> {
    let folder = cargo::root().join("plugins");
    for name in SHIPPED {
        let file = format!("{DLL_PREFIX}{name}{DLL_SUFFIX}");
        install(&cargo::output(profile).join(&file), &folder, &file)?;
        println!("installed plugins/{file}");
    }
    Ok(())
}

/// Writes beside, then renames: a running host never sees half a file, and no file in use is
/// written over.
fn install(built: &Path, folder: &Path, name: &str) -> Result<(), TaskError> {
    let beside = folder.join(format!(".{name}.new"));
    fs::copy(built, &beside).map_err(|error| TaskError::Io("copy", built.to_owned(), error))?;
    close_to_others(&beside)?;
    close_to_others(folder)?;
    let target = folder.join(name);
    fs::rename(&beside, &target).map_err(|error| TaskError::Io("install", target, error))
}

/// Lets nobody else write, as the host wants it; many systems let the group.
fn close_to_others(path: &Path) -> Result<(), TaskError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let failed = |error| TaskError::Io("change the rights of", path.to_owned(), error);
        let mut rights = fs::metadata(path).map_err(failed)?.permissions();
        rights.set_mode(rights.mode() & !0o022);
        fs::set_permissions(path, rights).map_err(failed)?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}
