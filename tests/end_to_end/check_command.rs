//! `host check`: shows a plugin's commands, or the reason why it would be rejected.

use std::fs;

use dropin_tests::{SHIPPED, built, files, setup::run_host};

#[test]
fn it_prints_what_a_good_plugin_offers() {
    let library = built::library("text");
    let ended = run_host(&["check", library.to_str().unwrap()]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let mut lines = ended.stdout.lines();
    let first = format!("plugin text {}, for plugin API ", env!("CARGO_PKG_VERSION"));
    assert!(lines.next().is_some_and(|line| line.starts_with(&first)), "{ended:?}");
    let echo = "  echo TEXT..     Replies TEXT, byte for byte.";
    assert!(lines.any(|line| line == echo), "{ended:?}");
}

#[test]
fn it_takes_every_plugin_that_ships() {
    for package in SHIPPED {
        let ended = run_host(&["check", built::library(package).to_str().unwrap()]);
        assert_eq!(ended.status, Some(0), "{ended:?}");
        assert!(ended.stdout.starts_with(&format!("plugin {package} ")), "{ended:?}");
    }
}

#[test]
fn check_says_why_bad_file_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.so");
    fs::write(&text, "just text").unwrap();
    let half = folder.path().join("half.so");
    fs::write(&half, files::altered("text", |bytes| bytes.truncate(100))).unwrap();
    let missing = folder.path().join("missing.so");
    let directory = folder.path().to_owned();
    let package = built::library;
    for (file, why) in [
        (text, "the system's loader does not take it: "),
        (half, "it is only the beginning of a library"),
        (missing, "cannot access it: "),
        (directory, "it is a directory, not a library"),
        (package("create-fails"), "its `create` failed: the moon is not full"),
        (package("illegal-name"), "its command 'Loud!' has an illegal name"),
        (package("other-major"), "it was built for plugin API 9.0.0"),
    ] {
        let ended = run_host(&["check", file.to_str().unwrap()]);
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
        let said = format!("host: {} would be refused: {why}", file.display());
        assert!(ended.stderr.starts_with(&said), "{ended:?}");
    }
}

#[test]
#[cfg_attr(not(tool = "cc"), ignore = "needs cc")]
fn it_gives_up_a_library_that_hangs() {
    let hang = "#include <unistd.h>\n\
                __attribute__((constructor)) static void run(void) { for (;;) sleep(1); }";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hang.so");
    fs::write(&file, files::compile_c(hang)).unwrap();
    let ended = run_host(&["check", file.to_str().unwrap(), "--probe-timeout", "0.5"]);
    assert_eq!(ended.status, Some(1));
    assert!(ended.stderr.contains("it did not finish within 0.5 s"), "{ended:?}");
}
