//! The documents of the Debian package, with the names that the programs have there.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{cargo, error::TaskError};

/// The programs: cargo's name and the installed name. `host` and `client` are too general for
/// /usr/bin, and Debian already has a `host` there.
pub const PROGRAMS: [(&str, &str); 2] = [("host", "dropin-host"), ("client", "dropin")];

/// The documents beside the folder `docs`.
const PAGES: [&str; 3] = ["README.md", "CHANGELOG.md", "SECURITY.md"];

/// Returns all documents of the package: paths from the checkout's root, and texts.
pub fn all() -> Result<Vec<(PathBuf, String)>, TaskError> {
    let root = cargo::root();
    let read = |path: &Path| {
        fs::read_to_string(path).map_err(|error| TaskError::Io("read", path.to_owned(), error))
    };
    let mut paths: Vec<_> = PAGES.iter().map(|name| root.join(name)).collect();
    let mut folders = vec![root.join("docs")];
    while let Some(folder) = folders.pop() {
        let failed = |error| TaskError::Io("read", folder.clone(), error);
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md")
                && !path.ends_with("SUMMARY.md")
            {
                paths.push(path);
            }
        }
    }
    let mut documents = Vec::new();
    for path in paths {
        let mut text = read(&path)?;
        // A page of the book that includes one at the top of the checkout.
        if let Some((before, rest)) = text.split_once("{{#include ")
            && let Some((included, after)) = rest.split_once("}}")
            && let Some(folder) = path.parent()
        {
            let (file, anchor) = included.split_once(':').unwrap_or((included, ""));
            let whole = read(&folder.join(file))?;
            text = format!("{before}{}{after}", anchored(&whole, anchor));
        }
        let name = path.strip_prefix(&root).unwrap_or(&path);
        documents.push((name.to_owned(), as_installed(&text)));
    }
    Ok(documents)
}

/// Returns the part of a page between the marks of this anchor, or all of it without them.
fn anchored<'a>(page: &'a str, anchor: &str) -> &'a str {
    let begin = format!("<!-- ANCHOR: {anchor} -->");
    let part = page.split_once(&begin).map_or(page, |(_, part)| part);
    part.split_once(&format!("<!-- ANCHOR_END: {anchor} -->")).map_or(part, |(part, _)| part)
}

/// Returns a Markdown document for a machine on which the package is installed: commands have their
/// names there. Documents keep their folders, so that links between them work.
pub fn as_installed(text: &str) -> String {
    let mut is_code = false;
    let mut installed = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
            installed.push_str(line);
        } else if is_code {
            installed.push_str(&code(line));
        } else if line.starts_with('#') {
            // A heading stays, since links refer to it.
            installed.push_str(line);
        } else {
            installed.push_str(&prose(line));
        }
        installed.push('\n');
    }
    installed
}

/// Converts a line of prose, in which commands stand between backticks.
fn prose(line: &str) -> String {
    let mut line = line.to_owned();
    for (built, installed) in PROGRAMS {
        for (before, after) in [("`", " "), ("`", "`"), ("(", " ")] {
            let (from, to) =
                (format!("{before}{built}{after}"), format!("{before}{installed}{after}"));
            // A parenthesis is part of a command only in a command substitution of the shell.
            let applies = before == "`" || line.contains("completion ");
            if applies {
                line = line.replace(&from, &to);
            }
        }
    }
    line
}

/// Converts a line of a terminal session or of a script.
fn code(line: &str) -> String {
    let start = line.len() - line.trim_start().len();
    let (indent, rest) = line.split_at(start);
    let (prompt, mut rest) = match rest.strip_prefix("$ ") {
        Some(rest) => ("$ ", rest),
        None => ("", rest),
    };
    let mut before = format!("{indent}{prompt}");
    // Variables of a single command precede it.
    while let Some((word, behind)) = rest.split_once(' ')
        && let Some((name, _)) = word.split_once('=')
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
    {
        before.push_str(word);
        before.push(' ');
        rest = behind;
    }
    let mut rest = rest.to_owned();
    for (built, installed) in PROGRAMS {
        // The client begins its messages with its name; `host: ` is the name of a log.
        let message = format!("{built}: ");
        if rest.starts_with(&format!("{built} "))
            || (built == "client" && rest.starts_with(&message))
        {
            rest.replace_range(..built.len(), installed);
        }
        rest = rest
            .replace(&format!("`{built} "), &format!("`{installed} "))
            .replace(&format!("/completions/{built} "), &format!("/completions/{installed} "));
    }
    before + &rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_get_their_installed_names() {
        for (text, installed) in [
            (
                "`client s` asks `host check`, then `client`",
                "`dropin s` asks `dropin-host check`, then `dropin`",
            ),
            ("the host (client side) of `client.toml`", "the host (client side) of `client.toml`"),
            ("`source <(client completion bash)`", "`source <(dropin completion bash)`"),
            ("[settings](docs/operate.md#settings)", "[settings](docs/operate.md#settings)"),
            ("## Try: `host dev`", "## Try: `host dev`"),
            ("host and client", "host and client"),
            ("```\n$ client s\n```", "```\n$ dropin s\n```"),
            ("```\n  $ A=1 host config\n```", "```\n  $ A=1 dropin-host config\n```"),
            ("```\nclient: see `host key`\n```", "```\ndropin: see `dropin-host key`\n```"),
            ("```\nhost: plugin text\n```", "```\nhost: plugin text\n```"),
            (
                "```\nhost completion bash > x/completions/host   #\n```",
                "```\ndropin-host completion bash > x/completions/dropin-host   #\n```",
            ),
        ] {
            assert_eq!(as_installed(text).trim_end(), installed);
        }
    }

    #[test]
    fn documents_keep_their_folders() {
        let names: Vec<_> = all().unwrap().into_iter().map(|(name, _)| name).collect();
        for name in ["README.md", "docs/README.md", "docs/internals/systems.md"] {
            assert!(names.contains(&name.into()), "{name} is missing: {names:?}");
        }
        for (name, text) in all().unwrap() {
            assert!(!text.contains("{{#"), "{} is a page of the book", name.display());
        }
    }

    #[test]
    fn package_documents_name_only_installed_programs() {
        let documents = all().unwrap();
        assert!(documents.len() > PAGES.len());
        for (name, text) in documents {
            for (built, _) in PROGRAMS {
                for wrong in [format!("`{built} "), format!("$ {built} "), format!("<({built} ")] {
                    let lines = text.lines().filter(|line| !line.starts_with('#'));
                    let left: Vec<_> = lines.filter(|line| line.contains(&wrong)).collect();
                    assert!(left.is_empty(), "{}: {left:?}", name.display());
                }
            }
        }
    }
}
