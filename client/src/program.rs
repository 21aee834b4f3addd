//! The names of the two programs on this machine.
//!
//! A package can install both under other names: Debian's installs the client as `dropin` and the
//! host as `dropin-host`. Help and messages name the commands that work on this machine.

use std::{ffi::OsString, path::Path, sync::OnceLock};

use clap::Command;

/// The name under which the client is built.
const CLIENT: &str = "client";
/// The name under which the host is built.
const HOST: &str = "host";
/// The names of client and host in a package, which installs both.
const PACKAGED: [&str; 2] = ["dropin", "dropin-host"];

static OWN: OnceLock<String> = OnceLock::new();

/// Stores the program's name, which is the first word of the command line.
pub fn started_by(word: Option<&OsString>) {
    let stem = word.and_then(|word| Path::new(word).file_stem());
    let stem = stem.map(|stem| stem.to_string_lossy().into_owned());
    // The first name stays; `main` runs once.
    let _ = OWN.set(stem.filter(|stem| !stem.is_empty()).unwrap_or_else(|| CLIENT.to_owned()));
}

/// Returns the name under which this program was started.
pub fn own() -> &'static str {
    OWN.get().map_or(CLIENT, String::as_str)
}

/// Returns the name of the host that is installed with this client.
pub fn host() -> &'static str {
    host_of(own())
}

fn host_of(own: &str) -> &'static str {
    if own == PACKAGED[0] { PACKAGED[1] } else { HOST }
}

/// Replaces the built names in the quoted commands of a text by the installed names.
///
/// A command is quoted by a backtick or a parenthesis before it, or starts its line.
pub fn spelled(text: &str) -> String {
    spelled_for(text, own())
}

fn spelled_for(text: &str, own: &str) -> String {
    let lines = text.split('\n').map(|line| {
        let indent = line.len() - line.trim_start().len();
        let (indent, mut line) = (&line[..indent], line[indent..].to_owned());
        if let Some(rest) = line.strip_prefix("client ") {
            line = format!("{own} {rest}");
        }
        for (built, here) in [(CLIENT, own), (HOST, host_of(own))] {
            for before in ["`", "("] {
                line = line.replace(&format!("{before}{built} "), &format!("{before}{here} "));
            }
        }
        format!("{indent}{line}")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Replaces the built names in the help of a command line's definition.
pub fn spelled_in(command: Command) -> Command {
    let mut command = command.mut_args(|argument| {
        let help = argument.get_help().map(|help| spelled(&help.to_string()));
        let long = argument.get_long_help().map(|help| spelled(&help.to_string()));
        let argument = help.into_iter().fold(argument, |argument, help| argument.help(help));
        long.into_iter().fold(argument, |argument, help| argument.long_help(help))
    });
    if let Some(about) = command.get_about().map(|about| spelled(&about.to_string())) {
        command = command.about(about);
    }
    if let Some(about) = command.get_long_about().map(|about| spelled(&about.to_string())) {
        command = command.long_about(about);
    }
    command.mut_subcommands(spelled_in)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_commands_get_the_names_of_the_package() {
        for (text, spelled) in [
            ("see `client --help`", "see `dropin --help`"),
            ("what `host fingerprint` says", "what `dropin-host fingerprint` says"),
            ("  client s\nclient l", "  dropin s\ndropin l"),
            ("source <(client completion bash)", "source <(dropin completion bash)"),
            ("the client and the host of a client ", "the client and the host of a client "),
            ("start the client again", "start the client again"),
        ] {
            assert_eq!(spelled_for(text, "dropin"), spelled);
            assert_eq!(spelled_for(text, "client"), text);
        }
        assert_eq!(spelled_for("`client s` `host check`", "mine"), "`mine s` `host check`");
    }
}
