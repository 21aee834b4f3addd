//! Versions of the example's library, each built from a copy of its crate.

use std::{
    fs,
    path::{Path, PathBuf},
};

use toml_edit::DocumentMut;

use crate::{cargo, error::TaskError, install};

/// The files of a copy, and their origins. By the workspace's choice of versions, cargo has nothing
/// to download and little to build.
const FILES: [(&str, &str); 3] = [
    ("examples/counter/Cargo.toml", "Cargo.toml"),
    ("examples/counter/src/lib.rs", "src/lib.rs"),
    ("Cargo.lock", "Cargo.lock"),
];

/// Builds `examples/counter` in this many versions: 1.0.0, 2.0.0 and so on. Returns their libraries.
///
/// # Errors
/// The crate cannot be copied or built.
pub fn build(count: u32, profile: &str) -> Result<Vec<PathBuf>, TaskError> {
    let settings = profile_settings(profile)?;
    println!("building versions 1.0.0 to {count}.0.0 of examples/counter");
    (1..=count).map(|version| build_one(version, profile, &settings)).collect()
}

fn build_one(version: u32, profile: &str, settings: &[String]) -> Result<PathBuf, TaskError> {
    let folder = cargo::target().join("demo").join(version.to_string());
    for (from, to) in FILES {
        let from = cargo::root().join(from);
        let text = fs::read_to_string(&from).map_err(|error| TaskError::Io("read", from, error))?;
        let is_manifest = to == "Cargo.toml";
        write(&folder.join(to), &if is_manifest { of_version(&text, version) } else { text })?;
    }
    let mut build = cargo::cargo();
    build.args(["build", "--quiet", "--manifest-path"]).arg(folder.join("Cargo.toml"));
    for setting in settings {
        build.args(["--config", setting]);
    }
    build.args(["--profile", cargo::profile_of(profile)]);
    // Dependencies that the workspace has as well are built already.
    build.env("CARGO_TARGET_DIR", cargo::target());
    cargo::succeed(&mut build)?;
    let built = cargo::output(profile).join(install::library(&format!("counter_{version}")));
    let kept = folder.join(install::library("counter"));
    fs::copy(&built, &kept).map_err(|error| TaskError::Io("copy", built, error))?;
    Ok(kept)
}

/// Returns the crate's manifest in this version.
fn of_version(manifest: &str, version: u32) -> String {
    let api = cargo::root().join("plugin-api");
    manifest
        .replace("version = \"1.0.0\"", &format!("version = \"{version}.0.0\""))
        // Else cargo would build each version in the place of the last one.
        .replace("[lib]\n", &format!("[lib]\nname = \"counter_{version}\"\n"))
        // A path within single quotes has no escapes.
        .replace("\"../../plugin-api\"", &format!("'{}'", api.display()))
}

/// Writes a file. One that is the same is left alone, so that cargo has nothing to do.
fn write(path: &Path, text: &str) -> Result<(), TaskError> {
    if fs::read_to_string(path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
    let written = folder.and_then(|()| fs::write(path, text));
    written.map_err(|error| TaskError::Io("write", path.to_owned(), error))
}

/// The workspace's settings of this profile, as values of `--config`: with others, cargo would build
/// everything anew that the workspace has built.
fn profile_settings(profile: &str) -> Result<Vec<String>, TaskError> {
    let path = cargo::root().join("Cargo.toml");
    let text = fs::read_to_string(&path);
    let text = text.map_err(|error| TaskError::Io("read", path.clone(), error))?;
    let manifest: DocumentMut = text.parse().map_err(|error| {
        TaskError::Refused(format!("cannot take the profiles of {}: {error}", path.display()))
    })?;
    let name = cargo::profile_of(profile);
    let table = manifest.get("profile").and_then(|profiles| profiles.get(name)?.as_table());
    let settings = table.into_iter().flatten().filter_map(|(key, value)| {
        let value = value.as_value()?.clone().decorated("", "");
        Some(format!("profile.{name}.{key}={value}"))
    });
    Ok(settings.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profile_settings_are_those_of_the_workspace() {
        let settings = profile_settings("debug").unwrap();
        assert_eq!(settings, ["profile.dev.debug=\"line-tables-only\""]);
    }

    #[test]
    fn each_manifest_has_its_version() {
        let example = cargo::root().join("examples/counter/Cargo.toml");
        let manifest = of_version(&fs::read_to_string(example).unwrap(), 7);
        assert!(manifest.contains("version = \"7.0.0\""), "{manifest}");
        assert!(manifest.contains("name = \"counter_7\""), "{manifest}");
        assert!(!manifest.contains("../../plugin-api\""), "{manifest}");
    }
}
