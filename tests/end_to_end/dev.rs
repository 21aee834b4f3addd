//! `host dev`: edit, save, try.

use std::{fs, path::Path};

use dropin_tests::{
    LIMIT, Lines, Setup, files,
    setup::run_host,
    wait_for, wait_until,
    workspace::{self, ExclusiveBuild},
};
use tempfile::TempDir;

const TALLY: &str = r#"//! Counts, and says so.
use std::sync::atomic::{AtomicI64, Ordering};

use plugin_api::{Host, Request, Result, Saved, State, plugin};

plugin! {
    state: Tally,
    commands: {
        "NAME" "" => tally, "Counts.";
    }
}

#[derive(Default)]
struct Tally(AtomicI64);

impl State for Tally {
    fn create(_: &Host) -> Result<Self> {
        Ok(Self::default())
    }
}

impl Saved for Tally {
    fn save(&self) -> Result<Vec<u8>> {
        Ok(self.0.load(Ordering::SeqCst).to_string().into_bytes())
    }

    fn restore(&self, saved: &[u8]) -> Result<()> {
        self.0.store(std::str::from_utf8(saved)?.parse()?, Ordering::SeqCst);
        Ok(())
    }
}

fn tally(tally: &Tally, _: &Request) -> String {
    format!("one {}", tally.0.fetch_add(1, Ordering::SeqCst) + 1)
}
"#;

/// Returns a crate of this name, its code, and exclusive use of the folder in which it is built.
fn new_crate(name: &str) -> (TempDir, String, ExclusiveBuild) {
    let folder = tempfile::tempdir().unwrap();
    workspace::from_template(folder.path(), name);
    let code = TALLY.replace("NAME", name);
    save(folder.path(), &code);
    // Its dependencies may take longer to build than a test waits.
    let built = workspace::cargo(folder.path(), &["build"]);
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    // From here on waits have a limit, so no other build may delay this test's.
    (folder, code, workspace::exclusive_build())
}

fn save(folder: &Path, code: &str) {
    fs::write(folder.join("src/lib.rs"), code).unwrap();
}

#[test]
#[cfg_attr(not(tool = "cargo"), ignore = "needs cargo")]
fn saved_source_is_served_unless_build_fails() {
    let (folder, code, _alone) = new_crate("tally");
    let mut host = Setup::new().develop(folder.path()).start();
    let line = host.wait_for_log("dev: plugin tally, generation 1, serves, ");
    assert!(line.ends_with(" s after the start"), "{line}");
    let mut client = Lines::connect(&host);
    assert_eq!(client.ask("tally"), "one 1");

    save(folder.path(), &code.replace("one ", "two "));
    let line = host.wait_for_log("dev: plugin tally, generation 2, serves, ");
    assert!(line.ends_with(" s after the save"), "{line}");
    assert_eq!(client.ask("tally"), "two 2", "the session goes on, and so does the state");

    save(folder.path(), &code.replace("one ", "three ").replace("fn tally", "fn tally tally"));
    let line = host.wait_for_log("dev: not built (");
    assert!(line.ends_with(", see above; the version before serves on"), "{line}");
    assert!(host.log().contains("fn tally tally("), "cargo's words are shown in full");
    assert_eq!(client.ask("tally"), "two 3");

    save(folder.path(), &code.replace("\"tally\" \"\"", "\"Tally\" \"\""));
    let line = host.wait_for_log("dev: refused: its command 'Tally' has an illegal name");
    assert!(line.contains("; the version before serves on, "), "{line}");
    assert_eq!(client.ask("tally"), "two 4");

    fs::create_dir(folder.path().join("src/words")).unwrap();
    fs::write(folder.path().join("src/words/three.txt"), "three").unwrap();
    let words = code.replace("\"one {}\", ", "\"{} {}\", include_str!(\"words/three.txt\"), ");
    save(folder.path(), &words);
    host.wait_for_log("dev: plugin tally, generation 3, serves, ");
    assert_eq!(client.ask("tally"), "three 5");
    fs::write(folder.path().join("src/words/three.txt"), "four").unwrap();
    host.wait_for_log("dev: plugin tally, generation 4, serves, ");
    assert_eq!(client.ask("tally"), "four 6");

    let own = fs::canonicalize(folder.path()).unwrap();
    host.interrupt();
    assert_eq!(host.exit(), Some(0));
    let plugins = host.logged("dev: plugins folder ").unwrap();
    let plugins = Path::new(plugins.trim_start_matches("dev: plugins folder "));
    assert!(!plugins.exists() && own.exists(), "its own folder is gone, and no other");
}

