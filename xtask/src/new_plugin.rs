//! Creates a plugin from a template; one in Rust is tested and installed, too.

use std::{
    env::consts::EXE_SUFFIX,
    fs, io,
    path::{Path, PathBuf},
};

use toml_edit::{DocumentMut, Value};

use crate::{cargo, error::TaskError, install, language::Language, workspace};

/// The template's placeholders for the plugin's name and for the path of `plugin-api`.
const PLACES: [(&str, Place); 2] =
    [("{{project-name}}", Place::Name), ("{{plugin_api}}", Place::PluginApi)];

/// Files of the template that only its other users need.
const LEFT_OUT: [&str; 2] = ["cargo-generate.toml", ".gitignore"];

/// Maximum length of a name, in bytes; the same as for a plugin.
const MAX_NAME: usize = 64;

/// Modules that the Python module of plugins imports, directly or not, and that module itself.
const MODULES: [&str; 40] = [
    "abc",
    "argparse",
    "ast",
    "base64",
    "collections",
    "contextlib",
    "copy",
    "dataclasses",
    "dis",
    "dropin",
    "enum",
    "functools",
    "inspect",
    "io",
    "itertools",
    "json",
    "keyword",
    "linecache",
    "logging",
    "math",
    "operator",
    "os",
    "queue",
    "re",
    "select",
    "shutil",
    "signal",
    "socket",
    "string",
    "subprocess",
    "sys",
    "threading",
    "time",
    "token",
    "tokenize",
    "traceback",
    "types",
    "typing",
    "warnings",
    "weakref",
];

/// Names that cargo or the language reserve.
const KEPT: [&str; 12] = [
    "alloc",
    "build",
    "core",
    "crate",
    "deps",
    "examples",
    "incremental",
    "proc_macro",
    "self",
    "std",
    "super",
    "test",
];

#[derive(Clone, Copy)]
enum Place {
    Name,
    PluginApi,
}

/// Creates the plugin of this name.
pub fn run(name: &str, language: Language, profile: &str) -> Result<(), TaskError> {
    check(name)?;
    match language.worker() {
        None => run_crate(name, profile),
        Some(file) => {
            if language == Language::Python && MODULES.contains(&name) {
                let why = "is a module that Python plugins import, and would hide: choose another";
                return Err(TaskError::Refused(format!("'{name}' {why}")));
            }
            run_worker(name, (language, file), profile)
        }
    }
}

/// Creates a folder with an executable of this name.
fn run_worker(
    name: &str,
    (language, file): (Language, &str),
    profile: &str,
) -> Result<(), TaskError> {
    let (root, folder) = (cargo::root(), format!("plugins/{name}"));
    copy(&root.join("templates").join(language.name()), &root.join(&folder), name)?;
    let mut module = String::new();
    if let Some(path) = language.module() {
        let from = root.join(path);
        let file = from.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let to = root.join(&folder).join(&file);
        fs::copy(&from, &to).map_err(|error| TaskError::Io("copy", from, error))?;
        module = format!("install -m 644 {folder}/{file} plugins/ && ");
    }
    let extension = Path::new(file).extension().unwrap_or_default().to_string_lossy();
    let host = program("host", profile);
    println!(
        "made {folder}/{file}

Try it:      {host} dev {folder}/{file} --port 5001
Install it:  {module}install -m 755 {folder}/{file} plugins/{name}.{extension}
Read on:     {folder}/README.md and docs/workers.md"
    );
    Ok(())
}

/// Creates a crate, adds it to the workspace, tests it and installs it.
fn run_crate(name: &str, profile: &str) -> Result<(), TaskError> {
    check_crate(name)?;
    let (root, folder) = (cargo::root(), cargo::root().join("plugins").join(name));
    copy(&root.join("templates").join("plugin"), &folder, name)?;
    add_member(&root.join("Cargo.toml"), &format!("plugins/{name}"))?;
    println!("made plugins/{name}, a member of the workspace");
    let built = finish(name, profile);
    if built.is_err() {
        eprintln!("plugins/{name} was kept; fix it, then run: cargo xtask plugins");
        return built;
    }
    let (client, host) = (program("client", profile), program("host", profile));
    println!(
        "
A running host takes it within a second. Else start one:  cargo xtask run
Try it:      {client} s {name}.hello world
Change it:   plugins/{name}/src/lib.rs, then: cargo xtask plugins
             or serve it beside that, built anew at every save: {host} dev plugins/{name} --port 5001
Read on:     docs/plugins.md, and: cargo doc -p dropin-plugin-api --open"
    );
    Ok(())
}

