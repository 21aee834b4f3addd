//! Tips that are added to clap's errors.

use std::ffi::OsString;

use clap::{
    builder::StyledStr,
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
