//! The tests on Windows, as far as Wine is one.

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
    TaskError, cargo, install,
    left_out::{self, Kept, LeftOut, Numbers},
};

/// Tests of what Wine 8 lacks: its pdh.dll ends whoever asks how busy the processors are.
const LEFT_OUT: [&str; 4] = [
    "shipped_plugins::system_tells_about_the_machine",
    "tests::cpu_tells_usage_cores_and_model",
    "processor::tests::a_stale_sample_is_taken_again",
    "processor::tests::usage_looks_again_when_it_is_time",
];

/// The reason of these, in tests/left-out.toml.
const SKIPPED: &str = "ends under Wine";

/// How long all tests of one program may take, and one test that is run again.
const LONGEST: [Duration; 2] = [Duration::from_secs(1200), Duration::from_secs(240)];

/// What is run.
#[derive(Clone, Debug, clap::Args)]
pub struct Windows {
    /// Build with Debian's compiler, as where rustup cannot add the target.
    #[arg(long)]
    system_compiler: bool,
    /// Keep the numbers of tests that ran and that were left out, whatever they are.
    #[arg(long, conflicts_with = "tests")]
    bless: bool,
    /// Only the tests whose names have one of these in them.
    tests: Vec<String>,
}

/// Builds everything for Windows and runs the tests under Wine. A test that fails is run once more
/// by itself where its output has Wine's own word that it is Wine's fault, and at most three are:
/// under Wine, starting a process fails now and then.
///
/// # Errors
/// What is missing, what does not build, which tests fail or are left out, or that it is Wine that
/// does not work.
pub fn run(windows: &Windows) -> Result<(), TaskError> {
    let compiler = tools::find(windows.system_compiler)?;
    // Either compiler would make the other build everything again.
    let name = if compiler == Compiler::Own { "windows" } else { "windows-system" };
    let target = cargo::root().join("target").join(name);
    let programs = build(compiler, &target)?;
    let built = target.join(TARGET).join("debug");
    let compile = supply(&target, &built)?;
    // The tests' own words for it, in tests/src/built.rs and tests/src/files.rs.
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
        if !report.complete && may_repeat(name, &report.output, &mut repeated) {
            wine.restart()?;
            report = program.run(&wine, &arguments, LONGEST[0])?;
        }
        println!("{name}: {} passed, {} failed", report.passed, report.failed.len());
        passed += report.passed;
        if !report.complete {
            wine.check()?;
            println!("{}", report.output);
            return Err(at_fault(&report.output, format!("{name} did not come to its end; it")));
        }
        report.output.lines().for_each(|line| out.read(line));
        ran.insert(name.clone(), report.passed + report.failed.len());
        for test in &report.failed {
            let mut output = report.said(test);
            if may_repeat(test, &output, &mut repeated) {
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

/// Whether something that failed is run once more; says so, and why.
fn may_repeat(what: &str, output: &str, repeated: &mut usize) -> bool {
    match repetition::decide(output, *repeated) {
        Decision::Repeat(reason) => {
            *repeated += 1;
            println!("{what} is repeated ({repeated} of {MOST}), since Wine has said: {reason}");
            true
        }
        Decision::TooMany(reason) => {
            println!("{what} is not repeated, since {MOST} were; Wine has said: {reason}");
            false
        }
        Decision::Fail => false,
    }
}

/// Shows what failed, and says whether it is all Wine's fault.
fn failed(failures: &[(String, String)]) -> TaskError {
    for (test, output) in failures {
        println!("---- {test}\n{output}");
    }
    let names: Vec<_> = failures.iter().map(|(test, _)| test.as_str()).collect();
    let said = format!("under Wine {}", names.join(", "));
    let all_confess = failures.iter().all(|(_, output)| wine::confession(output).is_some());
    match failures.first() {
        Some((_, first)) if all_confess => at_fault(first, said),
        _ => TaskError::Failed(said),
    }
}

/// Builds what ships, what the tests start, and the tests.
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
    for package in ["auth", "platform", "plugin-engine", "program", "protocol", "telemetry"] {
        test.arg(format!("--package=dropin-{package}"));
    }
    test.args(install::packages()?);
    let output = test.stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| TaskError::Io("start", "cargo".into(), error))?;
    if !output.status.success() {
        return Err(TaskError::Failed("building the tests for Windows".into()));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    Ok(messages.lines().filter_map(Program::of).collect())
}

/// Puts what Wine lacks beside what was built. Returns what compiles C for the tests, as Wine calls
/// it.
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

fn at_fault(output: &str, what: String) -> TaskError {
    match wine::confession(output) {
        Some(line) => wine::unsound(&format!("{what} has said: {line}")),
        None => TaskError::Failed(what),
    }
}
