//! A new plugin: `cargo xtask new-plugin`, and the template outside a workspace.

use std::{
    fs,
    process::{Command, Output},
};

#[cfg(unix)]
use dropin_tests::workspace::Checkout;
use dropin_tests::{Lines, Setup, built::library_name, files, workspace};
#[cfg(unix)]
use dropin_tests::{built, setup::run_host};

#[track_caller]
pub fn said(output: &Output, works: bool) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.success(), works, "{said}");
    said
}

#[cfg(unix)]
#[test]
fn new_plugin_builds_passes_tests_and_serves() {
    let host = Setup::new().start();
    let checkout = Checkout::copy(&host.plugins_folder());
    let root = checkout.folder();
    let said_by = said(&checkout.xtask(&["new-plugin", "word-count", "--debug"]), true);
    for part in [
        "made plugins/word-count, a member of the workspace",
        "test tests::it_greets ... ok",
        &format!("installed plugins/{}", library_name("word-count")),
        " s word-count.hello world",
        " dev plugins/word-count",
    ] {
        assert!(said_by.contains(part), "{part}: {said_by}");
    }
    host.wait_for_log("plugin word-count: generation 1 loaded");
    let mut client = Lines::connect(&host);
    assert_eq!(client.ask("word-count.hello Ada"), "hello, Ada");
    assert_eq!(client.ask("word-count.mean 1 2 4.5"), "2.5");
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let members = "    \"plugins/text\",\n    \"plugins/word-count\",\n    \"client\",\n";
    assert!(manifest.contains(members), "{manifest}");
    let left = fs::read_dir(root.join("plugins/word-count")).unwrap().flatten();
    let mut left: Vec<_> = left.map(|entry| entry.file_name()).collect();
    left.sort();
    assert_eq!(left, ["Cargo.toml", "src"]);
    // From now on it is a shipped plugin, and its name is taken.
    let twice = said(&checkout.xtask(&["new-plugin", "word_count"]), false);
    assert!(twice.contains("'word_count' is taken: there is plugins/word-count"), "{twice}");
    files::remove(host.library("word-count"));
    host.wait_until_unknown("word-count.hello");
    said(&checkout.xtask(&["plugins", "--debug"]), true);
    host.wait_for_answer("word-count.hello", "hello, you");
}

#[test]
#[cfg_attr(not(tool = "cargo"), ignore = "needs cargo")]
fn the_template_needs_no_workspace() {
    let folder = tempfile::tempdir().unwrap();
    workspace::from_template(folder.path(), "shout");
    let tested = workspace::cargo(folder.path(), &["test"]);
    let tested = said(&tested, true);
    assert!(tested.contains("test tests::it_takes_the_mean ... ok"), "{tested}");
    said(&workspace::cargo(folder.path(), &["build"]), true);
    let library = fs::read(workspace::target().join("debug").join(library_name("shout"))).unwrap();
    let host = Setup::new().file(&library_name("shout"), &library).start();
    assert_eq!(Lines::connect(&host).ask("shout.hello Ada"), "hello, Ada");
}

#[test]
#[cfg_attr(not(tool = "cargo"), ignore = "needs cargo")]
fn the_template_is_formatted_as_everything_here() {
    files::close_to_others();
    let folder = tempfile::tempdir().unwrap();
    workspace::from_template(folder.path(), "shout");
    let code = folder.path().join("src/lib.rs");
    let style = workspace::root().join("rustfmt.toml");
    let checked = Command::new("rustfmt")
        .args(["--edition", "2024", "--check", "--config-path"])
        .arg(style)
        .arg(code)
        .output()
        .unwrap();
    said(&checked, true);
}

/// Makes a plugin in a language that needs no compiler, in a folder that has only the templates.
/// Returns that folder, and the output of xtask.
#[cfg(unix)]
fn new_worker(name: &str, language: &str) -> (tempfile::TempDir, String) {
    files::close_to_others();
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("plugins")).unwrap();
    workspace::copy_templates(root.path());
    let output = Command::new(built::program("xtask"))
        .args(["new-plugin", name, "--language", language])
        .env("CARGO_MANIFEST_DIR", root.path().join("xtask"))
        .env("CARGO_TARGET_DIR", "target")
        .output()
        .unwrap();
    (root, said(&output, true))
}

/// Checks that the host accepts a new worker, also where the printed commands install it.
#[cfg(unix)]
#[track_caller]
fn is_accepted(root: &std::path::Path, said_by: &str, (plugin, file): (&str, &str)) {
    for part in [
        format!("made plugins/word-count/{file}"),
        format!(" dev plugins/word-count/{file} --port 5001"),
    ] {
        assert!(said_by.contains(&part), "{part}: {said_by}");
    }
    let install = said_by.lines().find_map(|line| line.strip_prefix("Install it:")).unwrap();
    let installed = Command::new("sh").args(["-c", install]).current_dir(root).output().unwrap();
    said(&installed, true);
    let extension = file.rsplit('.').next().unwrap();
    let installed = format!("plugins/word-count.{extension}");
    for (path, name) in [(format!("plugins/word-count/{file}"), plugin), (installed, "word-count")]
    {
        let path = root.join(path);
        let ended = run_host(&["check", path.to_str().unwrap(), "--probe-timeout", "60"]);
        assert_eq!(ended.status, Some(0), "{ended:?}");
        let lines: Vec<_> = ended.stdout.lines().collect();
        let [first, hello, mean] = lines[..] else { panic!("{ended:?}") };
        assert!(first.starts_with(&format!("plugin {name} 0")), "{ended:?}");
        assert_eq!(hello, "  word-count.hello [WHO]    A greeting.");
        assert_eq!(mean, "  word-count.mean NUMBER..  The mean of the numbers.");
    }
}

#[cfg(unix)]
#[test]
#[cfg_attr(not(tool = "python3"), ignore = "needs python3")]
fn new_python_plugin_passes_its_tests() {
    let (root, said_by) = new_worker("word-count", "python");
    is_accepted(root.path(), &said_by, ("word-count", "worker.py"));
    let folder = root.path().join("plugins/word-count");
    let mut tests = Command::new("python3");
    let tested = tests.args(["-m", "unittest"]).current_dir(folder).output().unwrap();
    let tested = said(&tested, true);
    assert!(tested.contains("Ran 2 tests"), "{tested}");
}

#[cfg(unix)]
#[test]
#[cfg_attr(not(tool = "node"), ignore = "needs node")]
fn new_node_plugin_is_accepted() {
    let (root, said_by) = new_worker("word-count", "node");
    is_accepted(root.path(), &said_by, ("word-count", "worker.js"));
}

#[cfg(unix)]
#[test]
fn new_shell_plugin_is_accepted() {
    let (root, said_by) = new_worker("word-count", "shell");
    is_accepted(root.path(), &said_by, ("worker", "worker.sh"));
}
