//! The content of the package, as far as it can be checked without installing it.

use std::{fs, path::PathBuf, process::Command};

use dropin_tests::{SHIPPED, tool};
use tempfile::tempdir;

use super::host_in;

fn packaging(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join("packaging").join(name)
}

#[test]
fn the_settings_that_are_installed_are_settings() {
    let folder = tempdir().unwrap();
    let text = fs::read_to_string(packaging("host.toml")).unwrap();
    // Lines that are commented out are valid as well.
    let all = text.lines().map(|line| {
        let key = line.strip_prefix("# ").filter(|line| line.contains(" = "));
        format!("{}\n", key.unwrap_or(line))
    });
    for (name, text) in [("as-it-is.toml", text.clone()), ("all.toml", all.collect())] {
        fs::write(folder.path().join(name), text).unwrap();
        let said = host_in(folder.path(), &["config", "--config", name], &[]);
        assert_eq!((said.status, said.stderr.as_str()), (Some(0), ""), "{name}");
        assert!(said.stdout.contains(&format!("# file {name}:")), "{}", said.stdout);
    }
}

#[test]
#[cfg_attr(not(tool = "systemd-analyze"), ignore = "needs systemd-analyze")]
fn the_units_are_units() {
    let folder = tempdir().unwrap();
    for name in ["dropin-host.service", "dropin-host.socket"] {
        let text = fs::read_to_string(packaging(name)).unwrap();
        // The tests run where neither the program nor its manual page is installed.
        let text = text
            .replace(
                "ExecStart=/usr/bin/dropin-host --config /etc/dropin/host.toml",
                "ExecStart=/bin/true",
            )
            .replace("Documentation=man:dropin-host(1)\n", "");
        fs::write(folder.path().join(name), text).unwrap();
    }
    let units = ["dropin-host.service", "dropin-host.socket"].map(|name| folder.path().join(name));
    let verified = tool::run(Command::new("systemd-analyze").arg("verify").args(&units), b"");
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    assert!(verified.status.success() && !said.contains("dropin-host"), "{said}");
    let mut security = Command::new("systemd-analyze");
    let security = security.args(["security", "--offline=true", "--threshold=20"]).arg(&units[0]);
    let judged = tool::run(security, b"");
    let said = String::from_utf8_lossy(&judged.stdout).into_owned();
    assert!(judged.status.success(), "it is more exposed than 2.0: {said}");
}

#[test]
fn unit_retries_failures_but_not_statuses_for_people() {
    let unit = fs::read_to_string(packaging("dropin-host.service")).unwrap();
    let values = |key: &str| -> Vec<&str> {
        unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
    };
    // Status 0 is `ks`, 2 is wrong settings, 4 a state that was not saved.
    assert_eq!(values("Restart"), ["on-failure"]);
    assert_eq!(values("RestartPreventExitStatus"), ["2 4"]);
    assert!(values("SuccessExitStatus").is_empty() && values("RestartForceExitStatus").is_empty());
}

#[test]
fn package_and_image_contain_all_shipped_files() {
    let host = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../host");
    let manifest = fs::read_to_string(host.join("Cargo.toml")).unwrap();
    let (_, package) = manifest.split_once("[package.metadata.deb]").unwrap();
    let image = fs::read_to_string(packaging("Dockerfile")).unwrap();
    for plugin in SHIPPED {
        let library = format!("target/release/lib{plugin}.so");
        assert!(
            package.contains(&format!("[\"{library}\", \"usr/lib/dropin/plugins/\"")),
            "{plugin}"
        );
        assert!(image.contains(&format!("/build/{library} ")), "{plugin}");
        assert!(image.contains(&format!("--package {plugin}")), "{plugin}");
    }
    // Files that are not built must exist in the checkout.
    let sources =
        package.lines().filter_map(|line| line.trim().strip_prefix("[\"../")?.split('"').next());
    let sources: Vec<_> = sources.filter(|source| !source.starts_with("target/")).collect();
    assert!(sources.len() >= 2, "{sources:?}");
    for source in sources {
        let folder = source.strip_suffix("/*.md").unwrap_or(source);
        assert!(host.join("..").join(folder).exists(), "{source}");
    }
}

#[test]
fn the_images_variables_are_settings() {
    let image = fs::read_to_string(packaging("Dockerfile")).unwrap();
    let words = image.split_whitespace().filter_map(|word| word.split_once('='));
    let variables: Vec<_> = words.filter(|(name, _)| name.starts_with("DROPIN_")).collect();
    assert_eq!(variables.len(), 3, "{variables:?}");
    let folder = tempdir().unwrap();
    let said = host_in(folder.path(), &["config"], &variables);
    assert_eq!((said.status, said.stderr.as_str()), (Some(0), ""));
    for (name, _) in variables {
        assert!(said.stdout.contains(&format!("# environment {name}\n")), "{}", said.stdout);
    }
}
