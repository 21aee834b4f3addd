//! Trust in files: the host rejects libraries that other users could have changed.

#![cfg(unix)]

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::Path,
    process::Command,
};

use dropin_tests::{
    Host, Lines, Setup,
    built::library_name,
    reload::{marked, place},
    setup::run_host,
};

const FLAG: &str = "--allow-insecure-plugins";

/// The id of a user who is neither the host's user nor root.
const SOMEBODY: u32 = 4321;

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Returns a host with version 1 of a fixture and the text plugin.
fn setup() -> Setup {
    let setup = Setup::new().flags(&["--probe-timeout", "60"]).plugins(&["text"]);
    setup.file(&library_name("chameleon"), &marked("chameleon", "1"))
}

/// Replaces a fixture by one that others can write to.
fn place_open(folder: &Path, mark: &str, mode: u32) {
    let beside = folder.join(".beside");
    fs::write(&beside, marked("chameleon", mark)).unwrap();
    set_mode(&beside, mode);
    fs::rename(&beside, folder.join(library_name("chameleon"))).unwrap();
}

fn refusals(host: &Host, package: &str) -> usize {
    host.log().matches(&format!("refused {} ", library_name(package))).count()
}

#[track_caller]
fn wait_for_refusal(host: &Host, package: &str) -> String {
    host.wait_for_log(&format!("refused {} ", library_name(package)))
}

