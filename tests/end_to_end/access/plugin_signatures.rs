//! Signed libraries: with a plugin key, the host rejects every library that it has not signed.

use std::{fs, path::Path};

use dropin_tests::{
    Host, LIMIT, Lines, Setup,
    built::library_name,
    files,
    reload::{marked, place},
    setup::run_host,
    signer::{Signer, signature_name},
    wait_until,
};

/// Returns a host that requires signatures of this key, with the text plugin, signed.
fn setup(signer: &Signer) -> Setup {
    let text = marked_text();
    let setup = Setup::new().flags(&["--probe-timeout", "60", "--plugin-key"]);
    setup
        .flags(&[signer.file().to_str().unwrap()])
        .file(&signature_name("text"), &signer.sign(&text))
        .file(&library_name("text"), &text)
}

/// Returns the same host with a fixture of this mark.
fn setup_with(signer: &Signer, mark: &str) -> Setup {
    let library = marked("chameleon", mark);
    setup(signer)
        .file(&signature_name("chameleon"), &signer.sign(&library))
        .file(&library_name("chameleon"), &library)
}

fn marked_text() -> Vec<u8> {
    dropin_tests::reload::stripped("text")
}

/// Writes a fixture's signature into the plugins folder.
fn place_signature(host: &Host, signature: &[u8]) {
    place(&host.plugins_folder(), &signature_name("chameleon"), signature);
}

#[track_caller]
fn wait_for_refusal(host: &Host, why: &str) {
    host.wait_for_log(why);
    let refused = format!("refused {} ", library_name("chameleon"));
    let log = host.log();
    let line = log.lines().rfind(|line| line.contains(&refused)).unwrap_or_default();
    assert!(line.contains(why), "{line}");
}

/// Returns how many probes of the fixture have started.
fn probes(host: &Host) -> usize {
    let begun = format!("plugin file {}: probe started", library_name("chameleon"));
    host.log().matches(&begun).count()
}

const MISSING: &str = "it has no signature: ";
const UNREADABLE: &str = "cannot be read: it is not as `minisign -S` writes it";
const OTHER_KEY: &str = "its signature was not made with the plugin key";
const MISMATCH: &str = "its signature does not match its content";

