//! Checks of the documentation against the sources: the messages that it explains, the order of
//! modules, the files with unsafe code, the fixtures and the names of tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use dropin_tests::workspace::root;

/// Returns every Rust file under this folder of the checkout.
fn rust_files(folder: &str) -> Vec<PathBuf> {
    let (mut folders, mut found) = (vec![root().join(folder)], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() && name != "target" {
                folders.push(path);
            } else if name.ends_with(".rs") {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "no sources in {folder}");
    found
}

/// Returns every Rust file under this folder, without test files.
fn sources(folder: &str) -> Vec<PathBuf> {
    let mut found = rust_files(folder);
    found.retain(|path| {
        let inside = path.strip_prefix(root().join(folder)).unwrap();
        let is_test = inside.iter().any(|part| part == "tests");
        !is_test && !inside.to_str().unwrap().ends_with("tests.rs")
    });
    found
}

/// Returns a file's code without comments, and without the tests at its end.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let end = text.find("\nmod tests {").unwrap_or(text.len());
    let lines = text[..end].lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.map(|line| format!("{line}\n")).collect()
}

/// Returns the texts within quotes, with those of several lines joined.
fn quoted(code: &str) -> String {
    let (mut texts, mut is_inside, mut chars) = (String::new(), false, code.chars().peekable());
    while let Some(char) = chars.next() {
        match char {
            '\'' if !is_inside && chars.peek() == Some(&'"') => {}
            '\\' if is_inside => match chars.next() {
                Some('\n') => while chars.next_if(|next| next.is_whitespace()).is_some() {},
                Some(next) => texts.push(next),
                None => {}
            },
            '"' => {
                is_inside = !is_inside;
                texts.push('\n');
            }
            char if is_inside => texts.push(char),
            _ => {}
        }
    }
    texts
}

/// Returns the fixed parts of a documented message: numbers, quoted names, dots and an error's kind
/// are variable.
fn fixed_parts(message: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for word in message.split(' ') {
        let bare = word.trim_matches([':', '\'']);
        let is_kind = bare.len() > 3 && bare.chars().all(|char| char.is_ascii_uppercase());
        let is_name = word.starts_with('\'') && word.ends_with('\'');
        if bare.starts_with("..") || bare.parse::<f64>().is_ok() || is_name {
            parts.push(String::new());
        } else if is_kind {
            parts.extend([bare.to_owned(), String::new()]);
        } else {
            let part = parts.last_mut().unwrap();
            *part = format!("{part} {bare}").trim().to_owned();
        }
        if bare.ends_with("..") {
            parts.push(String::new());
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

#[test]
fn documented_messages_occur_in_the_sources() {
    let folders = ["host/src", "crates", "client/src", "plugin-api/src"];
    let texts: String = folders
        .iter()
        .flat_map(|folder| sources(folder))
        .map(|path| quoted(&code(&path)))
        .collect();
    let page = fs::read_to_string(root().join("docs/troubleshooting.md")).unwrap();
    let mut count = 0;
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let messages = row.split(" | ").next().unwrap();
        for message in messages.split('`').skip(1).step_by(2) {
            count += 1;
            for part in fixed_parts(message) {
                assert!(texts.contains(&part), "no source says '{part}', of '{message}'");
            }
        }
    }
    assert!(count > 40, "{count} messages");
}

/// A crate's modules in the order of its list: each imports only what comes later.
fn order(root_file: &Path) -> Vec<String> {
    let text = fs::read_to_string(root_file).unwrap();
    let header: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("//!")).collect();
    let header = header.join(" ");
    let list = header.split("downwards in this list:").nth(1).expect("there is a list");
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The paths within a crate that this code names.
fn paths(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let (mut path, mut outer) = (String::new(), Vec::new());
        for char in rest.chars() {
            match char {
                '{' => outer.push(path.clone()),
                ',' | '}' if !outer.is_empty() => {
                    found.insert(path);
                    path = outer.last().cloned().unwrap();
                    if char == '}' {
                        outer.pop();
                    }
                }
                char if char.is_alphanumeric() || "_:".contains(char) => path.push(char),
                char if char.is_whitespace() && !outer.is_empty() => {}
                _ => break,
            }
        }
        found.insert(path);
    }
    found
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|char| char.is_ascii_alphanumeric() || *char == '_').collect()
}

