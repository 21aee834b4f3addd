//! Cargo and its build output.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use crate::{
    error::TaskError,
    left_out::{Kept, LeftOut},
    package_variables, tee, workspace,
};
pub use crate::{
    program::succeed,
    workspace::{output, root, target},
};

/// Runs `cargo build`.
pub fn build(arguments: &[&str]) -> Result<(), TaskError> {
    succeed(cargo().arg("build").args(arguments))
}

/// The package that gives every choice of packages the features that the whole workspace has, so that
/// cargo never compiles a shared crate again for another choice.
pub const SAME_FEATURES: [&str; 2] = ["--package", "workspace-hack"];

/// Builds the shipped packages: the host, the client and the plugins.
pub fn build_shipped(profile: &str) -> Result<(), TaskError> {
    build_as_shipped(profile, &[])
}

/// Builds the selected packages beside the shipped ones.
pub fn build_as_shipped(profile: &str, others: &[&str]) -> Result<(), TaskError> {
    let mut arguments = shipped()?;
    arguments.extend(["--profile", profile_of(profile)].map(str::to_owned));
    let arguments = arguments.iter().map(String::as_str);
    build(&arguments.chain(others.iter().copied()).collect::<Vec<_>>())
}

/// Returns the name of the profile that cargo builds in this folder.
pub fn profile_of(folder: &str) -> &str {
    if folder == "debug" { "dev" } else { folder }
}

/// Cargo's arguments that choose what ships.
fn shipped() -> Result<Vec<String>, TaskError> {
    let mut arguments = workspace::shipped_packages()?;
    arguments.extend(["--package", "dropin-host", "--package", "dropin-client"].map(str::to_owned));
    arguments.extend(SAME_FEATURES.map(str::to_owned));
    Ok(arguments)
}

/// Builds host and plugins with the address sanitizer, by the nightly toolchain, and runs their
/// unit tests with it. Returns the folder of the output.
pub fn sanitized() -> Result<PathBuf, TaskError> {
    let mut packages = workspace::shipped_packages()?;
    for package in ["dropin-host", "dropin-plugin-api", "dropin-platform", "dropin-plugin-engine"] {
        packages.extend(["--package".to_owned(), package.to_owned()]);
    }
    let nightly = |arguments: &[&str]| {
        let target = root().join("target").join("asan");
        let mut cargo = toolchain_cargo();
        cargo
            .arg("+nightly")
            .args(arguments)
            .args(["--target", HOST_TARGET, "--config", DEPENDENCIES])
            .args(&packages)
            .env("CARGO_TARGET_DIR", target)
            .env("CARGO_INCREMENTAL", "0")
            .env("RUSTFLAGS", FLAGS);
        succeed(&mut cargo)
    };
    // Both with the same packages, or their dependencies would be built twice.
    nightly(&["test", "--lib"])?;
    nightly(&["build"])?;
    Ok(root().join("target").join("asan").join(HOST_TARGET).join("debug"))
}

/// Runs `cargo deb` on the existing build output. Returns the path of the package.
pub fn deb(folder: &Path) -> Result<PathBuf, TaskError> {
    let package = folder.join("dropin.deb");
    let mut cargo = cargo();
    cargo
        .args(["deb", "--package", "dropin-host", "--no-build", "--strip", "--output"])
        .arg(&package);
    succeed(&mut cargo)?;
    Ok(package)
}

/// Returns cargo in the workspace's folder, by the toolchain that its arguments name.
pub fn toolchain_cargo() -> Command {
    let mut cargo = Command::new("cargo");
    // Else these would select the toolchain that runs this task.
    for variable in ["RUSTUP_TOOLCHAIN", "CARGO", "RUSTC", "RUSTDOC"] {
        cargo.env_remove(variable);
    }
    package_variables::hide(&mut cargo);
    cargo.current_dir(root());
    cargo
}

/// The plugins import the sanitizer's functions from the host, which therefore has to export them.
const FLAGS: &str = "-Zsanitizer=address -Cforce-frame-pointers=yes \
                     -Clink-arg=-Wl,--export-dynamic-symbol=__asan_* \
                     -Clink-arg=-Wl,--export-dynamic-symbol=__sanitizer_*";

/// Reports name lines of the workspace's code; debug information of dependencies would take long to
/// build.
const DEPENDENCIES: &str = "profile.dev.package.'*'.debug=false";

/// Number of tests of a program that run concurrently: most of them wait.
pub const AT_ONCE: &str = "6";

/// The variable that overrides this number.
const THREADS: &str = "RUST_TEST_THREADS";

/// The only target on which the sanitizer is used.
const HOST_TARGET: &str = "x86_64-unknown-linux-gnu";

