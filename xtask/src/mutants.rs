//! Mutation testing: checks that a test fails when the code is changed.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::{cargo, error::TaskError};

/// The command that installs `cargo mutants`.
const INSTALL: &str = "cargo install cargo-mutants --locked";

/// Time limits for the build of a mutant, its unit tests and its end-to-end tests, in seconds. The
/// last includes a build of the host. A mutant whose tests take longer counts as caught.
const LIMITS: [&str; 3] = ["600", "180", "600"];

/// Arguments for the unit tests, of the whole workspace, so that everything is built as for `cargo
/// xtask test`. With `--lib` cargo would start even the fixture whose program aborts at its end.
const UNIT_TESTS: [&str; 3] = ["--workspace", "--lib", "--exclude=last-act"];

/// The end-to-end tests that cover a file. The first prefix of the file's path decides.
const COVERED_BY: [(&str, &[&str]); 3] = [
    ("host/src/net", &["access::tls::", "floods::", "limits::", "sessions::", "vanishing::"]),
    (
        "host/src/session",
        &["access::", "command_watch::", "floods::", "limits::", "lines::", "sessions::"],
    ),
    ("", &["builtins::", "reload::", "sessions::", "shutdown::"]),
];

const END_TO_END: &str = "--test=end_to_end";

/// The commit before the last; for a merge, the branch that was merged into.
const PARENT: &str = "HEAD~1";

/// The selection of mutants.
#[derive(Clone, Debug, clap::Args)]
pub struct Mutants {
    /// Mutate only the differences from this commit; from the one before the last if none is named.
    #[arg(long, value_name = "BASE", num_args = 0..=1, default_missing_value = PARENT)]
    pub changed: Option<String>,
    /// Stop after this many seconds. The remaining mutants are counted.
    #[arg(long, value_name = "N")]
    pub seconds: Option<u64>,
    /// Skip the end-to-end tests on the unchanged code, which are known to pass.
    #[arg(long)]
    pub tested: bool,
    /// Arguments for `cargo mutants`, after `--`. `--re PATH` selects one file; `--file` adds to
    /// the files of `.cargo/mutants.toml`.
    #[arg(last = true)]
    pub cargo: Vec<String>,
}

/// The names of mutants, by outcome.
#[derive(Debug, Default)]
struct Outcomes {
    caught: Vec<String>,
    lives: Vec<String>,
    unviable: Vec<String>,
    not_run: usize,
}

/// Mutates the files that `.cargo/mutants.toml` names, in place. Runs the unit tests on each
/// mutant, and the end-to-end tests that cover the file on those that survive.
///
/// # Errors
/// A mutant survives, the tests fail on the unchanged code, or a program is missing.
pub fn run(mutants: &Mutants) -> Result<(), TaskError> {
    let answer = cargo::cargo().args(["mutants", "--version"]).output();
    if !answer.is_ok_and(|answer| answer.status.success()) {
        return Err(TaskError::Missing("`cargo mutants`".into(), INSTALL));
    }
    let folder = cargo::target().join("mutants");
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("remove", &folder)(error));
        }
        _ => fs::create_dir_all(&folder).map_err(failed("create", &folder))?,
    }
    let end = mutants.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let [_, unit, end_to_end] = LIMITS;
    let mut round = program(&folder.join("unit"), unit, &UNIT_TESTS[1..]);
    round.args(&mutants.cargo);
    if let Some(base) = &mutants.changed {
        let Some(changes) = changes(base, &folder)? else {
            println!("mutants: there is no commit {base} to compare with");
            return Ok(());
        };
        round.arg("--in-diff").arg(changes);
    }
    // Tests that always fail would seem to catch every mutant.
    cargo::test_of(&[&["--quiet"], &UNIT_TESTS[..]].concat())?;
    let mut outcomes = outcomes(&mut round, &folder.join("unit"), end)?;
    let mut survivors: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for name in std::mem::take(&mut outcomes.lives) {
        survivors.entry(covered_by(&name)).or_default().push(name);
    }
    for (number, (tests, names)) in survivors.into_iter().enumerate() {
        let folder = folder.join(format!("end-to-end-{number}"));
        if !mutants.tested {
            cargo::test_of(&[&["--quiet", "--workspace", END_TO_END, "--"], tests].concat())?;
        }
        let mut round = program(&folder, end_to_end, &[END_TO_END]);
        round.arg("--no-config").args(names.iter().map(|name| format!("--re=^{}$", escaped(name))));
        // `--re` does not select mutants that remove a field.
        let files = names.iter().filter_map(|name| name.split(':').next());
        round.args(files.map(|file| format!("--file={file}")));
        round.args(["--", "--"]).args(tests);
        outcomes.add(self::outcomes(&mut round, &folder, end)?.only(&names));
    }
    outcomes.judge()
}

