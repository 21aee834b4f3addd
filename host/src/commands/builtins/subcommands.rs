//! The subcommands of built-ins, for `COMMAND DOCS`.

use plugin_api::Usage;

/// A subcommand: its name, its usage and its help, one sentence.
pub(super) type Subcommand = (&'static str, &'static str, &'static str);

const CLIENT: [Subcommand; 8] = [
    ("cancel", "ID", "Has the command that a session runs end early."),
    ("getname", "", "Shows this session's name."),
    ("id", "", "Shows this session's number."),
    ("info", "", "Shows this session in one line."),
    ("kill", "SESSION", "Ends a session, named by its number or its address."),
    ("list", "", "Shows the sessions that you may see, one a line."),
    ("setinfo", "OPTION VALUE", "Names this client's library: LIB-NAME or LIB-VER."),
    ("setname", "NAME", "Names this session."),
];

const COMMAND: [Subcommand; 6] = [
    ("count", "", "Shows how many commands you may run."),
    ("docs", "[COMMAND..]", "Shows the help and the arguments of commands."),
    ("info", "[COMMAND..]", "Shows commands in Redis's format."),
    ("list", "", "Shows the names of the commands that you may run."),
    ("unwatch", "", "Stops the notifications about changed commands."),
    ("watch", "", "Notifies this session when the commands change; takes RESP3."),
];

const PLUGIN: [Subcommand; 7] = [
    ("disable", "PLUGIN [force]", "Withdraws its commands until it is enabled or the host ends."),
    ("enable", "PLUGIN", "Serves it again."),
    ("info", "PLUGIN", "Shows its status."),
    ("reload", "PLUGIN [force]", "Loads its file again, even if it is unchanged."),
    ("rollback", "PLUGIN [force]", "Serves the previous code again."),
    ("unwatch", "", "Stops the notifications about plugins."),
    ("watch", "", "Notifies this session of plugin events; takes RESP3."),
];

/// Returns the subcommands of the built-in of this name; most have none.
pub(super) fn of(command: &str) -> &'static [Subcommand] {
    match command {
        "client" => &CLIENT,
        "command" => &COMMAND,
        "plugin" => &PLUGIN,
        _ => &[],
    }
}

/// Parses a subcommand's usage. A test below ensures that every usage can be parsed.
pub(super) fn arguments(usage: &str) -> Usage {
    Usage::parse(usage).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::builtins::{client, command, plugin};

    #[test]
    fn documented_subcommands_are_the_known_ones() {
        for (name, known) in
            [("client", client::KNOWN), ("command", command::KNOWN), ("plugin", plugin::KNOWN)]
        {
            let names: Vec<_> = of(name).iter().map(|(name, ..)| name.to_uppercase()).collect();
            assert_eq!(names.join(", "), known);
            for (_, usage, _) in of(name) {
                assert!(Usage::parse(usage).is_ok(), "{name} {usage}");
            }
        }
    }
}
