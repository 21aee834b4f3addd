use std::collections::BTreeMap;

use journal::ReadError;

use super::*;

const NAME: &str = "store";

/// The bytes of a snapshot, and the commands behind it.
type State = (Option<Vec<u8>>, Vec<Vec<u8>>);

/// Returns the state as a host reads it.
fn read(folder: &Path) -> Result<State, ReadError<()>> {
    let saved = States::read(&file_in(folder, NAME, "state"), false, &mut |_, _| Ok(()));
    let saved = saved.unwrap();
    let mut commands = Vec::new();
    let record = saved.as_ref().map_or(0, |saved| saved.record);
    journal::read(folder, NAME, record, &mut |record| {
        commands.push(record.commands.to_vec());
        Ok(())
    })?;
    Ok((saved.and_then(|saved| saved.bytes), commands))
}

fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = files_of(folder, NAME).unwrap().into_iter();
    files.map(|file| (file.clone(), fs::read(file).unwrap())).collect()
}

fn import_lines(folder: &Path, lines: &str, replaces: bool) -> Result<Imported, ImportError> {
    import(folder, NAME, &mut lines.as_bytes(), replaces)
}

const OLD: &str = "{\"state\":\"old\"}\n{\"time\":1,\"command\":[\"a\"]}\n\
                   {\"time\":1,\"command\":[\"b\"]}\n";
const NEW: &str = "{\"state\":\"new\"}\n{\"time\":2,\"command\":[\"c\"]}\n";

fn new_state() -> State {
    (Some(b"new".to_vec()), vec![b"\x01\x01c".to_vec()])
}

#[test]
fn replaced_state_is_old_new_or_refused() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    import_lines(folder, OLD, false).unwrap();
    let old = files(folder);
    assert!(matches!(import_lines(folder, NEW, false), Err(ImportError::HasState(_))));
    assert_eq!(files(folder), old);
    let aside = import_lines(folder, NEW, true).unwrap().aside.unwrap();
    assert_eq!(read(folder).unwrap(), new_state());
    for (file, content) in &old {
        assert_eq!(fs::read(aside.join(file.file_name().unwrap())).unwrap(), *content);
    }
    // The host was ended before the old files were removed.
    let state = file_in(folder, NAME, "state");
    for (file, content) in old.iter().filter(|(file, _)| **file != state) {
        fs::write(file, content).unwrap();
    }
    assert_eq!(read(folder).unwrap(), new_state());
    // It was ended before the new snapshot was put in place.
    fs::write(&state, &old[&state]).unwrap();
    assert!(matches!(read(folder), Err(ReadError::Gap { .. })));
}

#[test]
fn wrong_line_changes_nothing() {
    let temp = tempfile::tempdir().unwrap();
    import_lines(temp.path(), OLD, false).unwrap();
    let old = files(temp.path());
    let wrong = format!("{NEW}{{\"time\":2}}\n");
    let error = import_lines(temp.path(), &wrong, true).unwrap_err();
    assert!(matches!(error, ImportError::Line(3, _)), "{error}");
    assert_eq!(files(temp.path()), old);
}

#[test]
fn wrong_lines_are_explained_in_plain_words() {
    let temp = tempfile::tempdir().unwrap();
    for (line, problem) in [
        (r#"{"time":1,"command":["a",1]}"#, r#"word 2 must be a string or {"base64":"..."}"#),
        (r#"{"time":1,"command":[{"x":"y"}]}"#, r#"word 1 must be a string or {"base64":"..."}"#),
        (r#"{"time":1,"command":["a",{"base64":"%"}]}"#, "the base64 of word 2 is wrong"),
        (r#"{"state":{"base64":"YQ"}}"#, "the base64 of the state is wrong"),
        (r#"{"state":7}"#, r#"the state must be a string or {"base64":"..."}"#),
        (r#"{"time":1,"command":["a"]"#, "EOF while parsing an object at column 25"),
        (
            r#"{"time":1,"name":["a"]}"#,
            "unknown field `name`, expected one of `time`, `command`, `state` at column 16",
        ),
    ] {
        let lines = format!("{{\"time\":1,\"command\":[\"a\"]}}\n{line}\n");
        let error = import_lines(temp.path(), &lines, false).unwrap_err().to_string();
        let expected = format!("line 2 cannot be imported: {problem}; nothing was changed");
        assert_eq!(error, expected);
    }
}

#[test]
fn input_without_line_is_rejected() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("state");
    for replaces in [false, true] {
        let error = import_lines(&folder, " \n", replaces).unwrap_err();
        assert!(error.to_string().contains("nothing was imported"), "{error}");
    }
    assert!(!folder.exists());
}