/// Returns signatures of a fixture that are rejected, with the host's messages.
fn bad_signatures(signer: &Signer, library: &[u8]) -> [(Option<Vec<u8>>, &'static str); 5] {
    let mut changed = library.to_owned();
    *changed.last_mut().unwrap() ^= 1;
    let comment = |bytes: &[u8]| {
        let text = String::from_utf8(bytes.to_owned()).unwrap();
        text.replace("trusted comment: timestamp", "trusted comment: tamestimp").into_bytes()
    };
    [
        (None, MISSING),
        (Some(b"just text".to_vec()), UNREADABLE),
        (Some(Signer::new().sign(library)), OTHER_KEY),
        (Some(signer.sign(&changed)), MISMATCH),
        (Some(comment(&signer.sign(library))), MISMATCH),
    ]
}

#[test]
fn unsigned_plugin_is_rejected_and_others_serve() {
    let (signer, library) = (Signer::new(), marked("chameleon", "1"));
    for (signature, why) in bad_signatures(&signer, &library) {
        let mut setup = setup(&signer).file(&library_name("chameleon"), &library);
        if let Some(signature) = signature {
            setup = setup.file(&signature_name("chameleon"), &signature);
        }
        let host = setup.start();
        wait_for_refusal(&host, why);
        assert_eq!(probes(&host), 0, "it is refused before any of it runs");
        let mut client = Lines::connect(&host);
        assert!(client.ask("colour").starts_with("error: unknown command"));
        assert_eq!(client.ask("echo fine"), "fine");
        place_signature(&host, &signer.sign(&library));
        host.wait_for_answer("colour", "1");
    }
}

#[test]
fn bad_signature_on_replacement_keeps_old_code() {
    let signer = Signer::new();
    let host = setup_with(&signer, "1").start();
    let library = marked("chameleon", "2");
    for (signature, why) in bad_signatures(&signer, &library) {
        let path = host.plugins_folder().join(signature_name("chameleon"));
        match signature {
            Some(signature) => place_signature(&host, &signature),
            None => files::remove(path),
        }
        host.place("chameleon", &library);
        wait_for_refusal(&host, why);
        assert_eq!(Lines::connect(&host).ask("colour"), "1");
    }
    assert_eq!(probes(&host), 1, "of all of them the first alone was probed");
    assert_eq!(host.figure("chameleon", "generation"), 1);
    place_signature(&host, &signer.sign(&library));
    host.wait_for_answer("colour", "2");
}

#[test]
#[cfg_attr(not(tool = "cc"), ignore = "needs cc")]
fn unsigned_library_runs_no_constructor() {
    let signer = Signer::new();
    let ran = signer.folder.path().join("ran");
    let code = format!(
        "#include <stdio.h>\n\
         __attribute__((constructor)) static void run(void) {{ fclose(fopen({:?}, \"w\")); }}",
        ran.to_str().unwrap()
    );
    let library = files::compile_c(&code);
    let host = setup(&signer).file(&library_name("chameleon"), &library).start();
    wait_for_refusal(&host, MISSING);
    assert!(!ran.exists(), "its constructor has run");
    // With a signature the code does run, so the absence of the file is meaningful.
    place_signature(&host, &signer.sign(&library));
    wait_until("its constructor has run", LIMIT, || ran.exists());
}

#[test]
fn library_serves_on_when_its_signature_goes() {
    let signer = Signer::new();
    let host = setup_with(&signer, "1").start();
    let touched = format!("{} was touched but is the same", library_name("chameleon"));
    let looks = || host.log().matches(&touched).count();
    let before = looks();
    files::remove(host.plugins_folder().join(signature_name("chameleon")));
    wait_until("the host has checked it", LIMIT, || looks() > before);
    assert_eq!(Lines::connect(&host).ask("colour"), "1");
    assert_eq!(host.figure("chameleon", "generation"), 1);
}

#[test]
fn polling_notices_late_or_corrected_signature() {
    let (signer, library) = (Signer::new(), marked("chameleon", "1"));
    let host = setup(&signer).flags(&["--watch", "poll"]).start();
    host.place("chameleon", &library);
    wait_for_refusal(&host, MISSING);
    place_signature(&host, &Signer::new().sign(&library));
    wait_for_refusal(&host, OTHER_KEY);
    place_signature(&host, &signer.sign(&library));
    host.wait_for_answer("colour", "1");
    let library = marked("chameleon", "2");
    host.place("chameleon", &library);
    wait_for_refusal(&host, MISMATCH);
    assert_eq!(Lines::connect(&host).ask("colour"), "1");
    place_signature(&host, &signer.sign(&library));
    host.wait_for_answer("colour", "2");
}

#[test]
fn signature_written_in_place_counts_once_complete() {
    let (signer, library) = (Signer::new(), marked("chameleon", "1"));
    let host = setup(&signer).start();
    host.place("chameleon", &library);
    wait_for_refusal(&host, MISSING);
    let path = host.plugins_folder().join(signature_name("chameleon"));
    files::write(path, signer.sign(&library));
    host.wait_for_answer("colour", "1");
}

#[test]
fn a_signature_that_comes_first_spares_the_refusal() {
    let signer = Signer::new();
    let host = setup_with(&signer, "1").start();
    for mark in ["2", "3"] {
        let library = marked("chameleon", mark);
        place_signature(&host, &signer.sign(&library));
        host.place("chameleon", &library);
        host.wait_for_answer("colour", mark);
    }
    assert!(!host.log().contains("refused"), "{}", host.log());
}

#[test]
fn a_signature_is_never_taken_for_a_library() {
    let signer = Signer::new();
    let keeper = marked("keeper", "1");
    let (name, signed) =
        (signature_name("keeper"), format!("{}.minisig", signature_name("keeper")));
    let host = setup_with(&signer, "1").file(&name, &keeper).file(&signed, &signer.sign(&keeper));
    let host = host.start();
    place(&host.plugins_folder(), &name, &keeper);
    let library = marked("chameleon", "2");
    place_signature(&host, &signer.sign(&library));
    host.place("chameleon", &library);
    host.wait_for_answer("colour", "2");
    assert!(Lines::connect(&host).ask("kept").starts_with("error: unknown command"));
    assert!(!host.log().contains("refused"), "{}", host.log());
}

#[test]
fn without_key_no_signature_is_required() {
    let host = Setup::new().plugins(&["text"]).file(&signature_name("text"), b"just text").start();
    assert_eq!(Lines::connect(&host).ask("echo fine"), "fine");
}

#[test]
fn missing_signature_key_prevents_start() {
    let signer = Signer::new();
    let secret = signer.pair.sk.to_box(None).unwrap().to_bytes();
    for (bytes, said) in [
        (None, "cannot read the plugin key "),
        (Some(Vec::new()), "is not a minisign public key"),
        (Some(secret), "is not a minisign public key"),
        (Some(vec![0xff; 100]), "is not a minisign public key"),
    ] {
        let path = signer.folder.path().join("other.pub");
        if let Some(bytes) = bytes {
            fs::write(&path, bytes).unwrap();
        }
        let flags = ["--plugin-key", path.to_str().unwrap()];
        let ended = Setup::new().flags(&flags).run();
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
        assert!(ended.stderr.contains(said) && ended.stderr.contains(flags[1]), "{ended:?}");
        let ended = run_host(&["check", "libx.so", flags[0], flags[1]]);
        assert_eq!(ended.status, Some(1), "{ended:?}");
        assert!(ended.stderr.contains(said), "{ended:?}");
    }
}

#[test]
fn check_verifies_as_the_host_does() {
    let (signer, library) = (Signer::new(), marked("chameleon", "1"));
    let folder = tempfile::tempdir().unwrap();
    let check = |name: &Path| {
        let key = signer.file();
        run_host(&["check", name.to_str().unwrap(), "--plugin-key", key.to_str().unwrap()])
    };
    let path = folder.path().join(library_name("chameleon"));
    fs::write(&path, &library).unwrap();
    for (signature, why) in bad_signatures(&signer, &library) {
        if let Some(signature) = signature {
            fs::write(folder.path().join(signature_name("chameleon")), signature).unwrap();
        }
        let ended = check(&path);
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
        assert!(ended.stderr.contains(why), "{ended:?}");
    }
    fs::write(folder.path().join(signature_name("chameleon")), signer.sign(&library)).unwrap();
    let ended = check(&path);
    assert_eq!(ended.status, Some(0), "{ended:?}");
}
