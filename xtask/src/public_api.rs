//! The public interface of the plugin API, against the list in `plugin-api/public-api.txt`.

use std::{collections::BTreeSet, fs};

use serde_json::Value;

use crate::{cargo, error::TaskError, program, workspace};

const PACKAGE: &str = "dropin-plugin-api";

/// Parts of an item that are items of their own, or only number them.
const NOT_SIGNATURE: [&str; 8] = [
    "id",
    "impls",
    "implementations",
    "items",
    "fields",
    "variants",
    "has_stripped_fields",
    "name",
];

/// Traits that the compiler implements and that nobody else can name.
const UNSTABLE: [&str; 3] = ["Freeze", "StructuralPartialEq", "UnsafeUnpin"];

/// Compares the interface with the list, or writes the list anew.
///
/// # Errors
/// The interface differs, or it cannot be told.
pub fn run(bless: bool) -> Result<(), TaskError> {
    let folder = workspace::root().join("plugin-api");
    let path = folder.join("public-api.txt");
    let manifest = folder.join("Cargo.toml");
    let read = |path: &std::path::Path| {
        fs::read_to_string(path).map_err(|error| TaskError::Io("read", path.to_owned(), error))
    };
    let text = read(&manifest)?;
    let version = text.lines().find_map(|line| line.strip_prefix("version = \""));
    let major = version.and_then(|version| version.split('.').next()).unwrap_or_default();
    let target = workspace::target().join("public-api");
    let mut rustdoc = cargo::cargo();
    rustdoc.args(["rustdoc", "--quiet", "--lib", "--package", PACKAGE, "--target-dir"]);
    rustdoc.arg(&target).args(["--", "-Z", "unstable-options", "--output-format", "json"]);
    // By this the stable compiler writes JSON. A folder of its own, since build scripts ask for it.
    program::succeed(rustdoc.env("RUSTC_BOOTSTRAP", "1"))?;
    let json = target.join("doc").join("plugin_api.json");
    let document: Value = serde_json::from_str(&read(&json)?)
        .map_err(|error| TaskError::Failed(format!("reading {}: {error}", json.display())))?;
    let header =
        [format!("# {PACKAGE} {major}"), format!("# format {}", document["format_version"])];
    let items = listed(&document);
    let kept = if path.exists() { read(&path)? } else { String::new() };
    let same_format = kept.lines().nth(1).is_none_or(|line| *line == header[1]);
    let same_major = kept.lines().next().is_none_or(|line| *line == header[0]);
    let kept: BTreeSet<String> = kept.lines().skip(2).map(Into::into).collect();
    let lost: Vec<_> = kept.difference(&items).map(|item| format!("- {item}")).collect();
    let new: Vec<_> = items.difference(&kept).map(|item| format!("+ {item}")).collect();
    [&lost, &new].into_iter().flatten().for_each(|line| println!("{line}"));
    if !lost.is_empty() && same_format && same_major {
        return Err(TaskError::Refused(format!(
            "{} items of {PACKAGE} are removed or changed: raise its major version or restore them",
            lost.len()
        )));
    }
    if bless {
        let lines: Vec<_> = header.into_iter().chain(items).collect();
        return fs::write(&path, lines.join("\n") + "\n")
            .map_err(|error| TaskError::Io("write", path, error));
    }
    if lost.is_empty() && new.is_empty() && same_format && same_major {
        return Ok(());
    }
    Err(TaskError::Refused(
        "the list differs in items, major version or format of rustdoc; keep the new one by: cargo \
         xtask public-api --bless"
            .into(),
    ))
}

/// Returns a line for each public item of this document of rustdoc.
fn listed(document: &Value) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    list(document, &document["root"], "", &mut lines, 0);
    lines
}

fn list(document: &Value, id: &Value, parent: &str, lines: &mut BTreeSet<String>, depth: usize) {
    // Re-exports may form a circle.
    const MAX_DEPTH: usize = 12;
    let item = &document["index"][id.to_string()];
    let Some((kind, inner)) = item["inner"].as_object().and_then(|inner| inner.iter().next())
    else {
        return;
    };
    let is_public = ["public", "default"].iter().any(|word| item["visibility"] == *word);
    if !is_public || depth > MAX_DEPTH {
        return;
    }
    let name = item["name"].as_str().or(inner["name"].as_str()).unwrap_or_default();
    let path = if parent.is_empty() { name.to_owned() } else { format!("{parent}::{name}") };
    let mut below = |ids: &Value, path: &str| {
        ids.as_array()
            .into_iter()
            .flatten()
            .for_each(|id| list(document, id, path, lines, depth + 1));
    };
    match kind.as_str() {
        "impl" if inner["blanket_impl"].is_object() => {}
        "impl" if UNSTABLE.iter().any(|name| inner["trait"]["path"] == *name) => {}
        "impl" if inner["trait"].is_null() => below(&inner["items"], parent),
        "impl" => {
            let (implemented, generics) = (text(&inner["trait"]), text(&inner["generics"]));
            lines.insert(format!("{parent} implements {implemented} {generics}").trim_end().into());
        }
        // An item of this crate is listed in its own place.
        "use" if document["index"][inner["id"].to_string()].is_object() => {
            list(document, &inner["id"], parent, lines, depth + 1);
        }
        _ => {
            for part in ["items", "fields", "variants", "impls"] {
                below(&inner[part], &path);
                below(&inner["kind"]["plain"][part], &path);
                below(&inner["kind"]["struct"][part], &path);
            }
            below(&inner["kind"]["tuple"], &path);
            lines.insert(format!("{path} {kind} {}", text(inner)).trim_end().to_owned());
        }
    }
}

/// Returns what there is in this value, in short.
fn text(value: &Value) -> String {
    match value {
        Value::Null | Value::Bool(false) | Value::Number(_) => String::new(),
        Value::Bool(true) => "yes".into(),
        Value::String(text) => text.split_whitespace().collect::<Vec<_>>().join(" "),
        Value::Array(values) => {
            let parts: Vec<_> = values.iter().map(text).filter(|text| !text.is_empty()).collect();
            if parts.is_empty() { String::new() } else { format!("[{}]", parts.join(", ")) }
        }
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(key, _)| !NOT_SIGNATURE.contains(&key.as_str()));
            let parts =
                fields.map(|(key, value)| (key, text(value))).filter(|(_, text)| !text.is_empty());
            parts.map(|(key, text)| format!("{key}({text})")).collect::<Vec<_>>().join(" ")
        }
    }
}
