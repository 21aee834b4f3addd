//! Shows facts about the host: everything that a request can read.

use plugin_api::{CommandInfo, Error, PluginInfo, Request, Result, SessionInfo, Value, plugin};

plugin! {
    commands: {
        "help" "[COMMAND]" => help, "Lists the commands, or explains one.";
        "clients" "" => clients, "Lists the connected clients.";
        "plugins" "" => plugins, "Lists the loaded plugins.";
        "whoami" "" => whoami, "Tells how the host knows you.";
        "version" "" => version, "The version of the host.";
    }
}

fn help(request: &Request) -> Result<Value> {
    let commands = request.commands();
    if request.is_empty() {
        return Ok(overview(commands));
    }
    let name = request.text(0)?;
    commands
        .into_iter()
        .find(|command| command.name.eq_ignore_ascii_case(name))
        .map(explained)
        .ok_or_else(|| Error::new(format!("unknown command '{name}'")))
}

fn clients(request: &Request) -> Value {
    Value::list(request.sessions().into_iter().map(client))
}

fn plugins(request: &Request) -> Value {
    Value::list(request.plugins().into_iter().map(loaded))
}

fn whoami(request: &Request) -> Value {
    let peer = request.peer();
    Value::map([
        ("ip", peer.ip().to_string().into()),
        ("port", peer.port().into()),
        ("id", request.session_id().into()),
        ("name", request.session_name().unwrap_or_default().into()),
        ("key", request.key_name().into()),
        ("role", request.role().into()),
    ])
}

fn version(request: &Request) -> String {
    request.host().version()
}

/// Returns the commands with their usage, grouped by plugin, in lines that need no further layout.
fn overview(mut commands: Vec<CommandInfo>) -> Value {
    /// Widest usage line that the help column makes room for. A longer one moves only its own help.
    const WIDEST: usize = 32;
    // The host's own commands come last.
    let group = |command: &CommandInfo| (command.plugin.is_none(), command.plugin.clone());
    commands.sort_by_cached_key(|command| (group(command), command.name.clone()));
    let widths = commands.iter().map(|command| typed(command).chars().count());
    let width = widths.filter(|width| *width <= WIDEST).max().unwrap_or_default();
    let mut lines = Vec::new();
    for commands in commands.chunk_by(|one, other| one.plugin == other.plugin) {
        let plugin = commands.first().and_then(|command| command.plugin.as_deref());
        lines.push(plugin.unwrap_or("the host itself").to_owned());
        for command in commands {
            lines.push(format!("  {:width$}  {}", typed(command), command.help));
        }
    }
    Value::list(lines)
}

/// Returns the command with its arguments, as a client types it.
fn typed(command: &CommandInfo) -> String {
    format!("{} {}", command.name, command.usage).trim_end().to_owned()
}

fn explained(command: CommandInfo) -> Value {
    Value::map([
        ("usage", typed(&command).into()),
        ("help", command.help.into()),
        ("plugin", command.plugin.into()),
    ])
}

fn client(session: SessionInfo) -> Value {
    Value::map([
        ("ip", session.peer.ip().to_string().into()),
        ("port", session.peer.port().into()),
        ("name", session.name.into()),
        ("age", session.age.as_secs().into()),
        ("idle", session.idle.as_secs().into()),
        ("commands", session.commands.into()),
    ])
}

