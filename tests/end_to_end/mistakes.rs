//! Mistakes that plugin authors make: each error message says what to do.

use std::{fs, path::Path};

use dropin_tests::{Lines, Setup, built::library_name, setup::run_host, workspace};
use tempfile::TempDir;

/// Fills in the template, with a change to one of its files.
fn new_crate(name: &str, file: &str, change: impl FnOnce(String) -> String) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    workspace::from_template(folder.path(), name);
    let path = folder.path().join(file);
    let text = fs::read_to_string(&path).unwrap();
    let changed = change(text.clone());
    assert_ne!(changed, text, "the mistake has been made");
    fs::write(path, changed).unwrap();
    folder
}

#[track_caller]
fn builds(folder: &Path, arguments: &[&str], works: bool) -> String {
    let built = workspace::cargo(folder, arguments);
    let said = String::from_utf8_lossy(&built.stderr).into_owned();
    assert_eq!(built.status.success(), works, "{said}");
    said
}

#[test]
#[cfg_attr(not(tool = "cargo"), ignore = "needs cargo")]
fn profile_with_panic_abort_does_not_build() {
    let abort = "\n[profile.dev]\npanic = \"abort\"\n";
    let folder = new_crate("aborting", "Cargo.toml", |text| text + abort);
    let said = builds(folder.path(), &["check"], false);
    let word = "error: a plugin must be built with `panic = \"unwind\"`, or its panics end the host: \
                remove `panic = \"abort\"` from the profile in Cargo.toml";
    assert!(said.contains(word), "{said}");
}

#[test]
#[cfg_attr(not(tool = "cargo"), ignore = "needs cargo")]
fn wrong_crate_type_is_rejected_with_right_one() {
    let lacks = |text: String| text.replace("crate-type = [\"cdylib\"]", "");
    let folder = new_crate("untyped", "Cargo.toml", lacks);
    builds(folder.path(), &["build"], true);
    let archive = workspace::target().join("debug").join("libuntyped.rlib");
    let word = "it is an archive for the compiler, not a library that a host can load: put \
                `crate-type = [\"cdylib\"]` under [lib] in the plugin's Cargo.toml";
    let ended = run_host(&["check", archive.to_str().unwrap()]);
    assert_eq!(ended.status, Some(1));
    // Cargo makes it writable for the group, which would be reported first.
    let insecure = ["check", archive.to_str().unwrap(), "--allow-insecure-plugins"];
    let ended = run_host(&insecure);
    assert!(ended.stderr.contains(word), "{ended:?}");
    let host = Setup::new().plugins(&["text"]).start();
    let bytes = fs::read(archive).unwrap();
    dropin_tests::reload::place(&host.plugins_folder(), "libuntyped.rlib", &bytes);
    let line = host.wait_for_log(word);
    assert!(line.contains(" ERROR ") && line.contains("refused libuntyped.rlib"), "{line}");
    assert_eq!(Lines::connect(&host).ask("echo fine"), "fine");
}

#[test]
#[cfg_attr(not(tool = "cargo"), ignore = "needs cargo")]
fn library_without_export_gets_a_clear_error() {
    let folder = new_crate("unexported", "src/lib.rs", |_| "pub fn nothing() {}\n".into());
    builds(folder.path(), &["build"], true);
    let library = fs::read(workspace::target().join("debug").join(library_name("unexported")));
    let host = Setup::new().file(&library_name("unexported"), &library.unwrap()).start();
    let word =
        "it exports no plugin: it needs plugin_api's `plugin!` and `crate-type = [\"cdylib\"]`";
    assert!(host.logged(word).is_some(), "{}", host.log());
}

#[test]
#[cfg_attr(not(tool = "cargo"), ignore = "needs cargo")]
fn function_of_wrong_signature_does_not_build() {
    let state = |text: String| text.replace("commands: {", "state: Kept,\n    commands: {");
    let folder = new_crate("unfit", "src/lib.rs", |text| {
        state(text).replace("fn hello", "struct Kept;\n\nfn hello")
    });
    let said = builds(folder.path(), &["build"], false);
    assert!(said.contains("the trait bound `Kept: State` is not satisfied"), "{said}");
}

#[test]
#[cfg_attr(not(tool = "cargo"), ignore = "needs cargo")]
fn invalid_names_and_usages_are_reported_with_rule() {
    for (name, change, word) in [
        ("misnamed", ["\"misnamed.hello\"", "\"Say Hello\""], "1 to 64 of a-z 0-9 . - _"),
        (
            "misused",
            ["\"[WHO]\"", "\"[WHO] WHY\""],
            "only optional ones may follow an optional one",
        ),
        ("twofold", ["\"twofold.mean\"", "\"twofold.hello\""], "the command 'twofold.hello' twice"),
    ] {
        let folder = new_crate(name, "src/lib.rs", |text| text.replacen(change[0], change[1], 1));
        builds(folder.path(), &["build"], true);
        let library = workspace::target().join("debug").join(library_name(name));
        let check = ["check", library.to_str().unwrap(), "--allow-insecure-plugins"];
        let ended = run_host(&check);
        assert_eq!(ended.status, Some(1), "{ended:?}");
        assert!(ended.stderr.contains(word), "{ended:?}");
    }
}
