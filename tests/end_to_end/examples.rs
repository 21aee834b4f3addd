//! The examples: a plugin and two scripts.

use std::process::Command;

use dropin_tests::{Host, tool, workspace};

use super::{client_program::client, new_plugin::said};

/// Runs a script of the examples with this input, and returns what it prints.
fn script(host: &Host, program: &str, name: &str, arguments: &[&str], input: &str) -> String {
    let client = client(&[], &[]);
    let mut command = Command::new(program);
    command.arg(workspace::root().join("examples/scripts").join(name)).args(arguments);
    for (name, value) in client.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.env("CLIENT", client.get_program()).env("DROPIN_PORT", host.port().to_string());
    let output = tool::run(&mut command, input.as_bytes());
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
#[cfg_attr(not(tool = "cargo"), ignore = "needs cargo")]
fn counter_passes_its_own_tests() {
    let folder = tempfile::tempdir().unwrap();
    workspace::from_example(folder.path(), "counter");
    let tested = said(&workspace::cargo(folder.path(), &["test"]), true);
    assert!(tested.contains("next_version_goes_on_with_the_total ... ok"), "{tested}");
}

#[test]
#[cfg_attr(not(tool = "bash"), ignore = "needs bash")]
fn shell_script_counts_visits() {
    let host = Host::start(&["store"]);
    let count = |input| script(&host, "bash", "count-visits.sh", &[], input);
    assert_eq!(count("/\n/about us\n"), "1\tvisits:/\n1\tvisits:/about us\n");
    assert_eq!(count("/about us\n"), "2\tvisits:/about us\n1\tvisits:/\n");
}

#[test]
#[cfg_attr(not(tool = "python3"), ignore = "needs python3")]
fn python_script_counts_words() {
    let host = Host::start(&["store"]);
    let port = host.port().to_string();
    let count = || {
        let input = "to be\nor not  to be é\n";
        script(&host, "python3", "word_count.py", &["--port", &port], input)
    };
    assert_eq!(count(), "     2 be\n     2 to\n     1 not\n     1 or\n     1 é\n");
    assert_eq!(count(), "     4 be\n     4 to\n     2 not\n     2 or\n     2 é\n");
}
