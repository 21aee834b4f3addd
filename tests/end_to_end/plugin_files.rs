//! Files in the plugins folder that cannot be served: each is skipped with a line that gives the
//! reason, and the others are served.

use std::{env::consts::ARCH, fs};

use dropin_tests::{Host, LIMIT, Lines, Setup, built, files, setup::run_host, wait_until};

/// Starts a host with the text plugin, and before and after it a file that it must reject. Returns
/// the log's reason.
#[track_caller]
fn refused(setup: Setup, name: &str) -> String {
    let host = setup.plugins(&["text"]).start();
    assert_eq!(Lines::connect(&host).ask("echo served"), "served");
    let line = host.logged(&format!(": refused {name} (")).expect("the log says that it is");
    assert!(line.contains(" ERROR host: plugin "), "{line}");
    let (_, why) = line.split_once(" ms): ").unwrap();
    why.to_owned()
}

/// Starts a host with the text plugin and this file.
#[track_caller]
fn refused_bytes(bytes: &[u8]) -> String {
    let name = built::library_name("a-bad-one");
    refused(Setup::new().file(&name, bytes), &name)
}

/// Starts a host with the text plugin and this package's library.
#[track_caller]
fn refused_package(package: &str) -> String {
    refused(Setup::new().plugins(&[package]), &built::library_name(package))
}

#[test]
fn missing_plugins_folder_warns_and_builtins_serve() {
    let setup = Setup::new().without_plugins_folder();
    let folder = setup.plugins_folder();
    let host = setup.start();
    assert_eq!(Lines::connect(&host).ask("ping"), "PONG");
    let said = format!("cannot read the plugins folder {}: ", folder.display());
    assert!(host.logged(&said).is_some_and(|line| line.contains("WARN  host: ")), "{}", host.log());
}

#[test]
fn empty_plugins_folder_warns_and_builtins_serve() {
    let host = Host::start(&[]);
    let mut client = Lines::connect(&host);
    assert_eq!(client.ask("ping"), "PONG");
    assert_eq!(client.ask("echo hi"), "error: unknown command 'echo'");
    let said =
        format!("no plugin in {}; only the host's own commands", host.plugins_folder().display());
    assert!(host.logged(&said).is_some_and(|line| line.contains("WARN  host: ")), "{}", host.log());
}

#[test]
fn file_without_library_name_is_ignored() {
    let library = fs::read(built::library("clock")).unwrap();
    let hidden = format!(".{}", built::library_name("clock"));
    let below = format!("sources/{}", built::library_name("clock"));
    let mut setup = Setup::new().plugins(&["text"]);
    for name in ["README.md", "libclock.so.bak", "libclock", &hidden, &below] {
        setup = setup.file(name, &library);
    }
    let mut host = setup.start();
    let mut client = Lines::connect(&host);
    assert_eq!(client.ask("echo hi"), "hi");
    assert_eq!(client.ask("uptime"), "error: unknown command 'uptime'");
    assert!(!host.log().contains("refused"), "{}", host.log());
    assert_eq!(host.ks(), Some(0));
}

#[test]
fn a_text_file() {
    let why = refused_bytes(b"echo is a command\n");
    assert!(why.starts_with("the system's loader does not take it: "), "{why}");
    // The loader's message, but with the name of the file and not of the private copy.
    assert!(why.contains(&built::library_name("a-bad-one")), "{why}");
}

#[test]
fn an_empty_file() {
    assert_eq!(refused_bytes(b""), "it is an empty file, not a library");
}

#[test]
fn a_directory_that_is_called_like_a_library() {
    let name = built::library_name("folder");
    let why = refused(Setup::new().file(&format!("{name}/inside"), b"x"), &name);
    assert_eq!(why, "it is a directory, not a library");
}

