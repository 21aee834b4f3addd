//! The example workers in every language, and the Python module beside them.

use std::{env, fs, path::Path, process::Command};

use dropin_tests::{LIMIT, Lines, tool, workspace};

use super::*;

/// The examples that speak JSON lines, by their plugins' names.
const WORKERS: [&str; 6] = ["py-sdk", "py", "node", "perl", "go", "c"];

/// The programs that the examples need, with the Debian package of each.
const NEEDED: [(&str, &str); 6] = [
    ("python3", "python3"),
    ("node", "nodejs"),
    // A part of Perl that a smaller installation lacks.
    ("json_pp", "perl"),
    ("go", "golang-go"),
    ("cc", "gcc"),
    ("bash", "bash"),
];

/// Time limit of a program that runs many tests of its own on a loaded machine.
const MANY: u32 = 10;

#[track_caller]
fn check_programs() {
    let path = env::var_os("PATH").unwrap_or_default();
    for (program, package) in NEEDED {
        let is_there = env::split_paths(&path).any(|folder| folder.join(program).is_file());
        assert!(is_there, "{program} is missing: apt-get install -y {package}");
    }
}

fn example(file: &str) -> Vec<u8> {
    let path = workspace::root().join("examples/workers").join(file);
    fs::read(path).expect("there is such an example")
}

/// Keeps the build output of Go for the next run, and everything else away from the network.
fn go_settings(command: &mut Command) -> &mut Command {
    let cache = concat!(env!("CARGO_TARGET_TMPDIR"), "/go");
    command.envs([("GOCACHE", cache), ("GO111MODULE", "off"), ("GOPROXY", "off")])
}

/// Compiles an example into a folder, and returns the program.
#[track_caller]
fn compiled(compiler: &[&str], file: &str, folder: &Path) -> Vec<u8> {
    let program = folder.join("program");
    let mut command = Command::new(compiler[0]);
    command.args(&compiler[1..]).arg("-o").arg(&program).arg(file);
    go_settings(&mut command).current_dir(workspace::root().join("examples/workers"));
    let output = tool::run(&mut command, b"");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::read(program).expect("it is compiled")
}

/// Returns a host with every example, and with the module of one of them.
#[track_caller]
fn host_of_examples() -> Host {
    let folder = tempfile::tempdir().unwrap();
    let module = fs::read(workspace::root().join("sdk/python/dropin.py")).unwrap();
    let scripts = ["greet.py", "py-sdk.py", "py.py", "node.js", "perl.pl", "bash.sh"];
    scripts
        .into_iter()
        .fold(setup(), |setup, file| setup.executable(file, example(file)))
        .executable("go", compiled(&["go", "build"], "go.go", folder.path()))
        .executable("c", compiled(&["cc", "-O2"], "c.c", folder.path()))
        .file("dropin.py", &module)
        .start()
}

/// Runs a program of tests, which must succeed.
#[track_caller]
fn check_python(folder: &str, arguments: &[&str]) {
    let mut command = Command::new("python3");
    command.args(arguments).current_dir(workspace::root().join(folder));
    command.envs([("DROPIN_TEST_ALL", "1"), ("PYTHONDONTWRITEBYTECODE", "1")]);
    let (status, said) = tool::Running::start(go_settings(&mut command)).end_within(LIMIT * MANY);
    assert!(status.success() && said.contains("\nOK\n"), "{said}");
}

#[track_caller]
fn check_replies(client: &mut Resp, name: &str) {
    let mut ask = |command: &str, arguments: &[&str]| {
        let command = format!("{name}.{command}");
        client.ask(&[&[&*command], arguments].concat())
    };
    assert_eq!(ask("greet", &[]), "hello, world".into(), "{name}");
    assert_eq!(ask("greet", &["\u{e4} \"\\\n"]), "hello, \u{e4} \"\\\n".into(), "{name}");
    assert_eq!(ask("add", &["40", "2"]), 42.into(), "{name}");
    assert_error(&ask("add", &["40", "x"]), "ERR ");
}

#[cfg_attr(
    not(all(
        tool = "bash",
        tool = "cc",
        tool = "go",
        tool = "node",
        tool = "perl",
        tool = "python3"
    )),
    ignore = "needs bash, cc, go, node, perl and python3"
)]
#[test]
fn example_in_every_language_serves_one_host() {
    check_programs();
    let host = host_of_examples();
    let mut client = Resp::connect3(&host);
    assert_eq!(client.ask(&["greet", "Ada"]), "hello, Ada".into());
    // The script answers with text.
    assert_eq!(client.ask(&["bash.greet"]), "hello, world".into());
    assert_eq!(client.ask(&["bash.add", "40", "2"]), "42".into());
    assert_error(&client.ask(&["bash.add", "40", "x"]), "ERR value is not an integer");
    for name in WORKERS {
        check_replies(&mut client, name);
        check_state(&host, name);
        check_progress(&mut client, name);
        check_cancellation(&host, name);
        assert_eq!(host.figure(name, "restarts"), 0, "{name}");
    }
}

/// Checks that a count goes on where the old version has stopped.
#[track_caller]
fn check_state(host: &Host, name: &str) {
    let (mut client, count) = (Lines::connect(host), format!("{name}.count"));
    assert_eq!([client.ask(&count), client.ask(&count)], ["1", "2"], "{name}");
    let before = pid(host, name);
    let reply = client.ask(&format!("plugin reload {name}"));
    assert_eq!(reply, format!("plugin '{name}' serves generation 2"));
    assert_ne!(pid(host, name), before, "{name}");
    assert_eq!(client.ask(&count), "3", "{name}");
}

#[track_caller]
fn check_progress(client: &mut Resp, name: &str) {
    client.say(&[&*format!("{name}.slow"), "0.05"]);
    let (mut steps, mut last) = (Vec::new(), client.frame());
    while let Frame::Push(items) = &last {
        let [topic, done, total, _] = &items[..] else { panic!("{name}: {items:?}") };
        assert_eq!((topic, total), (&"progress".into(), &10.into()), "{name}");
        steps.push(done.as_integer());
        last = client.frame();
    }
    assert_eq!(last, "done".into(), "{name}");
    // The host leaves out steps that follow each other fast, but not the last.
    assert!(steps.last() == Some(&10) && steps.is_sorted(), "{name}: {steps:?}");
}

#[track_caller]
fn check_cancellation(host: &Host, name: &str) {
    let (mut client, mut other) = (Resp::connect(host), Lines::connect(host));
    let id = client.ask(&["CLIENT", "ID"]).as_integer();
    // Longer than any wait, so that only a cancellation ends it.
    client.say(&[&*format!("{name}.slow"), "6000"]);
    let cancel = format!("client cancel {id}");
    wait_until(&format!("{name}.slow runs"), LIMIT, || other.ask(&cancel) == "1");
    assert_eq!(client.frame(), Frame::error("CANCELLED the command was cancelled"), "{name}");
    assert_eq!(client.ask(&[&*format!("{name}.add"), "1", "2"]), 3.into(), "{name}");
}

#[cfg_attr(
    not(all(
        tool = "bash",
        tool = "cc",
        tool = "go",
        tool = "node",
        tool = "perl",
        tool = "python3"
    )),
    ignore = "needs bash, cc, go, node, perl and python3"
)]
#[test]
fn examples_pass_their_own_test() {
    check_programs();
    check_python("examples/workers", &["test.py"]);
}

#[cfg_attr(not(tool = "python3"), ignore = "needs python3")]
#[test]
fn python_module_passes_its_own_tests() {
    check_python("sdk/python", &["-m", "unittest"]);
}
