//! Installation of the shipped plugins: from cargo's output into the plugins folder.

use std::{
    env::consts::{DLL_PREFIX, DLL_SUFFIX},
    fs,
    path::Path,
};

use crate::{error::TaskError, workspace};

/// Installs the shipped plugins from the profile's output into `./plugins`.
pub fn plugins(profile: &str) -> Result<(), TaskError> {
    workspace::shipped_plugins()?.iter().try_for_each(|name| plugin(name, profile))
}

/// Installs one of them.
pub fn plugin(name: &str, profile: &str) -> Result<(), TaskError> {
    let file = library(name);
    let folder = workspace::root().join("plugins");
    install(&workspace::output(profile).join(&file), &folder, &file)?;
    println!("installed plugins/{file}");
    Ok(())
}

/// Returns cargo's file name of a package's library.
pub fn library(package: &str) -> String {
    format!("{DLL_PREFIX}{}{DLL_SUFFIX}", package.replace('-', "_"))
}

/// Writes a temporary file, then renames it: a running host never sees an incomplete file, and no
/// file in use is overwritten.
fn install(built: &Path, folder: &Path, name: &str) -> Result<(), TaskError> {
    let beside = folder.join(format!(".{name}.new"));
    fs::copy(built, &beside).map_err(|error| TaskError::Io("copy", built.to_owned(), error))?;
    close_to_others(&beside)?;
    close_to_others(folder)?;
    let target = folder.join(name);
    fs::rename(&beside, &target).map_err(|error| TaskError::Io("install", target, error))
}

/// Removes write permission for others, as the host requires; many systems grant it to the group.
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