#[track_caller]
fn import_downwards_only(folder: &str, root_file: &str) {
    let root_file = root().join(folder).join(root_file);
    let order = order(&root_file);
    let place = |module: &str| order.iter().position(|one| one == module);
    let code_of_root = code(&root_file);
    let declared: BTreeSet<&str> = code_of_root
        .lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'))
        .collect();
    let listed: BTreeSet<&str> = order.iter().map(String::as_str).collect();
    assert_eq!(listed, declared, "the list has every module");
    assert_eq!(order.len(), listed.len(), "the list has each of them once");
    let mut upwards = BTreeSet::new();
    for path in sources(folder) {
        let module = node(folder, &path)[0].clone();
        let Some(its) = place(&module) else { continue };
        for import in paths(&code(&path)).iter().map(|path| first_word(path)) {
            if place(&import).is_some_and(|place| place < its) {
                upwards.insert((module.clone(), import));
            }
        }
    }
    assert_eq!(upwards, BTreeSet::new());
}

/// The module of a file, and the one within it.
fn node(folder: &str, path: &Path) -> Vec<String> {
    let inside = path.strip_prefix(root().join(folder)).unwrap().with_extension("");
    inside.iter().take(2).map(|part| part.to_str().unwrap().to_owned()).collect()
}

#[test]
fn modules_of_the_host_import_downwards_only() {
    import_downwards_only("host/src", "lib.rs");
}

#[test]
fn modules_of_the_client_import_downwards_only() {
    import_downwards_only("client/src", "main.rs");
}

#[test]
fn files_of_the_client_import_in_no_circle() {
    let mut left: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in sources("client/src") {
        left.entry(node("client/src", &path).join("::")).or_default().extend(paths(&code(&path)));
    }
    let within = |path: &str, file: &str| path == file || path.starts_with(&format!("{file}::"));
    loop {
        let imports = |one: &String, other: &String| {
            one != other && left[one].iter().any(|path| within(path, other))
        };
        let is_free = |file: &String| {
            !left.keys().any(|other| imports(file, other))
                || !left.keys().any(|other| imports(other, file))
        };
        let free: Vec<String> = left.keys().filter(|file| is_free(file)).cloned().collect();
        if free.is_empty() {
            break;
        }
        left.retain(|file, _| !free.contains(file));
    }
    assert!(left.is_empty(), "a circle among {:?}", left.keys());
}

#[test]
fn unsafe_code_is_where_the_table_says() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let table = page.split("\nThe unsafe code is in eight files").nth(1).expect("there is a table");
    let rows = table.lines().skip_while(|line| !line.starts_with("| `"));
    let named: BTreeSet<String> = rows
        .take_while(|line| line.starts_with("| `"))
        .map(|row| row.split('`').nth(1).unwrap().to_owned())
        .collect();
    assert_eq!(named.len(), 8, "{named:?}");
    let folders = ["host/src", "crates", "client/src", "plugin-api/src", "plugins", "xtask/src"];
    let files = folders.iter().flat_map(|folder| sources(folder));
    let found: BTreeSet<String> = files
        .filter(|path| code(path).lines().any(is_unsafe))
        .map(|path| path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(found, named);
}

#[test]
fn every_fixture_has_a_row_in_its_readme() {
    let folder = root().join("tests/fixtures");
    let page = fs::read_to_string(folder.join("README.md")).unwrap();
    let rows: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap());
    let mut fixtures: Vec<String> = entries
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    fixtures.sort();
    assert_eq!(rows, fixtures, "the rows and the folders, in order");
}

/// The maximum length of a test's name, in words.
const WORDS: usize = 8;

/// Folders whose test names are checked.
const TESTED: [&str; 10] = [
    "bench",
    "client",
    "crates",
    "fuzz",
    "host",
    "loom",
    "plugin-api",
    "plugins",
    "tests",
    "xtask",
];

/// Returns the names of the test functions in this code.
fn test_functions(code: &str) -> impl Iterator<Item = &str> {
    code.split("#[test]\n").skip(1).filter_map(|rest| {
        let function = rest.lines().find_map(|line| line.trim_start().strip_prefix("fn "))?;
        function.split('(').next()
    })
}

#[test]
fn test_names_have_at_most_eight_words() {
    let mut count = 0;
    let mut long = Vec::new();
    for path in TESTED.iter().flat_map(|folder| rust_files(folder)) {
        for name in test_functions(&fs::read_to_string(&path).unwrap()) {
            count += 1;
            if name.split('_').count() > WORDS {
                long.push(format!("{}: {name}", path.display()));
            }
        }
    }
    assert!(count > 800, "{count} tests");
    assert!(long.is_empty(), "{}", long.join("\n"));
}

fn is_unsafe(line: &str) -> bool {
    ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"].iter().any(|one| line.contains(one))
}
