//! The subcommands of built-ins, as `COMMAND DOCS` tells them.

use plugin_api::Usage;

/// A subcommand: its name, its arguments and one sentence for people.
pub(super) type Subcommand = (&'static str, &'static str, &'static str);

const CLIENT: [Subcommand; 8] = [
    ("cancel", "ID", "Has the command that a session runs end early."),
    ("getname", "", "This session's name."),
    ("id", "", "This session's number."),
    ("info", "", "This session in one line."),
    ("kill", "SESSION", "Ends a session, named by its number or its address."),
    ("list", "", "The sessions that you may know of, a line for each."),
    ("setinfo", "OPTION VALUE", "Names this client's library: LIB-NAME or LIB-VER."),
    ("setname", "NAME", "Names this session."),
];

const COMMAND: [Subcommand; 6] = [
    ("count", "", "How many commands you may run."),
    ("docs", "[COMMAND..]", "What commands do, and their arguments."),
    ("info", "[COMMAND..]", "Commands as Redis clients want to know them."),
    ("list", "", "The names of the commands that you may run."),
    ("unwatch", "", "Tells this session no longer when the commands change."),
    ("watch", "", "Tells this session when the commands change, in RESP3."),
];

const PLUGIN: [Subcommand; 7] = [
    ("disable", "PLUGIN [force]", "Withdraws its commands until it is enabled or the host ends."),
    ("enable", "PLUGIN", "Serves it again."),
    ("info", "PLUGIN", "Tells about it."),
    ("reload", "PLUGIN [force]", "Loads its file anew, changed or not."),
    ("rollback", "PLUGIN [force]", "Puts back the code that was served before."),
    ("unwatch", "", "Tells this session no longer what happens to plugins."),
    ("watch", "", "Tells this session what happens to plugins, in RESP3."),
];

/// The subcommands of a built-in, by name; none for most.
pub(super) fn of(command: &str) -> &'static [Subcommand] {
    match command {
        "client" => &CLIENT,
        "command" => &COMMAND,
        "plugin" => &PLUGIN,
        _ => &[],
    }
}

/// A subcommand's arguments, understood. That every line can be read is for the test below.
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