fn loaded(plugin: PluginInfo) -> Value {
    Value::map([
        ("name", plugin.name.into()),
        ("version", plugin.version.into()),
        ("generation", plugin.generation.into()),
        ("file", plugin.file.into()),
        ("commands", Value::list(plugin.commands)),
    ])
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use plugin_api::testing::{Plugin, call_once};

    use super::*;

    #[test]
    fn help_lists_the_commands_by_name() {
        let expected = Value::list([
            "server",
            "  clients         Lists the connected clients.",
            "  help [COMMAND]  Lists the commands, or explains one.",
            "  plugins         Lists the loaded plugins.",
            "  version         The version of the host.",
            "  whoami          Tells how the host knows you.",
        ]);
        assert_eq!(call_once(&PLUGIN, "help", &[]), Ok(expected));
    }

    #[test]
    fn help_groups_the_commands_by_plugin() {
        let command = |plugin: Option<&str>, name: &str, usage: &str| CommandInfo {
            name: name.into(),
            usage: usage.into(),
            help: "Helps.".into(),
            plugin: plugin.map(str::to_owned),
        };
        let long = "KEY VALUE OTHER ANOTHER YET-ANOTHER";
        let commands = vec![
            command(None, "close", ""),
            command(Some("text"), "echo", "TEXT.."),
            command(Some("store"), "set", "KEY VALUE"),
            command(Some("store"), "all", long),
            command(Some("store"), "get", "KEY"),
        ];
        let long = format!("  all {long}  Helps.");
        let expected = Value::list([
            "store",
            long.as_str(),
            "  get KEY        Helps.",
            "  set KEY VALUE  Helps.",
            "text",
            "  echo TEXT..    Helps.",
            "the host itself",
            "  close          Helps.",
        ]);
        assert_eq!(overview(commands), expected);
    }

    #[test]
    fn help_explains_one_command() {
        let expected = Value::map([
            ("usage", "help [COMMAND]".into()),
            ("help", "Lists the commands, or explains one.".into()),
            ("plugin", "server".into()),
        ]);
        assert_eq!(call_once(&PLUGIN, "help", &["HELP"]), Ok(expected));
    }

    #[test]
    fn a_command_of_the_host_has_no_plugin() {
        let ping = CommandInfo {
            name: "ping".into(),
            usage: String::new(),
            help: "Says PONG.".into(),
            plugin: None,
        };
        let expected = Value::map([
            ("usage", "ping".into()),
            ("help", "Says PONG.".into()),
            ("plugin", Value::Null),
        ]);
        assert_eq!(explained(ping), expected);
    }

    #[test]
    fn help_for_unknown_command_is_an_error() {
        let error = call_once(&PLUGIN, "help", &["nonsense"]).unwrap_err();
        assert_eq!(error.to_string(), "ERR unknown command 'nonsense'");
        assert!(Plugin::start(&PLUGIN).unwrap().call_bytes("help", &[b"\xff"]).is_err());
    }

    #[test]
    fn clients_lists_every_session_in_whole_seconds() {
        let session = SessionInfo {
            id: 7,
            peer: "[2001:db8::1]:5001".parse().unwrap(),
            name: "kim".into(),
            age: Duration::from_millis(61_999),
            idle: Duration::from_millis(999),
            commands: 12,
        };
        let expected = Value::map([
            ("ip", "2001:db8::1".into()),
            ("port", 5001.into()),
            ("name", "kim".into()),
            ("age", 61.into()),
            ("idle", 0.into()),
            ("commands", 12.into()),
        ]);
        assert_eq!(client(session), expected);

        let Ok(Value::List(clients)) = call_once(&PLUGIN, "clients", &[]) else { panic!() };
        assert_eq!(clients.len(), 1, "a test has one session");
    }

    #[test]
    fn plugins_lists_what_is_loaded() {
        let plugin = PluginInfo {
            name: "text".into(),
            version: "0.1.0".into(),
            generation: 3,
            file: "libtext.so".into(),
            commands: vec!["echo".into(), "upper".into()],
        };
        let expected = Value::map([
            ("name", "text".into()),
            ("version", "0.1.0".into()),
            ("generation", 3.into()),
            ("file", "libtext.so".into()),
            ("commands", Value::list(["echo", "upper"])),
        ]);
        assert_eq!(loaded(plugin), expected);
        assert!(matches!(call_once(&PLUGIN, "plugins", &[]), Ok(Value::List(_))));
    }

    #[test]
    fn whoami_shows_session_and_version_the_host() {
        let expected = Value::map([
            ("ip", "127.0.0.1".into()),
            ("port", 50_000.into()),
            ("id", 1.into()),
            ("name", "tester".into()),
            ("key", Value::Null),
            ("role", "admin".into()),
        ]);
        assert_eq!(call_once(&PLUGIN, "whoami", &[]), Ok(expected));
        assert_eq!(call_once(&PLUGIN, "version", &[]), Ok("0.0.0".into()));
    }

    #[test]
    fn only_help_takes_an_argument() {
        for command in ["clients", "plugins", "whoami", "version"] {
            assert!(call_once(&PLUGIN, command, &["x"]).is_err(), "{command}");
        }
        assert!(call_once(&PLUGIN, "help", &["help", "help"]).is_err());
    }
}
