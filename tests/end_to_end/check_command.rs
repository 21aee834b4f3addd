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

#[cfg(unix)]
mod executables {
    use std::{fs, path::Path};

    use dropin_tests::{
        files,
        setup::{Ended, run_host},
    };
    use tempfile::TempDir;

    /// A worker that notes its number and the end of its input.
    const GREET: &str = r#"#!/bin/sh
read -r greeting
echo $$ > "$DROPIN_PLUGINS_DIR/pid"
echo "it says: $greeting" >&2
echo '{"dropin":1,"name":"greet","version":"1.0","commands":[
    {"name":"greet","usage":"[WHO]","help":"A greeting."},{"name":"greet.all"}]}' | tr -d '\n'
echo
while read -r line; do :; done
touch "$DROPIN_PLUGINS_DIR/ended"
"#;

    const OFFERED: &str = "plugin greet 1.0, a worker in JSON lines
  greet [WHO]  A greeting.
  greet.all    
";

    fn folder_with(name: &str, text: &str) -> TempDir {
        files::close_to_others();
        let folder = tempfile::tempdir().unwrap();
        files::write_executable(&folder.path().join(name), text);
        folder
    }

    fn check(file: &Path, flags: &[&str]) -> Ended {
        let file = file.to_str().unwrap();
        let patient = ["--probe-timeout", "60"];
        let is_set = flags.contains(&patient[0]);
        let more = if is_set { &[][..] } else { &patient };
        run_host(&[&["check", file], flags, more].concat())
    }

    fn refusal(file: &Path, flags: &[&str]) -> String {
        let ended = check(file, flags);
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
        let said = format!("host: {} would be refused: ", file.display());
        let reason = ended.stderr.lines().find_map(|line| line.strip_prefix(&said));
        reason.unwrap_or_else(|| panic!("{ended:?}")).to_owned()
    }

    #[test]
    fn worker_is_described_and_ended() {
        let folder = folder_with("greet.sh", GREET);
        let ended = check(&folder.path().join("greet.sh"), &[]);
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(0), OFFERED), "{ended:?}");
        let errors = " WARN  greet: it says: {\"dropin\":1,";
        assert!(ended.stderr.contains(errors), "{ended:?}");
        assert!(folder.path().join("ended").exists(), "its input ended before it was killed");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn worker_that_ignores_end_leaves_nothing() {
        let text = GREET.replace("touch ", "sleep 600 &\necho $! > \"$0.child\"; wait; touch ");
        let text = text.replace("$0.child", "$DROPIN_PLUGINS_DIR/child");
        let folder = folder_with("greet.sh", &text);
        assert_eq!(check(&folder.path().join("greet.sh"), &[]).stdout, OFFERED);
        assert!(!folder.path().join("ended").exists());
        for name in ["pid", "child"] {
            let pid = fs::read_to_string(folder.path().join(name)).unwrap();
            let process = Path::new("/proc").join(pid.trim());
            dropin_tests::wait_until("it is gone", dropin_tests::LIMIT, || !process.exists());
        }
    }

    #[test]
    fn script_is_described_without_being_run() {
        let text =
            "#!/bin/sh\n# dropin: up TEXT.. -- In capitals.\ntouch \"$DROPIN_PLUGINS_DIR/run\"\n";
        let folder = folder_with("up.sh", text);
        let ended = check(&folder.path().join("up.sh"), &[]);
        let said = "plugin up 0, a script run once a call\n  up TEXT..  In capitals.\n";
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(0), said), "{ended:?}");
        assert!(!folder.path().join("run").exists());
    }

    #[test]
    fn bad_executable_is_rejected_with_reason() {
        for (name, text, why) in [
            ("a", "echo hello", "it can be executed, but is neither a program for this system nor"),
            ("b", "#!/bin/nothing\n", "its interpreter /bin/nothing is not there: install it"),
            ("c.txt", GREET, "its name is not that of a plugin: "),
            ("d.sh", "", "it is empty"),
            ("e.sh", "#!/bin/sh\necho no luck >&2; exit 3", "it ended before its hello: exit "),
            ("f.sh", "#!/bin/sh\necho hello; cat", "its first line is no hello: "),
            ("g.sh", &GREET.replace("\"greet\"", "\"Gr\""), "its name 'Gr' is illegal"),
            ("h.sh", &GREET.replace("greet.all", "ks"), "h.sh claims the command 'ks', which is"),
            ("i.sh", "#!/bin/sh\n# dropin: Up\n", "its header in line 2 is wrong: the name 'Up'"),
        ] {
            let folder = folder_with(name, text);
            let file = folder.path().join(name);
            let said = refusal(&file, &[]).replace(file.to_str().unwrap(), name);
            assert!(said.starts_with(why), "{name}: {said}");
        }
        let folder = folder_with("hangs.sh", "#!/bin/sh\nexec sleep 600\n");
        let said = refusal(&folder.path().join("hangs.sh"), &["--probe-timeout", "0.5"]);
        assert!(said.starts_with("it did not finish within 0.5 s"), "{said}");
    }

    #[test]
    fn errors_of_worker_are_shown() {
        let text = "#!/bin/sh\necho 'Traceback, line 1' >&2; echo no luck >&2; exit 3";
        let folder = folder_with("bad.sh", text);
        let ended = check(&folder.path().join("bad.sh"), &[]);
        let lines: Vec<_> = ended.stderr.lines().collect();
        let [first, second, reason] = lines[..] else { panic!("{ended:?}") };
        assert!(first.ends_with(" WARN  bad: Traceback, line 1"), "{ended:?}");
        assert!(second.ends_with(" WARN  bad: no luck"), "{ended:?}");
        assert!(
            reason.ends_with(": it ended before its hello: exit status 3: no luck"),
            "{reason}"
        );
    }

    #[test]
    fn right_to_execute_or_interpreter_is_needed() {
        let folder = folder_with("greet.sh", GREET);
        let file = folder.path().join("greet.sh");
        fs::write(folder.path().join("plain.sh"), GREET).unwrap();
        let plain = folder.path().join("plain.sh");
        let said = refusal(&plain, &[]);
        assert!(said.ends_with(&format!("run chmod +x {}", plain.display())), "{said}");
        let settings = folder.path().join("host.toml");
        fs::write(&settings, "[interpreters]\nsh = \"/bin/sh\"\n").unwrap();
        let flags = ["--config", settings.to_str().unwrap()];
        for file in [plain, file] {
            assert_eq!(check(&file, &flags).stdout, OFFERED);
        }
    }

    #[test]
    fn unsigned_executable_is_not_started() {
        let key = "untrusted comment: minisign public key E7620F1842B4E81F
RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
        let folder = folder_with("greet.sh", GREET);
        let key_file = folder.path().join("plugins.pub");
        fs::write(&key_file, key).unwrap();
        let said =
            refusal(&folder.path().join("greet.sh"), &["--plugin-key", key_file.to_str().unwrap()]);
        assert!(said.starts_with("it has no signature"), "{said}");
        assert!(!folder.path().join("pid").exists());
    }
}
