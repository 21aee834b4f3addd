//! The tests on Windows, as far as Wine provides it.

mod program;
mod repetition;
mod tools;
mod wine;

use std::{fs, path::Path, process::Stdio, time::Duration};

use self::{
    program::Program,
    repetition::{Decision, MOST},
    tools::{Compiler, TARGET},
    wine::Wine,
};
use crate::{
    cargo,
    error::TaskError,
    left_out::{self, Kept, LeftOut, Numbers},
    workspace,
};

/// Tests that Wine 8 cannot run: its pdh.dll ends a process that asks for the processor's usage.
const LEFT_OUT: [&str; 4] = [
    "shipped_plugins::system_tells_about_the_machine",
    "tests::cpu_tells_usage_cores_and_model",
    "processor::tests::a_stale_sample_is_taken_again",
    "processor::tests::usage_looks_again_when_it_is_time",
];

/// Their reason in tests/left-out.toml.
const SKIPPED: &str = "ends under Wine";

/// Time limits for all tests of one program, and for one test that is repeated.
const LONGEST: [Duration; 2] = [Duration::from_secs(1200), Duration::from_secs(240)];

/// The options of the run under Wine.
#[derive(Clone, Debug, clap::Args)]
pub struct Windows {
    /// Build with Debian's compiler, as on a machine where rustup cannot add the target.
    #[arg(long)]
    system_compiler: bool,
    /// Record the numbers of tests that ran and that were left out, unchecked.
    #[arg(long, conflicts_with = "tests")]
    bless: bool,
    /// Run only the tests whose names contain one of these.
    tests: Vec<String>,
}

/// Builds everything for Windows and runs the tests under Wine. A failed test is repeated once by
/// itself if its output shows that Wine is at fault, at most three in a run: under Wine, starting a
/// process fails now and then.
///
/// # Errors
/// A tool is missing, a build fails, tests fail or are left out, or Wine itself does not work.
pub fn run(windows: &Windows) -> Result<(), TaskError> {
    let compiler = tools::find(windows.system_compiler)?;
    // Either compiler would make the other rebuild everything.
    let name = if compiler == Compiler::Own { "windows" } else { "windows-system" };
    let target = cargo::root().join("target").join(name);
    let programs = build(compiler, &target)?;
    let built = target.join(TARGET).join("debug");
    let compile = supply(&target, &built)?;
    // These variables belong to tests/src/built.rs and tests/src/files.rs.
    let environment = vec![("DROPIN_TEST_BUILT", "1".to_owned()), ("DROPIN_TEST_CC", compile)];
    let wine = Wine::set_up(&target.join("wine"), environment)?;
    let kept = Kept::read()?;
    let (mut out, mut ran) = (LeftOut::default(), Numbers::new());
    let (mut passed, mut repeated, mut failures) = (0, 0, Vec::new());
    for program in &programs {
        let mut arguments = vec!["--test-threads", cargo::AT_ONCE];
        arguments.extend(LEFT_OUT.iter().flat_map(|test| ["--skip", test]));
        arguments.extend(windows.tests.iter().map(String::as_str));
        let mut report = program.run(&wine, &arguments, LONGEST[0])?;
        let name = &program.name;
        if !report.complete && is_repeated(name, &report.output, &mut repeated) {
            wine.restart()?;
            report = program.run(&wine, &arguments, LONGEST[0])?;
        }
        println!("{name}: {} passed, {} failed", report.passed, report.failed.len());
        passed += report.passed;
        if !report.complete {
            wine.check()?;
            println!("{}", report.output);
            return Err(error_of(&report.output, format!("{name} did not run to its end; it")));
        }
        report.output.lines().for_each(|line| out.read(line));
        ran.insert(name.clone(), report.passed + report.failed.len());
        for test in &report.failed {
            let mut output = report.output_of(test);
            if is_repeated(test, &output, &mut repeated) {
                wine.restart()?;
                let again = program.run(&wine, &["--exact", test], LONGEST[1])?;
                if again.complete && again.passed == 1 {
                    passed += 1;
                    continue;
                }
                output = again.output;
            }
            failures.push((test.clone(), output));
        }
    }
    println!("{passed} tests passed under Wine, {repeated} of them or of their programs repeated");
    if !failures.is_empty() {
        wine.check()?;
        return Err(failed(&failures));
    }
    if passed == 0 {
        return Err(TaskError::Failed("no test was found; the run of them".into()));
    }
    let is_whole = windows.tests.is_empty();
    if is_whole {
        out.count_filtered(SKIPPED);
    }
    println!("{out}");
    match (is_whole, windows.bless) {
        (true, true) => left_out::keep_wine(&out, &ran),
        (true, false) => kept.judge_wine(&out, &ran),
        (false, _) => kept.judge_part_of_wine(&out),
    }
}

