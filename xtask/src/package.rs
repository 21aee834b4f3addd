//! The packages that are published, as a registry would get them.

use serde_json::Value;

use crate::{cargo, error::TaskError, program};

/// Packages those that may be published; builds each from its own files where it is to be verified.
///
/// # Errors
/// Something is missing in a package, or it does not build on its own.
pub fn run(verify: bool) -> Result<(), TaskError> {
    let mut package = cargo::cargo();
    package.args(["package", "--locked", "--quiet"]);
    // The work in progress is what is checked.
    package.arg("--allow-dirty");
    if !verify {
        package.arg("--no-verify");
    }
    for name in published()? {
        package.args(["--package", &name]);
    }
    program::succeed(&mut package)
}

/// Returns the names of the workspace's packages that may be published.
fn published() -> Result<Vec<String>, TaskError> {
    let failed = |why: String| TaskError::Failed(format!("cargo metadata: {why}"));
    let mut metadata = cargo::cargo();
    metadata.args(["metadata", "--no-deps", "--format-version", "1", "--locked"]);
    let output = metadata.output().map_err(|error| failed(error.to_string()))?;
    let metadata: Value =
        serde_json::from_slice(&output.stdout).map_err(|error| failed(error.to_string()))?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    // Null: everywhere. An empty list: nowhere.
    let names =
        packages.filter(|package| package["publish"].is_null()).map(|package| &package["name"]);
    Ok(names.filter_map(Value::as_str).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::workspace;

    #[test]
    fn published_packages_carry_licenses_and_metadata() {
        let published = published().unwrap();
        assert!(published.iter().any(|name| name == "dropin-plugin-api"), "{published:?}");
        for name in published {
            let mut list = cargo::cargo();
            list.args(["package", "--offline", "--allow-dirty", "--list", "--package", &name]);
            let output = list.output().unwrap();
            let files = String::from_utf8(output.stdout).unwrap();
            for file in ["LICENSE-APACHE", "LICENSE-MIT", "README.md"] {
                assert!(files.lines().any(|line| line == file), "{name}: {file}");
            }
            let warnings = String::from_utf8(output.stderr).unwrap();
            assert!(!warnings.contains("manifest has no"), "{name}: {warnings}");
        }
        let license = fs::read_to_string(workspace::root().join("plugin-api/LICENSE-MIT")).unwrap();
        assert!(license.contains("Permission is hereby granted"), "a copy and no path");
    }
}
