use clap::Parser;

use super::*;

/// The command line of `client add` alone.
#[derive(Parser)]
struct AddLine {
    #[command(flatten)]
    place: NewPlace,
    #[command(flatten)]
    flags: ConnectionArgs,
    #[arg(short)]
    quiet: bool,
}

/// Runs `client add` with these words on this file.
fn added(file: &Path, words: &[&str]) -> Result<(), Error> {
    let line = AddLine::parse_from(["client"].iter().chain(words));
    let _ = line.quiet;
    add(file, &line.place, &line.flags)
}

fn with_text(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("client.toml");
    fs::write(&file, text).unwrap();
    (folder, file)
}

#[track_caller]
fn is(file: &Path, text: &str) {
    assert_eq!(fs::read_to_string(file).unwrap(), text);
}

const BUSY: &str = "\
# Mine.

port = 6000 # everywhere

# The flat.
[places.flat]   # rented
address = '10.0.0.1' # fixed
type = \"lan\"

[internet]
address = \"a.b\"
# The end.
";

#[test]
fn file_and_folder_are_created() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dropin/client.toml");
    added(&file, &["home", "--lan", "192.168.1.10", "--port", "5000"]).unwrap();
    is(&file, "[places.home]\ntype = \"lan\"\naddress = \"192.168.1.10\"\nport = 5000\n");
    added(&file, &["here", "--same"]).unwrap();
    remove(&file, "home").unwrap();
    is(&file, "\n[places.here]\ntype = \"same\"\n");
    let left: Vec<_> = fs::read_dir(file.parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn comments_and_order_survive() {
    let (_folder, file) = with_text(BUSY);
    added(&file, &["home", "--internet", "c.d", "--plain"]).unwrap();
    let text = fs::read_to_string(&file).unwrap();
    for part in BUSY.split_inclusive('\n') {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.contains("[places.home]\ntype = \"internet\"\naddress = \"c.d\"\ntls = false\n"));
    remove(&file, "home").unwrap();
    is(&file, BUSY);
}

#[test]
fn place_is_replaced_only_on_request() {
    let (_folder, file) = with_text(BUSY);
    let message = added(&file, &["flat", "--lan", "10.0.0.2"]).unwrap_err().to_string();
    assert!(message.contains("--replace"), "{message}");
    is(&file, BUSY);
    added(&file, &["flat", "--lan", "10.0.0.2", "--replace"]).unwrap();
    is(&file, &BUSY.replace("'10.0.0.1'", "\"10.0.0.2\""));
    added(&file, &["flat", "--same", "--replace"]).unwrap();
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("[places.flat]   # rented\ntype = \"same\"\n\n[internet]"), "{text}");
}

#[test]
fn removing_a_place_removes_its_comment() {
    let (_folder, file) = with_text("# Mine.\n\n# The flat.\n[places.flat]\ntype = 'same'\n");
    remove(&file, "flat").unwrap();
    is(&file, "# Mine.\n");
    let text = "# Mine.\n\n# The flat.\n[places.flat]\ntype = 'same'\n\n[lan]\nport = 1\n";
    fs::write(&file, text).unwrap();
    remove(&file, "flat").unwrap();
    is(&file, "# Mine.\n\n[lan]\nport = 1\n");
}

#[test]
fn places_are_found_in_every_toml_form() {
    for text in [
        "[places]\na = { type = 'same', port = 1 }\n",
        "places = { a = { type = 'same' } }\n",
        "places.a.type = 'same'\n",
        "[places]\n[places.a]\ntype = 'same'\n",
    ] {
        let (_folder, file) = with_text(text);
        added(&file, &["b", "--same", "--port", "7"]).unwrap();
        added(&file, &["a", "--lan", "x", "--replace"]).unwrap();
        let settings = Settings::load(&file, true).unwrap();
        let names: Vec<_> =
            settings.places().map(|place| (place.name, place.connection_type)).collect();
        let expected = [("a", ConnectionType::Lan), ("b", ConnectionType::Same)];
        assert_eq!(names, expected, "{text}");
        remove(&file, "a").unwrap();
        assert_eq!(Settings::load(&file, true).unwrap().places().count(), 1, "{text}");
    }
}

#[test]
fn files_and_fingerprints_are_stored() {
    let (folder, file) = with_text("");
    let key_file = folder.path().join("key");
    fs::write(&key_file, "secret").unwrap();
    let fingerprint = format!("SHA256:{}", ["AB"; 32].join(":"));
    let key_file = key_file.to_str().unwrap();
    let words = ["a", "--internet", "x", "--fingerprint", &fingerprint, "--key-file", key_file];
    added(&file, &words).unwrap();
    let settings = Settings::load(&file, true).unwrap();
    let place = settings.place("a").unwrap();
    assert_eq!(place.connection_type, ConnectionType::Internet);
    assert_eq!(place.host.fingerprint.as_deref(), Some(fingerprint.as_str()));
    assert_eq!(place.host.key_file.as_deref(), Some(Path::new(key_file)));
    for (words, part) in [
        (["b", "--same", "--fingerprint", "SHA256:00:11"], "host fingerprint"),
        (["b", "--same", "--key-file", "/nonexistent/key"], "no such file"),
        (["b", "--same", "--ca", "/nonexistent/pem"], "--ca"),
        (["b", "--lan", "x:5000", "-q"], "--port"),
        (["places", "--lan", "x", "-q"], "another name"),
        (["no/pe", "--lan", "x", "-q"], "letters"),
    ] {
        let message = added(&file, &words).unwrap_err().to_string();
        assert!(message.contains(part), "{words:?}: {message}");
    }
}

#[test]
fn missing_place_cannot_be_removed() {
    let (_folder, file) = with_text(BUSY);
    let message = remove(&file, "falt").unwrap_err().to_string();
    assert!(
        message.contains("did you mean 'flat'?") && message.contains("client places"),
        "{message}"
    );
    is(&file, BUSY);
}

#[test]
fn invalid_file_is_not_changed() {
    let (_folder, file) = with_text("port = \n");
    let message = added(&file, &["a", "--same"]).unwrap_err().to_string();
    assert!(message.contains("line 1"), "{message}");
    is(&file, "port = \n");
}

#[cfg(unix)]
#[test]
fn file_is_private_and_its_link_stays() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let (folder, file) = with_text("port = 1\n");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let link = folder.path().join("link.toml");
    symlink(&file, &link).unwrap();
    added(&link, &["a", "--same", "--key", "secret"]).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let places = list(&Settings::load(&file, true).unwrap());
    assert!(!format!("{places:?}").contains("secret"), "{places:?}");
}
