//! The subcommands of built-ins: what each built-in with subcommands declares of them.

use plugin_api::Usage;
use protocol::Encoder;

/// A subcommand of a built-in, which answers it by its name in capitals.
pub(super) struct Subcommand {
    pub(super) name: &'static str,
    pub(super) usage: &'static str,
    /// One sentence for people.
    pub(super) help: &'static str,
}

/// Parses a subcommand's usage. A test of the built-ins ensures that every usage can be parsed.
pub(super) fn arguments(usage: &str) -> Usage {
    Usage::parse(usage).unwrap_or_default()
}

/// Writes the error for a subcommand that is unknown, or has too few or too many arguments.
pub(super) fn refuse(command: &str, known: &[Subcommand], subcommand: &[u8], reply: &mut Encoder) {
    let named = |one: &&Subcommand| subcommand.eq_ignore_ascii_case(one.name.as_bytes());
    let message = match known.iter().find(named) {
        Some(Subcommand { name, usage, .. }) => {
            let usage = format!("{command} {name} {usage}");
            let usage = usage.trim_end();
            format!("wrong number of arguments for '{command}|{name}' command, usage: {usage}")
        }
        None => {
            let subcommand = String::from_utf8_lossy(subcommand.get(..128).unwrap_or(subcommand));
            let names: Vec<_> = known.iter().map(|one| one.name.to_ascii_uppercase()).collect();
            let names = names.join(", ");
            format!("unknown subcommand '{subcommand}', '{command}' has: {names}")
        }
    };
    reply.error("ERR", message.as_bytes());
}
