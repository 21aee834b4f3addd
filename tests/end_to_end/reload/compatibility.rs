//! Plugins of other compilers and of older API versions: they are loaded, called, replaced and
//! unloaded.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use dropin_tests::{
    Lines, Resp,
    built::{self, library_name},
    setup::run_host,
};

use super::setup;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// Returns the library of the fixture that was built against version 1.0 of the plugin API.
pub fn older() -> Vec<u8> {
    static BUILT: OnceLock<()> = OnceLock::new();
    // The programs of the other tests come first: one build at a time.
    let target = built::library("text").ancestors().nth(2).unwrap().to_owned();
    BUILT.get_or_init(|| {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .args(["build", "--quiet", "--locked", "--manifest-path"])
            .arg(fixtures().join("older-api/Cargo.toml"))
            .arg("--target-dir")
            .arg(&target)
            .status()
            .unwrap();
        assert!(status.success(), "the fixture cannot be built");
    });
    std::fs::read(target.join("debug").join(library_name("older-api"))).unwrap()
}

#[test]
#[cfg_attr(not(tool = "cargo"), ignore = "needs cargo")]
fn plugin_of_older_minor_api_passes_check() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(library_name("older"));
    std::fs::write(&file, older()).unwrap();
    let ended = run_host(&["check", file.to_str().unwrap()]);
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    let said = "plugin older 1.0.0, for plugin API 1.0.0\n";
    assert!(ended.stdout.starts_with(said), "{}", ended.stdout);
}

#[test]
#[cfg_attr(not(tool = "cargo"), ignore = "needs cargo")]
fn plugin_of_older_minor_api_works_and_unloads() {
    let mut host = setup().plugins(&["text"]).file(&library_name("older"), &older()).start();
    let mut client = Resp::connect3(&host);
    let id = client.ask(&["CLIENT", "ID"]);
    let facts = client.ask(&["older.facts"]);
    let expected = [
        ("host", env!("CARGO_PKG_VERSION").into()),
        ("session", id),
        ("sessions", 1.into()),
        ("commands", 3.into()),
    ];
    for (key, value) in expected {
        assert_eq!(facts.get(key), Some(&value), "{key} in {facts:?}");
    }
    let mut client = Lines::connect(&host);
    assert_eq!(client.ask("older.kept"), "nothing");
    assert_eq!(client.ask("older.keep pearls"), "OK");
    host.wait_for_log(" INFO  older: keeping");
    let mut next = older();
    next.extend_from_slice(b"another");
    host.place("older", &next);
    host.wait_for_log("plugin older: generation 1 unloaded, ");
    assert_eq!(client.ask("older.kept"), "pearls");
    #[cfg(target_os = "linux")]
    host.wait_until_mapped("older", 1);
    assert_eq!(host.ks(), Some(0));
}

/// Returns commands that start the cargo of each other Rust compiler on this machine.
fn other_cargos() -> Vec<(Command, String)> {
    let version = |command: &mut Command| {
        let output = command.arg("--version").output().ok().filter(|out| out.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let ours = version(&mut Command::new("rustc"));
    let mut found = Vec::new();
    if let Some(compiler) = version(Command::new("rustup").args(["run", "nightly", "rustc"])) {
        let mut cargo = Command::new("rustup");
        cargo.args(["run", "nightly", "cargo"]);
        found.push((cargo, compiler));
    }
    // The system may have a compiler of its own beside the one that builds this.
    if let Some(compiler) = version(&mut Command::new("/usr/bin/rustc")) {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.env("RUSTC", "/usr/bin/rustc");
        found.push((cargo, compiler));
    }
    found.retain(|(_, compiler)| Some(compiler) != ours.as_ref());
    found
}

#[test]
#[cfg_attr(not(right = "compiler"), ignore = "needs another Rust compiler")]
fn plugin_of_another_compiler_works_and_unloads() {
    let cargos = other_cargos();
    assert!(!cargos.is_empty(), "there is no other Rust compiler here");
    for (number, (mut cargo, compiler)) in cargos.into_iter().enumerate() {
        println!("by {compiler}");
        let library = built::library("text");
        let target = library.ancestors().nth(2).unwrap().join(format!("other-compiler-{number}"));
        is_served(&built_by(&mut cargo, &target, &compiler));
    }
}

/// Builds a fixture's library with another compiler.
fn built_by(cargo: &mut Command, target: &Path, compiler: &str) -> Vec<u8> {
    let output = cargo
        .args(["build", "--quiet", "--locked", "--ignore-rust-version", "--package", "chameleon"])
        .arg("--target-dir")
        .arg(target)
        .current_dir(fixtures())
        .env_remove("RUSTUP_TOOLCHAIN")
        .output()
        .unwrap();
    assert!(output.status.success(), "{compiler}: {}", String::from_utf8_lossy(&output.stderr));
    let library = std::fs::read(target.join("debug").join(library_name("chameleon"))).unwrap();
    // Debian appends its own build name to the version.
    let version = compiler.trim_start_matches("rustc ").split(" (").next().unwrap().as_bytes();
    assert!(library.windows(version.len()).any(|part| part == version), "it is not by {compiler}");
    library
}

fn is_served(library: &[u8]) {
    let mut host = setup().plugins(&["text"]).file(&library_name("chameleon"), library).start();
    let mut client = Lines::connect(&host);
    assert_eq!(client.ask("colour"), "1");
    assert_eq!(client.ask("colour.panic"), "error: 'colour.panic' panicked: all colours at once");
    // From that compiler's code to this one's, and back.
    super::replace(&host, "chameleon", "2");
    host.wait_for_answer("colour", "2");
    host.wait_for_log("plugin chameleon: generation 1 unloaded, ");
    host.place("chameleon", library);
    host.wait_for_answer("colour", "1");
    assert_eq!(host.ks(), Some(0));
}
