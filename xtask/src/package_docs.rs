//! The documents of the Debian package, with the names that the programs have there.

use std::fs;

use crate::{TaskError, cargo};

/// The programs: cargo's name and the installed name. `host` and `client` are too general for
/// /usr/bin, and Debian already has a `host` there.
pub const PROGRAMS: [(&str, &str); 2] = [("host", "dropin-host"), ("client", "dropin")];

/// The documents beside the folder `docs`.
const PAGES: [&str; 3] = ["README.md", "CHANGELOG.md", "SECURITY.md"];

/// Returns all documents of the package: names and texts.
pub fn all() -> Result<Vec<(String, String)>, TaskError> {
    let root = cargo::root();
    let folder = root.join("docs");
    let failed = |error| TaskError::Io("read", folder.clone(), error);
    let mut paths: Vec<_> = PAGES.iter().map(|name| root.join(name)).collect();
    for entry in fs::read_dir(&folder).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    let mut documents = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path)
            .map_err(|error| TaskError::Io("read", path.clone(), error))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        documents.push((name, as_installed(&text)));
    }
    Ok(documents)
}

/// Returns a Markdown document for a machine on which the package is installed: commands have their
/// names there, and all documents are in one folder.
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
    let mut line = line.replace("](docs/", "](").replace("](../", "](");
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
            ("[settings](docs/OPERATING.md#settings)", "[settings](OPERATING.md#settings)"),
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
    fn package_documents_name_only_installed_programs() {
        let documents = all().unwrap();
        assert!(documents.len() > PAGES.len());
        for (name, text) in documents {
            for (built, _) in PROGRAMS {
                for wrong in [format!("`{built} "), format!("$ {built} "), format!("<({built} ")] {
                    let lines = text.lines().filter(|line| !line.starts_with('#'));
                    let left: Vec<_> = lines.filter(|line| line.contains(&wrong)).collect();
                    assert!(left.is_empty(), "{name}: {left:?}");
                }
            }
        }
    }
}