#[track_caller]
fn is_refused_at_the_start(setup: Setup, said: &str) {
    let folder = setup.plugins_folder();
    let ended = setup.run();
    assert_eq!((ended.status, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
    for part in [said, FLAG, folder.to_str().unwrap()] {
        assert!(ended.stderr.contains(part), "{part}: {ended:?}");
    }
}

#[test]
fn folder_writable_by_others_prevents_start() {
    // The last is the mode of /tmp.
    for mode in [0o775, 0o757, 0o1777] {
        let setup = setup();
        let folder = setup.plugins_folder();
        set_mode(&folder, mode);
        is_refused_at_the_start(setup, &format!("run: chmod go-w {}", folder.display()));
    }
}

#[test]
#[cfg_attr(not(right = "root"), ignore = "needs root")]
fn folder_of_another_user_prevents_start() {
    let setup = setup();
    chown(setup.plugins_folder(), Some(SOMEBODY), None).unwrap();
    is_refused_at_the_start(setup, "belongs to another user");
}

#[test]
fn linked_folder_is_judged_by_its_target() {
    let temp = tempfile::tempdir().unwrap();
    let linked = |mode| {
        let setup = setup();
        let real = temp.path().join(format!("{mode:o}"));
        fs::rename(setup.plugins_folder(), &real).unwrap();
        set_mode(&real, mode);
        symlink(&real, setup.plugins_folder()).unwrap();
        setup
    };
    is_refused_at_the_start(linked(0o777), "run: chmod go-w ");
    linked(0o755).start().wait_for_answer("colour", "1");
}

#[test]
fn flag_allows_open_folder_with_one_warning() {
    let setup = setup().flags(&[FLAG]);
    place_open(&setup.plugins_folder(), "open", 0o666);
    set_mode(&setup.plugins_folder(), 0o777);
    let host = setup.start();
    host.wait_for_answer("colour", "open");
    place_open(&host.plugins_folder(), "more", 0o666);
    host.wait_for_answer("colour", "more");
    let warned = |line: &&str| line.contains(" WARN ") && line.contains(FLAG);
    assert_eq!(host.log().lines().filter(warned).count(), 1, "{}", host.log());
}

#[test]
fn folder_opened_to_others_loads_nothing_until_closed() {
    let host = setup().start();
    // Else news of the files themselves, which come late, would be refused as well.
    host.process_changes("chameleon", 3);
    let folder = host.plugins_folder();
    set_mode(&folder, 0o777);
    let line = wait_for_refusal(&host, "text");
    assert!(line.contains(&format!("run: chmod go-w {}", folder.display())), "{line}");
    host.place("chameleon", &marked("chameleon", "2"));
    host.place("keeper", &marked("keeper", "2"));
    wait_for_refusal(&host, "keeper");
    let mut client = Lines::connect(&host);
    assert_eq!((client.ask("colour"), client.ask("echo on")), ("1".into(), "on".into()));
    assert!(client.ask("kept").starts_with("error: unknown command"));
    set_mode(&folder, 0o755);
    host.wait_for_answer("keeper.version", "2");
    host.wait_for_answer("colour", "2");
    assert_eq!((refusals(&host, "text"), refusals(&host, "keeper")), (1, 1), "{}", host.log());
    assert_eq!(host.figure("text", "generation"), 1, "it has not changed");
}

#[test]
fn open_replacement_folder_loads_nothing() {
    let host = setup().start();
    let (new, before) = (host.state_dir().join("new"), host.state_dir().join("before"));
    fs::create_dir(&new).unwrap();
    set_mode(&new, 0o777);
    place(&new, &library_name("chameleon"), &marked("chameleon", "2"));
    fs::rename(host.plugins_folder(), before).unwrap();
    fs::rename(&new, host.plugins_folder()).unwrap();
    wait_for_refusal(&host, "chameleon");
    assert_eq!(Lines::connect(&host).ask("colour"), "1");
    set_mode(&host.plugins_folder(), 0o755);
    host.wait_for_answer("colour", "2");
}

#[test]
fn open_folder_made_after_start_loads_nothing() {
    let setup = setup().without_plugins_folder();
    let folder = setup.plugins_folder();
    let host = setup.start();
    fs::create_dir(&folder).unwrap();
    set_mode(&folder, 0o777);
    host.place("chameleon", &marked("chameleon", "2"));
    wait_for_refusal(&host, "chameleon");
    set_mode(&folder, 0o755);
    host.wait_for_answer("colour", "2");
}

#[test]
fn library_writable_by_others_is_rejected_until_closed() {
    for mode in [0o664, 0o646] {
        let setup = setup();
        place_open(&setup.plugins_folder(), "1", mode);
        let host = setup.start();
        let line = wait_for_refusal(&host, "chameleon");
        let library = host.library("chameleon");
        assert!(line.contains(&format!("run: chmod go-w {}", library.display())), "{line}");
        let mut client = Lines::connect(&host);
        assert!(client.ask("colour").starts_with("error: unknown command"));
        assert_eq!(client.ask("echo fine"), "fine", "the rest is served");
        set_mode(&library, mode & !0o022);
        host.wait_for_answer("colour", "1");
    }
}

#[test]
fn replacement_writable_by_others_keeps_old_code() {
    for watch in ["notify", "poll"] {
        let host = setup().flags(&["--watch", watch]).start();
        place_open(&host.plugins_folder(), "2", 0o666);
        wait_for_refusal(&host, "chameleon");
        assert_eq!(Lines::connect(&host).ask("colour"), "1");
        let failure = host.info("chameleon").get("last-failure").unwrap().as_str().to_owned();
        assert!(failure.contains("other users can write to"), "{failure}");
        set_mode(&host.library("chameleon"), 0o644);
        host.wait_for_answer("colour", "2");
        assert_eq!(refusals(&host, "chameleon"), 1, "{}", host.log());
    }
}

#[test]
#[cfg_attr(not(right = "root"), ignore = "needs root")]
fn library_of_another_user_is_rejected() {
    let setup = setup();
    let library = setup.plugins_folder().join(library_name("chameleon"));
    chown(&library, Some(SOMEBODY), None).unwrap();
    let host = setup.start();
    let line = wait_for_refusal(&host, "chameleon");
    assert!(line.contains("belongs to another user"), "{line}");
    assert!(Lines::connect(&host).ask("colour").starts_with("error: unknown command"));
    chown(&library, Some(0), None).unwrap();
    host.wait_for_answer("colour", "1");
}

#[test]
fn linked_library_is_judged_by_its_target() {
    let temp = tempfile::tempdir().unwrap();
    let setup = setup();
    let library = setup.plugins_folder().join(library_name("chameleon"));
    let real = temp.path().join("real");
    fs::rename(&library, &real).unwrap();
    set_mode(&real, 0o666);
    symlink(&real, &library).unwrap();
    let host = setup.start();
    wait_for_refusal(&host, "chameleon");
    set_mode(&real, 0o644);
    host.wait_for_answer("colour", "1");
}

#[test]
fn check_judges_the_file_as_the_host_does() {
    let temp = tempfile::tempdir().unwrap();
    place_open(temp.path(), "1", 0o666);
    let library = temp.path().join(library_name("chameleon"));
    let library = library.to_str().unwrap();
    let ended = run_host(&["check", library]);
    assert_eq!((ended.status, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
    let said = format!("would be refused: other users can write to {library}");
    assert!(ended.stderr.contains(&said), "{ended:?}");
    assert_eq!(run_host(&["check", library, FLAG]).status, Some(0));
    set_mode(Path::new(library), 0o644);
    assert_eq!(run_host(&["check", library]).status, Some(0));
}

#[cfg(target_os = "linux")]
#[test]
fn documented_installing_works_under_umask_002() {
    let workspace = dropin_tests::workspace::root();
    let page = fs::read_to_string(workspace.join("docs/plugins.md")).unwrap();
    let (_, steps) = page.split_once("cargo build --release\n").unwrap();
    let (steps, _) = steps.split_once("```").unwrap();
    assert_eq!(steps.matches("libshout.so").count(), 3, "{steps}");
    let host = Setup::new().start();
    let folder = tempfile::tempdir().unwrap();
    let [release, beside] = ["shout/target/release", "dropin/target/quick"].map(|path| {
        let path = folder.path().join(path);
        fs::create_dir_all(&path).unwrap();
        path
    });
    symlink(dropin_tests::built::program("host"), beside.join("host")).unwrap();
    symlink(host.plugins_folder(), folder.path().join("dropin/plugins")).unwrap();
    let library = release.join("libshout.so");
    fs::copy(dropin_tests::built::library("text"), &library).unwrap();
    // The mode that cargo gives it under that umask.
    set_mode(&library, 0o775);
    let mut shell = Command::new("sh");
    let script = format!("umask 002; set -e; {steps}");
    let shell = shell.args(["-c", &script]).current_dir(folder.path().join("shout"));
    let output = dropin_tests::tool::run(shell, b"");
    assert!(output.status.success(), "{output:?}");
    host.wait_for_log("plugin text: generation 1 loaded, libshout.so");
    // A copy would keep the group's write permission.
    let mut copy = Command::new("sh");
    let copy = copy.args(["-c", "umask 002; cp target/release/libshout.so ../dropin/plugins/b.so"]);
    let output = dropin_tests::tool::run(copy.current_dir(folder.path().join("shout")), b"");
    assert!(output.status.success(), "{output:?}");
    host.wait_for_log("refused b.so");
}
