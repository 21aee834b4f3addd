//! Tips that are added to clap's errors.

use std::ffi::OsString;

use clap::{
    Command,
    builder::{Resettable, StyledStr},
    error::{ContextKind, ContextValue, ErrorKind},
};

/// Adds a tip to an error of the command line if `--port` was given to `host key` or
/// `host fingerprint`.
pub(super) fn with_advice(mut error: clap::Error, words: &[OsString]) -> clap::Error {
    let is_port = matches!(
        error.get(ContextKind::InvalidArg),
        Some(ContextValue::String(flag)) if flag == "--port"
    );
    let owner = match words.get(1).and_then(|word| word.to_str()) {
        Some("key") => "keys belong",
        Some("fingerprint") => "the certificate belongs",
        _ => return error,
    };
    if error.kind() == ErrorKind::UnknownArgument && is_port {
        let tip = format!(
            "{owner} to no port, but to the state directory, for the hosts of every port that use \
             it: leave out --port, or name another with --state-dir"
        );
        let tips = ContextValue::StyledStrs(vec![StyledStr::from(tip)]);
        error.insert(ContextKind::Suggested, tips);
        error.remove(ContextKind::SuggestedArg);
    }
    error
}

/// Adds a tip to an error about a flag's value that comes from the environment.
pub(super) fn with_variable(
    mut error: clap::Error,
    command: &Command,
    words: &[OsString],
) -> clap::Error {
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let Some(name) = flag.split_whitespace().next().and_then(|flag| variable(command, flag)) else {
        return error;
    };
    let alone = without_variables(command.clone()).try_get_matches_from(words);
    let is_flag = alone.is_err_and(|alone| {
        alone.get(ContextKind::InvalidArg) == error.get(ContextKind::InvalidArg)
    });
    if !is_flag {
        let tip = StyledStr::from(format!("the value is that of the environment variable {name}"));
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
    }
    error
}

/// Returns the variable of this flag, also of one of a subcommand.
fn variable(command: &Command, flag: &str) -> Option<String> {
    let long = flag.strip_prefix("--")?;
    let own = command.get_arguments().find(|argument| argument.get_long() == Some(long));
    let own = own.and_then(|argument| argument.get_env());
    own.map(|name| name.to_string_lossy().into_owned())
        .or_else(|| command.get_subcommands().find_map(|below| variable(below, flag)))
}

fn without_variables(command: Command) -> Command {
    command.mut_args(|argument| argument.env(Resettable::Reset)).mut_subcommands(without_variables)
}