impl Outcomes {
    /// Returns the outcomes of these mutants only.
    fn only(mut self, names: &[String]) -> Self {
        for some in [&mut self.caught, &mut self.lives, &mut self.unviable] {
            some.retain(|name| names.contains(name));
        }
        self.not_run = names.len().saturating_sub(self.run());
        self
    }

    fn add(&mut self, other: Self) {
        self.caught.extend(other.caught);
        self.lives.extend(other.lives);
        self.unviable.extend(other.unviable);
        self.not_run += other.not_run;
    }

    fn run(&self) -> usize {
        self.caught.len() + self.lives.len() + self.unviable.len()
    }

    fn judge(&self) -> Result<(), TaskError> {
        let (caught, viable) = (self.caught.len(), self.caught.len() + self.lives.len());
        let share = caught as f64 / viable.max(1) as f64 * 100.0;
        for name in &self.lives {
            println!("lives: {name}");
        }
        match viable {
            0 => print!("mutants: none was run"),
            _ => print!("mutants: caught {caught} of {viable} viable ({share:.1} %)"),
        }
        let unviable = self.unviable.len();
        println!(", {unviable} do not compile, {} not run for lack of time", self.not_run);
        if self.lives.is_empty() {
            return Ok(());
        }
        Err(TaskError::Refused(format!(
            "{} mutants live: write a test that fails on each, or say in .cargo/mutants.toml why it \
             may live",
            self.lives.len()
        )))
    }
}

/// Returns `cargo mutants` in the checkout itself, where everything is built already, with these
/// tests.
fn program(output: &Path, limit: &str, tests: &[&str]) -> Command {
    let mut program = cargo::cargo();
    program.args(["mutants", "--in-place", "--colors=never", "--baseline=skip"]);
    program.args(["--timeout", limit, "--build-timeout", LIMITS[0], "--test-workspace=true"]);
    program.args(tests.iter().map(|test| format!("--cargo-arg={test}")));
    program.arg("--output").arg(output);
    // The end-to-end tests have to build each mutant.
    program.env_remove("DROPIN_TEST_BUILT");
    program
}

/// Runs `cargo mutants`, and stops it at the time limit.
fn outcomes(
    program: &mut Command,
    output: &Path,
    end: Option<Instant>,
) -> Result<Outcomes, TaskError> {
    if end.is_some_and(|end| Instant::now() >= end) {
        return Ok(Outcomes::default());
    }
    fs::create_dir_all(output).map_err(failed("create", output))?;
    let output = output.join("mutants.out");
    let mut child = program.spawn().map_err(failed("start", Path::new("cargo")))?;
    let (mut stopped, wait) = (false, failed("wait for", Path::new("cargo")));
    let status = loop {
        match child.try_wait() {
            Ok(None) => thread::sleep(Duration::from_millis(50)),
            Ok(Some(status)) => break status,
            Err(error) => return Err(wait(error)),
        }
        if !stopped && end.is_some_and(|end| Instant::now() >= end) {
            stopped = true;
            interrupt(&child);
        }
    };
    // 2: a mutant survives. 3: one timed out.
    if !stopped && !matches!(status.code(), Some(0 | 2 | 3)) {
        return Err(TaskError::Failed(format!("cargo mutants (see {})", output.display())));
    }
    let names = |file: &str| -> Vec<String> {
        let text = fs::read_to_string(output.join(file)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    };
    let chosen = fs::read(output.join("mutants.json")).unwrap_or_default();
    let chosen: Vec<serde_json::Value> = serde_json::from_slice(&chosen).unwrap_or_default();
    let [mut caught, timeout] = ["caught.txt", "timeout.txt"].map(names);
    caught.extend(timeout);
    let [lives, unviable] = ["missed.txt", "unviable.txt"].map(names);
    let mut outcomes = Outcomes { caught, lives, unviable, not_run: 0 };
    outcomes.not_run = chosen.len().saturating_sub(outcomes.run());
    Ok(outcomes)
}

/// Interrupts `cargo mutants`, which then restores the file and ends. Elsewhere it runs to its end.
#[cfg_attr(not(unix), expect(unused_variables))]
fn interrupt(child: &std::process::Child) {
    #[cfg(unix)]
    {
        use rustix::process::{Pid, Signal, kill_process};
        // An error means that it has ended.
        let _ = kill_process(Pid::from_child(child), Signal::INT);
    }
}

/// Writes the differences from this commit to a file. `None`: the commit does not exist, as in a
/// shallow clone.
fn changes(base: &str, folder: &Path) -> Result<Option<PathBuf>, TaskError> {
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.current_dir(cargo::root()).args(arguments).output()
    };
    let failed = |operation, path: &str| failed(operation, Path::new(path));
    let commit = format!("{base}^{{commit}}");
    let known =
        git(&["rev-parse", "--verify", "--quiet", &commit]).map_err(failed("run", "git"))?;
    if !known.status.success() {
        return Ok(None);
    }
    // With the prefixes that `cargo mutants` expects, whatever the user's settings are.
    let shown = ["diff", "--no-ext-diff", "--no-color", "--src-prefix=a/", "--dst-prefix=b/", base];
    let shown = git(&shown).map_err(failed("run", "git"))?;
    if !shown.status.success() {
        return Err(TaskError::Failed(format!("git diff {base}")));
    }
    let file = folder.join("changes.diff");
    fs::write(&file, shown.stdout).map_err(self::failed("write", &file))?;
    Ok(Some(file))
}

