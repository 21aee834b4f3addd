//! The quick loop of a developer: formatting, lints and unit tests.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use toml_edit::DocumentMut;

use crate::{cargo, error::TaskError};

/// The workspaces beside the main one. Only their formatting is checked: each needs other tools.
const OTHER_WORKSPACES: [&str; 4] = ["bench", "fuzz", "loom", "examples/counter"];

/// The lints, as cargo's arguments.
const LINTS: [&str; 7] =
    ["clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--", "-Dwarnings"];

/// The unit tests, as cargo's arguments; the end-to-end tests are not among them.
const UNIT_TESTS: [&str; 6] = ["test", "--workspace", "--lib", "--bins", "--locked", "--quiet"];

/// Runs the steps, and stops at the first one that fails.
///
/// # Errors
/// A step has failed.
pub fn run() -> Result<(), TaskError> {
    let mut times = Vec::new();
    let mut step = |name: &'static str, act: &dyn Fn() -> Result<(), TaskError>| {
        println!("check: {name}");
        let started = Instant::now();
        act().map(|()| times.push((name, started.elapsed())))
    };
    step("formatting", &formatting)?;
    step("lints", &|| cargo::succeed(cargo::cargo().args(LINTS)))?;
    step("unit tests", &unit_tests)?;
    println!("check: {}", summary(&times));
    Ok(())
}

fn formatting() -> Result<(), TaskError> {
    let format = |command: &mut Command| cargo::succeed(command.args(["--all", "--check"]));
    format(cargo::cargo().arg("fmt"))?;
    OTHER_WORKSPACES.iter().try_for_each(|workspace| {
        let manifest = cargo::root().join(workspace).join("Cargo.toml");
        format(cargo::cargo().args(["fmt", "--manifest-path"]).arg(manifest))
    })
}

fn unit_tests() -> Result<(), TaskError> {
    let mut test = cargo::cargo();
    test.args(UNIT_TESTS);
    // They have no unit tests, and `--lib` starts them all the same: one aborts at its end.
    fixtures()?.iter().for_each(|name| _ = test.args(["--exclude", name]));
    cargo::succeed(cargo::with_test_threads(&mut test))
}

/// The names of the packages in `tests/fixtures`, which are those of their folders.
fn fixtures() -> Result<Vec<String>, TaskError> {
    let path = cargo::root().join("Cargo.toml");
    let text = fs::read_to_string(&path);
    let text = text.map_err(|error| TaskError::Io("read", path.clone(), error))?;
    let manifest: DocumentMut = text.parse().map_err(|error| {
        TaskError::Refused(format!("cannot take the members of {}: {error}", path.display()))
    })?;
    let workspace = manifest.get("workspace").and_then(|workspace| workspace.get("members"));
    let members = workspace.and_then(|members| members.as_array()).into_iter().flatten();
    let names = members.filter_map(|member| member.as_str()?.strip_prefix("tests/fixtures/"));
    Ok(names.map(str::to_owned).collect())
}

/// Says how long each step took.
fn summary(times: &[(&str, Duration)]) -> String {
    let steps: Vec<_> =
        times.iter().map(|(name, time)| format!("{name} {:.1} s", time.as_secs_f64())).collect();
    let total: Duration = times.iter().map(|(_, time)| *time).sum();
    format!("all passed in {:.1} s ({})", total.as_secs_f64(), steps.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fixture_is_found() {
        let found = fixtures().unwrap();
        assert!(found.iter().any(|name| name == "last-act"), "{found:?}");
        assert!(found.iter().all(|name| !name.contains('/')), "{found:?}");
    }

    #[test]
    fn summary_names_each_step_and_its_time() {
        let times = [("formatting", Duration::from_millis(500)), ("lints", Duration::from_secs(2))];
        assert_eq!(summary(&times), "all passed in 2.5 s (formatting 0.5 s, lints 2.0 s)");
    }
}