#[test]
#[cfg_attr(not(tool = "cargo"), ignore = "needs cargo")]
fn named_plugins_folder_is_used_and_kept() {
    let (folder, _, _alone) = new_crate("tally-kept");
    let plugins = folder.path().join("dropped");
    let flags = ["--plugins", plugins.to_str().unwrap()];
    let mut host = Setup::new().develop(folder.path()).flags(&flags).start();
    let line = host.wait_for_log("dev: plugin tally-kept, generation 1, serves");
    assert!(line.ends_with(" s after the start"), "its library is no source: {line}");
    host.terminate();
    assert_eq!(host.exit(), Some(0));
    let library = dropin_tests::built::library_name("tally-kept");
    assert!(plugins.join(&library).exists());
    let mut host = Setup::new().develop(folder.path()).flags(&flags).start();
    host.wait_for_answer("tally-kept", "one 1");
    assert_eq!(host.ks(), Some(0));
}

#[cfg(target_os = "linux")]
#[test]
fn cargo_ends_with_the_host() {
    let (folder, _, _alone) = new_crate("tally-slow");
    let marker = folder.path().join("builds");
    let script = format!(
        "fn main() {{
            std::fs::write({marker:?}, std::process::id().to_string()).unwrap();
            loop {{ std::thread::park(); }}
        }}"
    );
    fs::write(folder.path().join("build.rs"), script).unwrap();
    let mut host = Setup::new().develop(folder.path()).start();
    let builder = wait_for("the build is under way", LIMIT, || {
        fs::read_to_string(&marker).ok().filter(|pid| !pid.is_empty())
    });
    let builder = Path::new("/proc").join(builder);
    assert!(builder.exists());
    // Meanwhile it serves, if only its own commands.
    assert_eq!(Lines::connect(&host).ask("ping"), "PONG");
    host.interrupt();
    assert_eq!(host.exit(), Some(0));
    wait_until("what cargo has started is gone", LIMIT, || !builder.exists());
}

#[test]
#[cfg_attr(not(tool = "cargo"), ignore = "needs cargo")]
fn crate_without_library_gets_a_clear_error() {
    let (folder, code, _alone) = new_crate("tally-lib");
    let manifest = folder.path().join("Cargo.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("crate-type = [\"cdylib\"]", "")).unwrap();
    let host = Setup::new().develop(folder.path()).start();
    let line = host.wait_for_log("dev: built, but not as a library that a host can load: ");
    assert!(line.contains("crate-type = [\"cdylib\"]"), "{line}");
    save(folder.path(), "no code");
    let line = host.wait_for_log("dev: not built (");
    assert!(line.ends_with(", see above"), "there is no version before: {line}");
    save(folder.path(), &code);
    fs::write(&manifest, text).unwrap();
    host.wait_for_answer("tally-lib", "one 1");
}