/// Runs `cargo test` for the whole workspace or the selected tests, with all programs that the
/// tests start already built. Fails too if more tests are left out than allowed.
pub fn test(arguments: &[String]) -> Result<(), TaskError> {
    let kept = Kept::read()?;
    let mut out = LeftOut::default();
    let mut test = cargo();
    test.arg("test").args(arguments).env("DROPIN_TEST_BUILT", "1");
    let ended = tee::succeed(with_test_threads(&mut test), |line| out.read(line));
    println!("{out}");
    ended?;
    // The tests' build script reads the same variable.
    let is_strict = env::var("DROPIN_TEST_ALL").is_ok_and(|value| value == "1");
    kept.judge(&out, is_strict, arguments.is_empty())
}

/// Makes a test program run [`AT_ONCE`] tests concurrently, unless the variable sets a number.
pub fn with_test_threads(test: &mut Command) -> &mut Command {
    if env::var_os(THREADS).is_none() {
        test.env(THREADS, AT_ONCE);
    }
    test
}

/// Runs `cargo test` for the selected tests.
pub fn test_of(arguments: &[&str]) -> Result<(), TaskError> {
    succeed(cargo().arg("test").args(arguments))
}

/// Runs the tests of bad files, each at the start and as the replacement of a good plugin under
/// load.
pub fn bad_files() -> Result<(), TaskError> {
    build(&["--workspace", "--bins", "--lib"])?;
    let table = ["test", "--workspace", "--test", "end_to_end", "reload::bad"];
    succeed(cargo().args(table).env("DROPIN_TEST_BUILT", "1"))
}

/// Becomes the host in the workspace's folder; where the system has no `exec`, waits for the host's
/// end.
pub fn host(profile: &str, arguments: &[String]) -> Result<ExitCode, TaskError> {
    let program = output(profile).join(format!("host{}", env::consts::EXE_SUFFIX));
    let mut command = Command::new(&program);
    command.current_dir(root()).args(host_flags(arguments));
    let failed = |error| TaskError::Io("start", program, error);
    #[cfg(unix)]
    {
        // Then a signal reaches only the host.
        Err(failed(std::os::unix::process::CommandExt::exec(&mut command)))
    }
    #[cfg(not(unix))]
    {
        // Both get the console event; the host ends in order, and this returns its status.
        let heard = ctrlc::set_handler(|| ()).map_err(std::io::Error::other);
        let status = heard.and_then(|()| command.status()).map_err(failed)?;
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
    }
}

/// Returns these flags, or without any the defaults of `cargo xtask run`.
fn host_flags(flags: &[String]) -> Vec<&str> {
    if flags.is_empty() {
        return vec!["--port", "5000", "--plugins", "./plugins"];
    }
    flags.iter().map(String::as_str).collect()
}

/// Returns cargo in the workspace's folder, by the toolchain that runs this task.
pub fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    package_variables::hide(&mut cargo);
    cargo.current_dir(root());
    cargo
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn flags_replace_the_default_flags_of_the_host() {
        assert_eq!(host_flags(&[]), ["--port", "5000", "--plugins", "./plugins"]);
        let flags = ["--port".to_owned(), "5001".to_owned()];
        assert_eq!(host_flags(&flags), ["--port", "5001"]);
    }

    #[test]
    fn every_build_selects_the_same_features() {
        // A line for each crate and set of its features.
        let features = |arguments: &[&str]| -> BTreeSet<String> {
            let mut tree = cargo();
            tree.args(["tree", "--offline", "--locked", "--prefix", "none", "--format", "{p} {f}"]);
            let output = tree.args(arguments).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let text = String::from_utf8(output.stdout).unwrap();
            text.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect()
        };
        let all = features(&["--workspace"]);
        let shipped = shipped().unwrap();
        let shipped: Vec<_> = shipped.iter().map(String::as_str).collect();
        let plugin = [["--package", "text"], SAME_FEATURES].concat();
        for selected in [&shipped[..], &plugin, &["--package", "xtask"]] {
            let own: Vec<_> = features(selected).difference(&all).cloned().collect();
            assert!(
                own.is_empty(),
                "{selected:?}: put what the whole workspace has of these crates into \
                 crates/workspace-hack/Cargo.toml: {own:#?}"
            );
        }
    }

    #[test]
    fn cargo_inherits_no_package_variables() {
        for command in [cargo(), toolchain_cargo()] {
            for variable in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME"] {
                assert!(env::var_os(variable).is_some(), "cargo sets {variable} for a test");
                let removed = command.get_envs().any(|change| change == (variable.as_ref(), None));
                assert!(removed, "{variable}");
            }
        }
    }
}