/// Returns whether a failure is repeated, and prints why.
fn is_repeated(what: &str, output: &str, repeated: &mut usize) -> bool {
    match repetition::decide(output, *repeated) {
        Decision::Repeat(reason) => {
            *repeated += 1;
            println!("{what} is repeated ({repeated} of {MOST}), since Wine printed: {reason}");
            true
        }
        Decision::TooMany(reason) => {
            println!("{what} is not repeated, since {MOST} were; Wine printed: {reason}");
            false
        }
        Decision::Fail => false,
    }
}

/// Prints the failures, and returns their error: a fault of Wine if it is at fault for all of them.
fn failed(failures: &[(String, String)]) -> TaskError {
    for (test, output) in failures {
        println!("---- {test}\n{output}");
    }
    let names: Vec<_> = failures.iter().map(|(test, _)| test.as_str()).collect();
    let said = format!("under Wine {}", names.join(", "));
    let all_at_fault = failures.iter().all(|(_, output)| wine::fault_line(output).is_some());
    match failures.first() {
        Some((_, first)) if all_at_fault => error_of(first, said),
        _ => TaskError::Failed(said),
    }
}

/// Builds the shipped programs, the programs that the tests start, and the tests.
fn build(compiler: Compiler, target: &Path) -> Result<Vec<Program>, TaskError> {
    let mut build = compiler.cargo("build", target);
    build.args(["--workspace", "--bins", "--lib"]);
    for package in ["xtask", "boundary", "bench-plugin"] {
        build.args(["--exclude", package]);
    }
    cargo::succeed(&mut build)?;
    let mut test = compiler.cargo("test", target);
    test.args(["--no-run", "--message-format", "json-render-diagnostics"]);
    for package in ["dropin-host", "dropin-client", "dropin-plugin-api", "dropin-tests"] {
        test.args(["--package", package]);
    }
    for package in
        ["auth", "journal", "platform", "plugin-engine", "program", "protocol", "telemetry"]
    {
        test.arg(format!("--package=dropin-{package}"));
    }
    test.args(workspace::shipped_packages()?);
    let output = test.stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| TaskError::Io("start", "cargo".into(), error))?;
    if !output.status.success() {
        return Err(TaskError::Failed("building the tests for Windows".into()));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    Ok(messages.lines().filter_map(Program::of).collect())
}

/// Adds libraries that Wine lacks to the build output. Returns the tests' C compiler, by its path
/// under Wine.
fn supply(target: &Path, built: &Path) -> Result<String, TaskError> {
    let write = |path: &Path, text: &str| {
        fs::write(path, text).map_err(|error| TaskError::Io("write", path.to_owned(), error))
    };
    let (source, compile) = (target.join("prng.c"), target.join("cc.sh"));
    write(&source, include_str!("prng.c"))?;
    write(&compile, include_str!("cc.sh"))?;
    #[cfg(unix)]
    fs::set_permissions(&compile, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .map_err(|error| TaskError::Io("make a program of", compile.clone(), error))?;
    for folder in [built.to_owned(), built.join("deps")] {
        let mut gcc = std::process::Command::new("x86_64-w64-mingw32-gcc");
        gcc.arg("-shared").arg("-o").arg(folder.join("bcryptprimitives.dll")).arg(&source);
        cargo::succeed(gcc.arg("-ladvapi32"))?;
    }
    Ok(wine::path(&compile))
}

fn error_of(output: &str, what: String) -> TaskError {
    match wine::fault_line(output) {
        Some(line) => wine::fault_error(&format!("{what} printed: {line}")),
        None => TaskError::Failed(what),
    }
}
