//! `cargo xtask run`: it builds, installs the shipped plugins and becomes the host.

use std::{fs, path::Path};

use dropin_tests::{
    Lines, SHIPPED, Setup,
    built::{self, library_name},
    workspace::{self, Checkout},
};

use super::new_plugin::said;

#[test]
fn run_builds_installs_and_becomes_the_host() {
    let setup = Setup::new();
    let checkout = Checkout::copy(&setup.plugins_folder());
    // This may take longer than a host may take to start. Afterwards only the last step is left.
    said(&checkout.xtask(&["plugins", "--debug"]), true);
    let program = workspace::target().join("debug/host");
    fs::remove_file(&program).unwrap();
    for name in SHIPPED {
        fs::remove_file(workspace::target().join("debug").join(library_name(name))).unwrap();
        fs::remove_file(setup.plugins_folder().join(library_name(name))).unwrap();
    }

    let xtask = built::program("xtask");
    let setup = setup.started_by(&[xtask.to_str().unwrap(), "run", "--debug"]);
    let variables = checkout.variables();
    let setup = variables
        .iter()
        .fold(setup, |setup, (name, value)| setup.variable(name, value.to_str().unwrap()));
    // Between xtask's own arguments and the flags of the host.
    let mut host = setup.program(Path::new("--")).start();
    assert!(program.exists(), "it has built what was missing");
    let installed = format!("installed plugins/{}\n", library_name("text"));
    assert!(host.stdout().contains(&installed), "{}", host.stdout());
    assert_eq!(Lines::connect(&host).ask("echo hello"), "hello");
    host.terminate();
    assert_eq!(host.exit(), Some(0), "the signal has reached the host, which ends in order");
}