/// One profile and one set of features for both steps, so that what it depends on is built once.
fn finish(name: &str, profile: &str) -> Result<(), TaskError> {
    let build = ["--profile", cargo::profile_of(profile)];
    let arguments = [["--package", name], cargo::SAME_FEATURES, build].concat();
    cargo::test_of(&arguments)?;
    cargo::build(&arguments)?;
    install::plugin(name, profile)
}

/// Checks that a plugin can have this name.
fn check(name: &str) -> Result<(), TaskError> {
    let refuse = |why: String| Err(TaskError::Refused(format!("'{name}' {why}")));
    let legal = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-_".contains(&c);
    let letter = name.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
    if !letter || name.len() > MAX_NAME || !name.bytes().all(legal) {
        return refuse(format!(
            "cannot be a plugin's name: 1 to {MAX_NAME} of a-z 0-9 - _, a letter first"
        ));
    }
    // - and _ give the same file name of the library.
    let file = |name: &str| name.replace('-', "_");
    let taken = workspace::shipped_plugins()?.into_iter().find(|taken| file(taken) == file(name));
    if let Some(taken) = taken {
        return refuse(format!("is taken: there is plugins/{taken}"));
    }
    let folder = cargo::root().join("plugins").join(name);
    if folder.exists() {
        return refuse(format!("is taken: {} is there", folder.display()));
    }
    Ok(())
}

/// Checks that a crate can have this name.
fn check_crate(name: &str) -> Result<(), TaskError> {
    let refuse = |why: &str| Err(TaskError::Refused(format!("'{name}' {why}")));
    if KEPT.contains(&name) || is_keyword(name) {
        return refuse("is reserved by Rust or cargo: choose another");
    }
    let file = |name: &str| name.replace('-', "_");
    let lock = cargo::root().join("Cargo.lock");
    let text = fs::read_to_string(&lock).map_err(|error| TaskError::Io("read", lock, error))?;
    let mut packages =
        text.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    // Those of this workspace have a prefix that their libraries and programs lack.
    let bare = |package: &str| file(package.strip_prefix("dropin-").unwrap_or(package));
    if packages.any(|package| bare(package) == file(name) || file(package) == file(name)) {
        return refuse("is the name of a crate that is used here: choose another");
    }
    Ok(())
}

/// Returns whether the name is a keyword, which no crate can have as its name.
fn is_keyword(name: &str) -> bool {
    const KEYWORDS: &str = "abstract as async await become box break const continue do dyn else \
                            enum extern false final fn for gen if impl in let loop macro match mod \
                            move mut override priv pub ref return static struct trait true try \
                            type typeof union unsafe unsized use virtual where while yield";
    KEYWORDS.split_ascii_whitespace().any(|keyword| keyword == name)
}

/// Fills in the template: in a temporary folder, then renamed, so that it is never incomplete.
fn copy(template: &Path, folder: &Path, name: &str) -> Result<(), TaskError> {
    let beside = folder.with_file_name(format!(".{name}.new"));
    match fs::remove_dir_all(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(TaskError::Io("remove", beside, error));
        }
        _ => {}
    }
    fill(template, &beside, name)?;
    fs::rename(&beside, folder).map_err(|error| TaskError::Io("make", folder.to_owned(), error))
}

