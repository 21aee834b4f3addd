//! Cargo and what it builds.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, ExitCode, ExitStatus},
};

use crate::{
    TaskError, install,
    left_out::{Kept, LeftOut},
    tee,
};

/// The workspace's folder.
pub fn root() -> PathBuf {
    // Cargo's word at run time: the checkout may have been moved since it was built.
    let package = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package.parent().map(PathBuf::from).unwrap_or(package)
}

/// The folder of everything that cargo builds.
pub fn target() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    root().join(target)
}

/// Where cargo puts what it builds in this profile.
pub fn output(profile: &str) -> PathBuf {
    target().join(profile)
}

/// `cargo build`.
pub fn build(arguments: &[&str]) -> Result<(), TaskError> {
    succeed(cargo().arg("build").args(arguments))
}

/// The package that gives every choice of packages the features that the whole workspace has, so that
/// cargo never compiles a shared crate again for another choice.
pub const SAME_FEATURES: [&str; 2] = ["--package", "workspace-hack"];

/// Builds what ships: the host, the client and the plugins.
pub fn build_shipped(profile: &str) -> Result<(), TaskError> {
    build_as_shipped(profile, &[])
}

/// Builds what these arguments choose beside what ships.
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
    let mut arguments = install::packages()?;
    arguments.extend(["--package", "dropin-host", "--package", "dropin-client"].map(str::to_owned));
    arguments.extend(SAME_FEATURES.map(str::to_owned));
    Ok(arguments)
}