/// Returns the end-to-end tests that cover a mutant.
fn covered_by(mutant: &str) -> &'static [&'static str] {
    let found = COVERED_BY.iter().find(|(path, _)| mutant.starts_with(path));
    found.map_or(&[], |(_, tests)| tests)
}

/// Returns a regular expression that matches this text.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        // A backslash before any other character would be an escape sequence.
        if r"\.+*?()|[]{}^$#&-~".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> TaskError + use<> {
    let path = path.to_owned();
    move |error| TaskError::Io(operation, path, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mutant_that_lives_fails_the_run() {
        let names =
            |names: &[&str]| -> Vec<String> { names.iter().map(|&name| name.into()).collect() };
        let mut all = Outcomes { caught: names(&["a"]), ..Outcomes::default() };
        let again = Outcomes { caught: names(&["b"]), lives: names(&["c"]), ..Outcomes::default() };
        all.add(again.only(&names(&["b", "d"])));
        assert_eq!(all.caught, ["a", "b"]);
        assert_eq!(all.not_run, 1, "one that was chosen has no outcome");
        assert!(all.judge().is_ok());
        all.add(Outcomes { lives: names(&["c"]), ..Outcomes::default() });
        assert!(all.judge().is_err());
    }

    #[test]
    fn the_first_path_chooses_the_tests() {
        let tests = |file: &str| covered_by(&format!("{file}:1:2: replace > with <"));
        assert!(tests("host/src/session/close_reason.rs").contains(&"command_watch::"));
        assert!(tests("host/src/net/tls.rs").contains(&"access::tls::"));
        assert!(tests("crates/plugin-engine/src/live/gate.rs").contains(&"reload::"));
    }

    #[test]
    fn a_name_is_escaped_for_an_expression() {
        let name = "replace |= with &= in <impl A for B<'_>>::f -> Option<u8>";
        let expected = r"replace \|= with \&= in <impl A for B<'_>>::f \-> Option<u8>";
        assert_eq!(escaped(name), expected);
    }

    #[test]
    fn covered_files_and_tests_exist() {
        let file = cargo::root().join(".cargo/mutants.toml");
        let text = fs::read_to_string(file).unwrap();
        let settings: toml_edit::DocumentMut = text.parse().unwrap();
        let globs = settings["examine_globs"].as_array().unwrap();
        for glob in globs.iter().map(|glob| glob.as_str().unwrap()) {
            let (place, _) = glob.split_once('*').unwrap_or((glob, ""));
            assert!(cargo::root().join(place).exists(), "{glob}");
        }
        for test in COVERED_BY.iter().flat_map(|(_, tests)| *tests) {
            let module = test.trim_end_matches("::").replace("::", "/");
            let file = |end| cargo::root().join(format!("tests/end_to_end/{module}{end}")).exists();
            assert!(file(".rs") || file("/mod.rs"), "{test}");
        }
    }
}
