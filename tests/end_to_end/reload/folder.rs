//! The plugins folder itself: removed, recreated, a link, polled, with unreadable files.

use std::fs;

use dropin_tests::{
    LIMIT, Lines, built::library_name, files, reload::marked, reload::place, wait_until,
};

use super::{host_with, replace, replace_folder, setup, setup_with};

#[test]
fn removed_folder_is_served_again_on_return() {
    let host = host_with("keeper", "1");
    assert_eq!(Lines::connect(&host).ask("keep pearls"), "OK");
    for mark in ["2", "3"] {
        files::remove_folder(host.plugins_folder());
        host.wait_until_unknown("keeper.version");
        host.wait_until_unknown("echo");
        // On Windows the name is free once nobody watches the folder any more.
        wait_until("the folder is made", LIMIT, || fs::create_dir(host.plugins_folder()).is_ok());
        replace(&host, "keeper", mark);
        host.wait_for_answer("keeper.version", mark);
        host.wait_for_answer("kept", "pearls");
        host.install("text");
        host.wait_for_answer("echo hello", "hello");
    }
}

#[test]
fn replaced_folder_is_served() {
    let host = host_with("chameleon", "1");
    for mark in ["2", "3"] {
        host.process_changes("text", 1);
        replace_folder(&host, "chameleon", &marked("chameleon", mark));
        host.wait_for_answer("colour", mark);
        host.wait_until_unknown("echo");
        replace(&host, "chameleon", "again");
        host.wait_for_answer("colour", "again");
    }
}

#[test]
fn folder_replaced_right_after_start_is_served() {
    let host = host_with("chameleon", "1");
    replace_folder(&host, "chameleon", &marked("chameleon", "2"));
    host.wait_for_answer("colour", "2");
    host.wait_until_unknown("echo");
}

#[test]
fn folder_made_after_start_is_served() {
    let setup = setup().without_plugins_folder();
    let folder = setup.plugins_folder();
    let host = setup.start();
    assert!(Lines::connect(&host).ask("colour").starts_with("error: unknown command"));
    fs::create_dir(&folder).unwrap();
    replace(&host, "chameleon", "late");
    host.wait_for_answer("colour", "late");
}

#[cfg(unix)]
#[test]
fn repointed_folder_link_is_followed() {
    use std::os::unix::fs::symlink;
    let temp = tempfile::tempdir().unwrap();
    let real = |name: &str| {
        let folder = temp.path().join(name);
        fs::create_dir(&folder).unwrap();
        place(&folder, &library_name("chameleon"), &marked("chameleon", name));
        folder
    };
    let setup = setup().without_plugins_folder();
    let link = setup.plugins_folder();
    symlink(real("one"), &link).unwrap();
    let host = setup.start();
    host.wait_for_answer("colour", "one");
    let beside = temp.path().join("beside");
    symlink(real("two"), &beside).unwrap();
    fs::rename(&beside, &link).unwrap();
    host.wait_for_answer("colour", "two");
    // Changes in the new folder count, changes in the old one do not.
    replace(&host, "chameleon", "three");
    host.wait_for_answer("colour", "three");
    place(&temp.path().join("one"), &library_name("chameleon"), &marked("chameleon", "old"));
    replace(&host, "chameleon", "four");
    host.wait_for_answer("colour", "four");
}