fn fill(from: &Path, to: &Path, name: &str) -> Result<(), TaskError> {
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |error| TaskError::Io(what, path, error)
    };
    fs::create_dir(to).map_err(failed("make", to))?;
    for entry in fs::read_dir(from).map_err(failed("read", from))? {
        let path = entry.map_err(failed("read", from))?.path();
        let file = path.file_name().unwrap_or_default();
        let target = to.join(file);
        if path.is_dir() {
            fill(&path, &target, name)?;
        } else if !LEFT_OUT.iter().any(|left| file == *left) {
            let mut text = fs::read_to_string(&path).map_err(failed("read", &path))?;
            for (mark, place) in PLACES {
                let words = match place {
                    Place::Name => name,
                    Place::PluginApi => "../../plugin-api",
                };
                text = text.replace(mark, words);
            }
            let is_script = text.starts_with("#!");
            fs::write(&target, text).map_err(failed("write", &target))?;
            if is_script {
                make_executable(&target).map_err(failed("change the rights of", &target))?;
            }
        }
    }
    Ok(())
}

/// Makes a file executable for all, and writable only for its owner, as the host requires.
fn make_executable(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        let rights = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
        fs::set_permissions(path, rights)
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        Ok(())
    }
}

/// Adds a member to the workspace, after the last one of the same folder.
fn add_member(manifest: &Path, member: &str) -> Result<(), TaskError> {
    let failed = |what| move |error| TaskError::Io(what, manifest.to_owned(), error);
    let text = fs::read_to_string(manifest).map_err(failed("read"))?;
    let unfit = || TaskError::Refused(format!("{} has no list of members", manifest.display()));
    let mut document: DocumentMut = text.parse().map_err(|_| unfit())?;
    let members = document["workspace"]["members"].as_array_mut().ok_or_else(unfit)?;
    let beside = |value: &Value| {
        value.as_str().is_some_and(|other| other.starts_with("plugins/") && other < member)
    };
    let before = members.iter().enumerate().filter(|(_, other)| beside(other)).last();
    let place = before.map_or(members.len(), |(last, _)| last + 1);
    let mut value = Value::from(member);
    // On a line of its own, as the others.
    *value.decor_mut() =
        members.get(place.saturating_sub(1)).map(Value::decor).cloned().unwrap_or_default();
    members.insert_formatted(place, value);
    let beside: PathBuf = manifest.with_extension("toml.new");
    fs::write(&beside, document.to_string()).map_err(failed("write"))?;
    fs::rename(&beside, manifest).map_err(failed("write"))
}

/// Returns the command that starts a program of this workspace, which may not be built yet.
fn program(name: &str, profile: &str) -> String {
    let file = format!("{name}{EXE_SUFFIX}");
    if cargo::output(profile).join(&file).exists() {
        return format!("target/{profile}/{file}");
    }
    format!("cargo run --profile {} --package {name} --", cargo::profile_of(profile))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_member_is_inserted_in_order() {
        let temp = tempfile::tempdir().unwrap();
        let manifest = temp.path().join("Cargo.toml");
        let before = "[workspace]\nmembers = [\n    \"host\",\n    \"plugins/clock\",\n    \
                      \"plugins/text\",\n    \"tests\",\n]\n# kept\nexclude = [\"fuzz\"]\n";
        for (member, after) in [
            (
                "plugins/shout",
                "    \"plugins/clock\",\n    \"plugins/shout\",\n    \"plugins/text\",\n",
            ),
            ("plugins/zoo", "    \"plugins/text\",\n    \"plugins/zoo\",\n    \"tests\",\n"),
        ] {
            fs::write(&manifest, before).unwrap();
            add_member(&manifest, member).unwrap();
            let text = fs::read_to_string(&manifest).unwrap();
            assert!(text.contains(after), "{text}");
            assert_eq!(text.replace(&format!("    \"{member}\",\n"), ""), before);
        }
    }

    #[test]
    fn names_that_cannot_be_are_refused() {
        for name in [
            "",
            "Loud",
            "a b",
            "7up",
            "../x",
            "-x",
            "é",
            "fn",
            "test",
            "text",
            "serde",
            "plugin_api",
        ] {
            let checked = check(name).and_then(|()| check_crate(name));
            let error = checked.unwrap_err().to_string();
            assert!(error.contains(&format!("'{name}' ")), "{error}");
        }
        for name in ["shout", "word-count", "a_b2"] {
            assert!(check(name).and_then(|()| check_crate(name)).is_ok(), "{name}");
        }
    }
}
