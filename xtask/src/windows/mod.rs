//! The tests on Windows, as far as Wine is one.

mod tools;
mod wine;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use self::{
    tools::{Compiler, TARGET},
    wine::Wine,
};
use crate::{TaskError, cargo, install};

/// Tests of what Wine 8 lacks: its pdh.dll ends whoever asks how busy the processors are.
const LEFT_OUT: [&str; 4] = [
    "shipped_plugins::system_tells_about_the_machine",
    "tests::cpu_tells_usage_cores_and_model",
    "processor::tests::a_stale_sample_is_taken_again",
    "processor::tests::usage_looks_again_when_it_is_time",
];

/// How many tests run at once: most of them wait for something.
const AT_ONCE: &str = "6";

/// How long all tests of one program may take, and one test that is run again.
const LONGEST: [Duration; 2] = [Duration::from_secs(1200), Duration::from_secs(240)];

/// What is run.
#[derive(Clone, Debug, clap::Args)]
pub struct Windows {
    /// Build with Debian's compiler, as where rustup cannot add the target.
    #[arg(long)]
    system_compiler: bool,
    /// Only the tests whose names have one of these in them.
    tests: Vec<String>,
}

/// A program of tests.
struct Program {
    path: PathBuf,
    /// Where cargo would start it.
    folder: PathBuf,
}

/// What a program of tests has said.
struct Report {
    passed: usize,
    failed: Vec<String>,
    /// Whether it came to its end.
    complete: bool,
    output: String,
}

/// Builds everything for Windows and runs the tests under Wine. A test that fails is run once more by
/// itself, and what Wine says is its own fault once more: under Wine, starting a process fails now and
/// then.
///
/// # Errors
/// What is missing, what does not build, which tests fail, or that it is Wine that does not work.
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
    let (mut passed, mut failures) = (0, Vec::new());
    for program in &programs {
        let mut arguments = vec!["--test-threads", AT_ONCE];
        arguments.extend(LEFT_OUT.iter().flat_map(|test| ["--skip", test]));
        arguments.extend(windows.tests.iter().map(String::as_str));
        let mut report = program.run(&wine, &arguments, LONGEST[0])?;
        if !report.complete && wine::confession(&report.output).is_some() {
            println!("Wine gave up and is tried once more: {}", report.output);
            wine.restart()?;
            report = program.run(&wine, &arguments, LONGEST[0])?;
        }
        let name = program.path.file_stem().unwrap_or_default().to_string_lossy();
        println!("{name}: {} passed, {} failed", report.passed, report.failed.len());
        passed += report.passed;
        if !report.complete {
            wine.check()?;
            println!("{}", report.output);
            return Err(at_fault(&report.output, format!("{name} did not come to its end; it")));
        }
        for test in &report.failed {
            let mut again = program.run(&wine, &["--exact", test], LONGEST[1])?;
            if wine::confession(&again.output).is_some() {
                wine.restart()?;
                again = program.run(&wine, &["--exact", test], LONGEST[1])?;
            }
            if again.complete && again.passed == 1 {
                println!(
                    "{test} failed among others and passed by itself. At first: {}",
                    report.why(test)
                );
                passed += 1;
            } else {
                failures.push((test.clone(), again.output));
            }
        }
    }
    println!("{passed} tests passed under Wine");
    let Some((_, first)) = failures.first() else {
        if passed == 0 {
            return Err(TaskError::Failed("no test was found; the run of them".into()));
        }
        return Ok(());
    };
    for (test, output) in &failures {
        println!("---- {test}\n{output}");
    }
    wine.check()?;
    let names: Vec<_> = failures.iter().map(|(test, _)| test.as_str()).collect();
    let all_confess = failures.iter().all(|(_, output)| wine::confession(output).is_some());
    let said = format!("under Wine {}", names.join(", "));
    Err(if all_confess { at_fault(first, said) } else { TaskError::Failed(said) })
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
    for package in ["host", "client", "plugin-api", "dropin-tests"] {
        test.args(["--package", package]);
    }
    test.args(install::packages()?);
    let output = test.stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| TaskError::Io("start", "cargo".into(), error))?;
    if !output.status.success() {
        return Err(TaskError::Failed("building the tests for Windows".into()));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    Ok(messages.lines().filter_map(program).collect())
}

/// The program of tests that a message of cargo's tells of.
fn program(message: &str) -> Option<Program> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let path = message.get("executable")?.as_str()?.into();
    let is_test = message.get("profile")?.get("test")?.as_bool()?;
    let manifest = Path::new(message.get("manifest_path")?.as_str()?);
    is_test.then_some(Program { path, folder: manifest.parent()?.to_owned() })
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

impl Program {
    fn run(&self, wine: &Wine, arguments: &[&str], time: Duration) -> Result<Report, TaskError> {
        let ended = wine.run(&self.path, arguments, &self.folder, time)?;
        let outcome =
            |line: &str, end: &str| Some(line.strip_prefix("test ")?.strip_suffix(end)?.to_owned());
        let named = |end: &'static str| {
            ended.output.lines().filter_map(move |line| outcome(line, end)).collect::<Vec<_>>()
        };
        let (passed, failed) = (named(" ... ok").len(), named(" ... FAILED"));
        // One that crashes at its very end has said that all is well.
        let ended_well =
            ended.success == Some(true) || (ended.success.is_some() && !failed.is_empty());
        let complete = ended_well && ended.output.contains("\ntest result: ");
        Ok(Report { passed, failed, complete, output: ended.output })
    }
}

impl Report {
    /// Why a test has failed, in a line.
    fn why(&self, test: &str) -> String {
        let rest = self.output.split_once(&format!("---- {test} stdout ----"));
        let lines = rest.map_or("", |(_, rest)| rest).lines().map(str::trim);
        let said: Vec<_> = lines.filter(|line| !line.is_empty()).take(3).collect();
        said.join(" ")
    }
}

fn at_fault(output: &str, what: String) -> TaskError {
    match wine::confession(output) {
        Some(line) => wine::unsound(&format!("{what} has said: {line}")),
        None => TaskError::Failed(what),
    }
}