/// The plugins folder is reached through a link, which is then replaced by one that leads nowhere.
#[cfg(unix)]
fn survives_outage(mode: &str, spoil: fn(&std::path::Path)) {
    use std::os::unix::fs::symlink;
    let temp = tempfile::tempdir().unwrap();
    let [real, link] = ["real", "link"].map(|name| temp.path().join(name));
    let folder = real.join("plugins");
    fs::create_dir_all(&folder).unwrap();
    place(&folder, &library_name("chameleon"), &marked("chameleon", "1"));
    symlink(&real, &link).unwrap();
    let setup = setup().without_plugins_folder().flags(&["--watch", mode]);
    let plugins = setup.plugins_folder();
    symlink(link.join("plugins"), &plugins).unwrap();
    let host = setup.start();
    host.wait_for_answer("colour", "1");
    for mark in ["2", "3"] {
        fs::remove_file(&link).unwrap();
        spoil(&link);
        let line = host.wait_for_log(&format!("cannot access {}: ", plugins.display()));
        assert!(line.contains(" WARN "), "{line}");
        let started = std::time::Instant::now();
        // A file that is gone is unloaded much sooner.
        wait_until("the host has checked again", LIMIT, || started.elapsed().as_millis() > 500);
        assert_eq!(Lines::connect(&host).ask("colour").len(), 1, "it is served on");
        fs::remove_file(&link).unwrap();
        symlink(&real, &link).unwrap();
        place(&folder, &library_name("chameleon"), &marked("chameleon", mark));
        host.wait_for_answer("colour", mark);
    }
    host.wait_for_log(&format!("{} is accessible again", plugins.display()));
    assert!(!host.log().contains("withdrawn"), "{}", host.log());
}

#[cfg(unix)]
#[test]
fn a_folder_behind_looping_links_loses_no_plugin() {
    survives_outage("notify", |link| std::os::unix::fs::symlink(link, link).unwrap());
}

#[cfg(unix)]
#[test]
fn an_unreachable_polled_folder_loses_no_plugin() {
    survives_outage("poll", |link| fs::write(link, "a file").unwrap());
}

#[test]
fn polling_finds_what_comes_changes_and_goes() {
    let host = setup_with("keeper", "1").flags(&["--watch", "poll"]).start();
    assert_eq!(Lines::connect(&host).ask("keep pearls"), "OK");
    replace(&host, "keeper", "2");
    host.wait_for_answer("keeper.version", "2");
    files::write(host.library("keeper"), marked("keeper", "3"));
    host.wait_for_answer("keeper.version", "3");
    replace(&host, "chameleon", "new");
    host.wait_for_answer("colour", "new");
    files::remove(host.library("keeper"));
    host.wait_until_unknown("kept");
    replace(&host, "keeper", "4");
    host.wait_for_answer("kept", "pearls");
    files::remove_folder(host.plugins_folder());
    host.wait_until_unknown("colour");
    fs::create_dir(host.plugins_folder()).unwrap();
    replace(&host, "chameleon", "again");
    host.wait_for_answer("colour", "again");
}

#[test]
fn file_without_library_name_is_never_opened() {
    let host = host_with("chameleon", "1");
    let bytes = marked("keeper", "hidden");
    let hidden = format!(".{}", library_name("keeper"));
    for name in ["notes.txt", "libkeeper.so.bak", "libkeeper", &hidden] {
        fs::write(host.plugins_folder().join(name), &bytes).unwrap();
    }
    let below = host.plugins_folder().join("below");
    fs::create_dir(&below).unwrap();
    fs::write(below.join(library_name("keeper")), &bytes).unwrap();
    host.process_changes("text", 1);
    assert!(Lines::connect(&host).ask("kept").starts_with("error: unknown command"));
    assert!(!host.log().contains("refused"), "{}", host.log());
}

/// Returns the command that starts a host without root's override of file permissions.
#[cfg(unix)]
pub(crate) fn with_file_permissions() -> &'static [&'static str] {
    let is_root = rustix::process::geteuid().is_root();
    if is_root { &["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] } else { &[] }
}

#[cfg(unix)]
#[test]
#[cfg_attr(not(right = "permissions"), ignore = "needs permissions that hold for root")]
fn a_file_that_becomes_readable_is_served() {
    use std::os::unix::fs::PermissionsExt;
    let setup = setup_with("chameleon", "1");
    let library = setup.plugins_folder().join(library_name("chameleon"));
    let allow = |mode| fs::set_permissions(&library, fs::Permissions::from_mode(mode)).unwrap();
    allow(0o000);
    let host = setup.started_by(with_file_permissions()).start();
    let line = host.wait_for_log(&format!("refused {}", library_name("chameleon")));
    assert!(line.contains("cannot open it: "), "{line}");
    assert!(Lines::connect(&host).ask("colour").starts_with("error: unknown command"));
    allow(0o644);
    host.wait_for_answer("colour", "1");
}