/// Builds host and plugins with the address sanitizer, by the nightly toolchain, and runs their
/// unit tests with it. Gives the folder of what is built.
pub fn sanitized() -> Result<PathBuf, TaskError> {
    let mut packages = install::packages()?;
    for package in ["dropin-host", "dropin-plugin-api", "dropin-platform", "dropin-plugin-engine"] {
        packages.extend(["--package".to_owned(), package.to_owned()]);
    }
    let nightly = |arguments: &[&str]| {
        let target = root().join("target").join("asan");
        let mut cargo = of_its_own();
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
    // Both with the same packages, or what these depend on would be built twice.
    nightly(&["test", "--lib"])?;
    nightly(&["build"])?;
    Ok(root().join("target").join("asan").join(HOST_TARGET).join("debug"))
}

/// `cargo deb` of what is already built; returns where the package is.
pub fn deb(folder: &Path) -> Result<PathBuf, TaskError> {
    let package = folder.join("dropin.deb");
    let mut cargo = cargo();
    cargo
        .args(["deb", "--package", "dropin-host", "--no-build", "--strip", "--output"])
        .arg(&package);
    succeed(&mut cargo)?;
    Ok(package)
}

/// Cargo in the workspace's folder, by whichever toolchain its arguments name.
pub fn of_its_own() -> Command {
    let mut cargo = Command::new("cargo");
    // Else the toolchain that runs this task would be meant.
    for variable in ["RUSTUP_TOOLCHAIN", "CARGO", "RUSTC", "RUSTDOC"] {
        cargo.env_remove(variable);
    }
    hide_package(&mut cargo);
    cargo.current_dir(root());
    cargo
}

/// Removes from a command's environment the variables that name the package of this task.
///
/// The build script of ring reads some of them. Else it runs again, and all that uses ring is built
/// again, whenever cargo is started by a task after it was started by a shell, or the other way.
fn hide_package(cargo: &mut Command) {
    for (variable, _) in env::vars_os() {
        let name = variable.to_string_lossy();
        let prefixed = name.starts_with("CARGO_MANIFEST_") || name.starts_with("CARGO_PKG_");
        // Tests have one, and start tasks.
        if prefixed || name == "OUT_DIR" {
            cargo.env_remove(&variable);
        }
    }
}

/// The plugins take the sanitizer's functions from the host, which has to export them for that.
const FLAGS: &str = "-Zsanitizer=address -Cforce-frame-pointers=yes \
                     -Clink-arg=-Wl,--export-dynamic-symbol=__asan_* \
                     -Clink-arg=-Wl,--export-dynamic-symbol=__sanitizer_*";

/// The lines of code that a report names are the workspace's; those of dependencies take long.
const DEPENDENCIES: &str = "profile.dev.package.'*'.debug=false";

/// How many tests of a program run at once: most of them wait for something.
pub const AT_ONCE: &str = "6";

/// The variable by which that is chosen otherwise.
const THREADS: &str = "RUST_TEST_THREADS";

/// The one target that the sanitizer is run on.
const HOST_TARGET: &str = "x86_64-unknown-linux-gnu";

/// `cargo test` of the whole workspace or of what these arguments choose, with everything that the
/// tests start already built. Fails, too, where more tests are left out than may be.
pub fn test(arguments: &[String]) -> Result<(), TaskError> {
    let kept = Kept::read()?;
    let mut out = LeftOut::default();
    let mut test = cargo();
    test.arg("test").args(arguments).env("DROPIN_TEST_BUILT", "1");
    let ended = tee::succeed(with_test_threads(&mut test), |line| out.read(line));
    println!("{out}");
    ended?;
    // What the tests' build script goes by.
    let is_strict = env::var("DROPIN_TEST_ALL").is_ok_and(|value| value == "1");
    kept.judge(&out, is_strict, arguments.is_empty())
}

/// Has a program of tests run [`AT_ONCE`] of them, unless the variable says otherwise.
pub fn with_test_threads(test: &mut Command) -> &mut Command {
    if env::var_os(THREADS).is_none() {
        test.env(THREADS, AT_ONCE);
    }
    test
}

/// `cargo test` of what these arguments choose.
pub fn test_of(arguments: &[&str]) -> Result<(), TaskError> {
    succeed(cargo().arg("test").args(arguments))
}

/// The table of bad files, each at start and in place of a good plugin under load.
pub fn bad_files() -> Result<(), TaskError> {
    build(&["--workspace", "--bins", "--lib"])?;
    let table = ["test", "--workspace", "--test", "end_to_end", "reload::bad"];
    succeed(cargo().args(table).env("DROPIN_TEST_BUILT", "1"))
}

/// Becomes the host, or where the system cannot do that waits for its end, in the workspace's
/// folder.
pub fn host(profile: &str, arguments: &[String]) -> Result<ExitCode, TaskError> {
    let program = output(profile).join(format!("host{}", env::consts::EXE_SUFFIX));
    let mut command = Command::new(&program);
    command.current_dir(root()).args(host_flags(arguments));
    let failed = |error| TaskError::Io("start", program, error);
    #[cfg(unix)]
    {
        // So that a signal reaches the host and nobody else.
        Err(failed(std::os::unix::process::CommandExt::exec(&mut command)))
    }
    #[cfg(not(unix))]
    {
        // Both are told; the host ends in order, and this tells with which status.
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

/// Cargo in the workspace's folder, by the toolchain that runs this task.
pub fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    hide_package(&mut cargo);
    cargo.current_dir(root());
    cargo
}

/// Runs a program, which must succeed.
pub fn succeed(command: &mut Command) -> Result<(), TaskError> {
    let status = command.status();
    let status = status.map_err(|error| TaskError::Io("start", program(command), error))?;
    check(command, status)
}

/// Fails where the program of this command has not succeeded.
pub fn check(command: &Command, status: ExitStatus) -> Result<(), TaskError> {
    if status.success() {
        return Ok(());
    }
    let name = program(command).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let arguments: Vec<_> = command.get_args().map(|part| part.to_string_lossy()).collect();
    Err(TaskError::Failed(format!("{name} {}", arguments.join(" "))))
}

/// The program of a command.
pub fn program(command: &Command) -> PathBuf {
    PathBuf::from(command.get_program())
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
    fn cargo_is_not_given_the_package_of_this_task() {
        for command in [cargo(), of_its_own()] {
            for variable in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME"] {
                assert!(env::var_os(variable).is_some(), "cargo sets {variable} for a test");
                let removed = command.get_envs().any(|change| change == (variable.as_ref(), None));
                assert!(removed, "{variable}");
            }
        }
    }
}
