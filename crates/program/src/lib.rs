//! The names of the two programs on this machine.
//!
//! A package can install both by other names: Debian's calls the host `dropin-host` and the client
//! `dropin`. Help and messages name the commands that work on this machine.

use std::{ffi::OsString, path::Path, sync::OnceLock};

use clap::Command;

/// The host's name in a build.
const HOST: &str = "host";
/// The client's name in a build.
const CLIENT: &str = "client";
/// The host's and the client's name in a package, which installs both.
const PACKAGED: [&str; 2] = ["dropin-host", "dropin"];

static OWN: OnceLock<String> = OnceLock::new();

/// Records the first word of the command line, the name by which the program was started.
pub fn started_by(word: Option<OsString>) {
    let stem = word.as_deref().map(Path::new).and_then(Path::file_stem);
    let stem = stem.map(|stem| stem.to_string_lossy().into_owned());
    // A second call has no effect: the first name stays.
    let _ = OWN.set(stem.filter(|stem| !stem.is_empty()).unwrap_or_else(|| HOST.to_owned()));
}

/// Returns the name that this program was started by.
pub fn own() -> &'static str {
    OWN.get().map_or(HOST, String::as_str)
}

/// Returns the name of the client that belongs to the host of this name.
fn client_of(own: &str) -> &'static str {
    if own == PACKAGED[0] { PACKAGED[1] } else { CLIENT }
}

/// Replaces the programs' names in the commands of a text: behind a backtick, as a file's name in a
/// quoted command, and at the beginning of a line.
pub fn spelled(text: &str) -> String {
    spelled_for(text, own())
}

fn spelled_for(text: &str, own: &str) -> String {
    let lines = text.split('\n').map(|line| {
        let indent = line.len() - line.trim_start().len();
        let (indent, mut line) = (&line[..indent], line[indent..].to_owned());
        if let Some(rest) = line.strip_prefix("host ") {
            line = format!("{own} {rest}");
        }
        line = line.replace("/host`", &format!("/{own}`"));
        for (built, here) in [(HOST, own), (CLIENT, client_of(own))] {
            line = line.replace(&format!("`{built} "), &format!("`{here} "));
        }
        format!("{indent}{line}")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Replaces the programs' names in the help of a command line's definition.
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
    if let Some(after) = command.get_after_help().map(|after| spelled(&after.to_string())) {
        command = command.after_help(after);
    }
    command.mut_subcommands(spelled_in)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_commands_get_the_names_of_the_package() {
        for (text, spelled) in [
            ("`host config` prints", "`dropin-host config` prints"),
            ("Examples:\n  host --port 5000", "Examples:\n  dropin-host --port 5000"),
            ("`host man > man/host`", "`dropin-host man > man/dropin-host`"),
            ("see `client --help`", "see `dropin --help`"),
            ("the host of a client", "the host of a client"),
        ] {
            assert_eq!(spelled_for(text, "dropin-host"), spelled);
            assert_eq!(spelled_for(text, "host"), text);
        }
        assert_eq!(spelled_for("`client s` `host check`", "mine"), "`client s` `mine check`");
    }
}