#[cfg(target_os = "linux")]
#[test]
fn half_a_library() {
    let whole = fs::metadata(built::library("clock")).unwrap().len();
    for length in [whole - 1, whole / 2, 100, 10] {
        let part = files::altered("clock", |bytes| bytes.truncate(length.try_into().unwrap()));
        assert_eq!(refused_bytes(&part), "it is only the beginning of a library", "{length}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_library_for_another_processor() {
    let why = refused_bytes(&files::altered("clock", |bytes| files::set_machine(bytes)));
    assert_eq!(why, format!("it is for another processor than this host's: build it for {ARCH}"));
}

#[cfg(unix)]
#[test]
#[cfg_attr(not(tool = "mkfifo"), ignore = "needs mkfifo")]
fn a_pipe_that_is_called_like_a_library() {
    let (setup, name) = (Setup::new(), built::library_name("pipe"));
    let mut mkfifo = std::process::Command::new("mkfifo");
    assert!(mkfifo.arg(setup.plugins_folder().join(&name)).status().unwrap().success());
    assert_eq!(refused(setup, &name), "it is a special file, not a library");
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_nowhere() {
    let (setup, name) = (Setup::new(), built::library_name("link"));
    std::os::unix::fs::symlink("/nowhere/at/all", setup.plugins_folder().join(&name)).unwrap();
    let why = refused(setup, &name);
    assert!(why.starts_with("cannot access it: "), "{why}");
}

#[cfg(unix)]
#[test]
fn a_link_to_a_library_is_served() {
    let (setup, name) = (Setup::new(), built::library_name("link"));
    let link = setup.plugins_folder().join(&name);
    std::os::unix::fs::symlink(built::library("text"), link).unwrap();
    assert_eq!(Lines::connect(&setup.start()).ask("echo linked"), "linked");
}

#[test]
#[cfg_attr(not(tool = "cc"), ignore = "needs cc")]
fn a_library_that_is_no_plugin() {
    let why = refused_bytes(&files::compile_c("int answer(void) { return 42; }"));
    assert!(why.starts_with("it exports no plugin: it needs plugin_api's `plugin!`"), "{why}");
}

#[test]
#[cfg_attr(not(tool = "cc"), ignore = "needs cc")]
fn a_library_that_crashes_in_its_constructor() {
    let crash = "__attribute__((constructor)) static void run(void) { __builtin_trap(); }";
    let why = refused_bytes(&files::compile_c(crash));
    // The loader of Windows catches the fault.
    let said = if cfg!(windows) {
        "the system's loader does not take it: "
    } else {
        "it ended the process that probed it: it crashed with signal "
    };
    assert!(why.starts_with(said), "{why}");
}

#[test]
#[cfg_attr(not(tool = "cc"), ignore = "needs cc")]
fn a_library_that_exits_in_its_constructor() {
    for status in [0, 7] {
        let exit = format!(
            "#include <stdlib.h>\n__attribute__((constructor)) static void run(void) {{ exit({status}); }}"
        );
        let why = refused_bytes(&files::compile_c(&exit));
        let said = format!("it exited with status {status} before it was judged");
        assert_eq!(why, format!("it ended the process that probed it: {said}"));
    }
}

#[test]
#[cfg_attr(not(tool = "cc"), ignore = "needs cc")]
fn a_library_that_hangs_in_its_constructor() {
    let hang = "#include <unistd.h>\n\
                __attribute__((constructor)) static void run(void) { for (;;) sleep(1); }";
    let name = built::library_name("a-bad-one");
    let setup = Setup::new().file(&name, &files::compile_c(hang)).flags(&["--probe-timeout", "5"]);
    let why = "it did not finish within 5 s of being probed: touch the file to have it tried \
               again, or give it longer with --probe-timeout";
    assert_eq!(refused(setup, &name), why);
}

#[test]
#[cfg_attr(not(tool = "cc"), ignore = "needs cc")]
fn a_library_that_talks_while_it_is_probed() {
    let talk = "#include <stdio.h>\n\
                __attribute__((constructor)) static void run(void) { puts(\"OK: all is well\"); }";
    let name = built::library_name("a-bad-one");
    let mut host = Setup::new().file(&name, &files::compile_c(talk)).plugins(&["text"]).start();
    assert!(!host.stdout().contains("all is well"), "the host's own output is its own");
    assert_eq!(host.ks(), Some(0));
}

#[test]
fn a_plugin_of_another_version_of_abi_stable() {
    let altered = files::altered("clock", |bytes| files::set_abi_stable(bytes));
    let why = refused_bytes(&altered);
    assert!(why.starts_with("it was built with abi_stable "), "{why}");
    assert!(why.ends_with("build it with this host's version of plugin-api"), "{why}");
}

#[test]
fn plugin_of_another_major_api_version() {
    let why = refused_package("other-major");
    assert!(why.starts_with("it was built for plugin API 9.0.0 and this host has "), "{why}");
}

#[test]
fn a_plugin_that_is_laid_out_differently() {
    let why = refused_package("other-layout");
    assert!(why.starts_with("its types do not match this host's: "), "{why}");
}

#[test]
fn a_plugin_whose_state_cannot_be_made() {
    assert_eq!(refused_package("create-fails"), "its `create` failed: the moon is not full");
}

#[test]
fn plugin_that_panics_in_create() {
    let why = refused_package("create-panics");
    assert_eq!(why, "its `create` failed: 'create' panicked: out of ideas");
}

#[test]
fn plugin_with_illegal_command_name() {
    let why = refused_package("illegal-name");
    assert!(why.starts_with("its command 'Loud!' has an illegal name: 1 to 64 of "), "{why}");
    let why = refused_package("illegal-usage");
    let said = "its command 'muddle': the usage line '[A] B' cannot be read: only optional ones";
    assert!(why.starts_with(said), "{why}");
    assert_eq!(refused_package("twice"), "it has the command 'again' twice");
}

#[cfg(target_os = "linux")]
#[test]
fn nothing_is_left_of_a_probe() {
    use dropin_tests::system::children;
    let bad = built::library_name("a-bad-one");
    let host = Setup::new().file(&bad, b"not a library").plugins(&["text"]).start();
    wait_until("no process is left", LIMIT, || children(host.pid()) == 0);
    let copies = host.state_dir().join(host.port().to_string()).join("copies");
    wait_until("what is served needs no file", LIMIT, || {
        fs::read_dir(&copies).unwrap().count() == 0
    });
}

#[test]
fn probe_without_host_does_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    let library = built::library("text");
    let [library, report_path] = [&library, &report].map(|path| path.to_str().unwrap());
    // A host allows the probe by its input, which is empty here.
    assert_eq!(run_host(&["probe", library, report_path]).status, Some(1));
    assert!(!report.exists());
}

/// On Linux a program can be started again after its file was removed; elsewhere the host must not
/// mistake another program for its own.
#[test]
fn host_program_may_be_replaced_while_running() {
    let folder = tempfile::tempdir().unwrap();
    let name = |name: &str| folder.path().join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    let (program, moved) = (name("host"), name("old"));
    built::install_program("host", &program);
    // Wine lacks this library, which lies beside the program.
    let lacking = "bcryptprimitives.dll";
    let theirs = built::program("host").with_file_name(lacking);
    assert!(!theirs.exists() || fs::copy(theirs, program.with_file_name(lacking)).is_ok());
    let host = Setup::new().program(&program).start();
    files::rename(&program, &moved);
    // It would accept every library.
    fs::copy(built::program("client"), &program).unwrap();
    host.install("text");
    if !cfg!(target_os = "linux") {
        host.wait_for_log("is no longer the program that runs: put that back, or restart the host");
        assert_eq!(Lines::connect(&host).ask("echo a"), "error: unknown command 'echo'");
        files::remove(&program);
        files::rename(&moved, &program);
    }
    host.wait_for_answer("echo a", "a");
}