#[test]
fn a_folder_without_a_crate_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let ended = run_host(&["dev", folder.path().to_str().unwrap(), "--port", "0"]);
    assert_eq!((ended.status, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
    let said = format!("host: there is no Cargo.toml in {}: ", folder.path().display());
    assert!(ended.stderr.starts_with(&said), "{ended:?}");
}

#[cfg(unix)]
mod executables {
    use super::*;

    /// A worker whose reply is in a module beside it.
    const GREET: &str = r#"#!/usr/bin/env python3
import json, sys
from words import HELLO

for line in sys.stdin:
    message = json.loads(line)
    if "dropin" in message:
        commands = [{"name": "greet", "usage": "[WHO]"}]
        reply = {"dropin": 1, "name": "greet", "version": "1", "commands": commands}
    elif "call" in message:
        print("greeting", *message["args"], file=sys.stderr)
        reply = {"id": message["id"], "ok": " ".join([HELLO, *message["args"]])}
    print(json.dumps(reply), flush=True)
"#;

    #[test]
    #[cfg_attr(not(tool = "python3"), ignore = "needs python3")]
    fn saved_executable_is_served_without_build() {
        files::close_to_others();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("greet.py");
        fs::write(folder.path().join("words.py"), "HELLO = 'hello,'\n").unwrap();
        fs::write(folder.path().join("other.py"), "#!/usr/bin/env python3\n").unwrap();
        files::write_executable(&file, GREET);
        let flags = ["--probe-timeout", "60"];
        let mut host = Setup::new().develop(&file).flags(&flags).start();
        let line = host.wait_for_log("dev: plugin greet, generation 1, serves, ");
        assert!(line.ends_with(" s after the start"), "{line}");
        let mut client = Lines::connect(&host);
        assert_eq!(client.ask("greet Ada"), "hello, Ada");
        host.wait_for_log(" WARN  greet: greeting Ada");

        // Written in place.
        fs::write(&file, GREET.replace("HELLO, *", "'moin', *")).unwrap();
        let line = host.wait_for_log("dev: plugin greet, generation 2, serves, ");
        assert!(line.ends_with(" s after the save"), "{line}");
        assert_eq!(client.ask("greet Ada"), "moin Ada");

        // Replaced, as most editors do.
        files::write_executable(&file, GREET.replace("import HELLO", "import HELLO HELLO"));
        let line = host.wait_for_log("dev: refused: it ended before its hello: exit status 1");
        assert!(line.contains("; the version before serves on, "), "{line}");
        assert_eq!(client.ask("greet Ada"), "moin Ada");

        fs::write(&file, GREET.replacen("#!", "", 1)).unwrap();
        let line = host.wait_for_log("dev: not served: it can be executed, but is neither ");
        assert!(line.ends_with("; the version before serves on"), "{line}");
        files::write_executable(&file, GREET);
        host.wait_for_log("dev: plugin greet, generation 3, serves, ");
        assert_eq!(client.ask("greet Ada"), "hello, Ada");
        host.interrupt();
        assert_eq!(host.exit(), Some(0));
        assert!(file.exists() && !host.log().contains("other"), "{}", host.log());
    }

    #[test]
    fn scripts_are_served_by_their_stem() {
        files::close_to_others();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("up.sh");
        let text = "#!/bin/sh\n# dropin: up -- One.\necho one\n";
        files::write_executable(&file, text);
        let host = Setup::new().develop(&file).start();
        host.wait_for_log("dev: plugin up, generation 1, serves, ");
        assert_eq!(Lines::connect(&host).ask("up"), "one");
        fs::write(&file, text.replace("echo one", "echo two")).unwrap();
        host.wait_for_log("dev: plugin up, generation 2, serves, ");
        assert_eq!(Lines::connect(&host).ask("up"), "two");
    }

    #[test]
    fn file_that_is_no_plugin_is_refused() {
        files::close_to_others();
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        for name in ["plain.sh", "lib.so"] {
            fs::write(path(name), "#!/bin/sh\n").unwrap();
        }
        files::write_executable(&folder.path().join("up.sh"), "#!/bin/sh\n# dropin: up\n");
        let (plain, library, script) = (path("plain.sh"), path("lib.so"), path("up.sh"));
        for (words, said) in [
            (&[&*plain][..], "plain.sh: it is a script, but must not be executed: run chmod +x "),
            (&[&*library], "lib.so: it is a library: name the folder of its crate"),
            (&[&*script, "--release"], "up.sh is not built: leave out the flags of cargo"),
            (&[&*script, "--plugins", folder.path().to_str().unwrap()], "is in the plugins folder"),
        ] {
            let ended = run_host(&[&["dev"], words].concat());
            assert_eq!((ended.status, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
            assert!(ended.stderr.contains(said), "{ended:?}");
        }
    }
}
