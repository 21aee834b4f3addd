use super::*;

fn text(text: &str) -> Reply {
    Reply::Text(text.to_owned().into())
}

/// An argument written as in a usage line.
fn argument(usage: &str) -> Reply {
    let optional = usage.starts_with('[');
    let name = usage.trim_matches(['[', ']']);
    let repeated = name.ends_with("..");
    let flags = [(optional, "optional"), (repeated, "multiple")];
    let flags = flags.iter().filter(|(set, _)| *set).map(|(_, flag)| text(flag)).collect();
    Reply::Map(vec![
        (text("name"), text(name.trim_end_matches('.'))),
        (text("flags"), Reply::List(flags)),
    ])
}

fn doc(name: &str, group: &str, usage: &str, subcommands: Vec<(Reply, Reply)>) -> (Reply, Reply) {
    let arguments = usage.split_whitespace().map(argument).collect();
    let about = vec![
        (text("summary"), text(&format!("Does {name}."))),
        (text("group"), text(group)),
        (text("arguments"), Reply::List(arguments)),
        (text("subcommands"), Reply::Map(subcommands)),
    ];
    (text(name), Reply::Map(about))
}

fn commands() -> Commands {
    let subcommands = vec![
        doc("plugin|info", "host", "PLUGIN", vec![]),
        doc("plugin|reload", "host", "PLUGIN", vec![]),
        doc("plugin|watch", "host", "", vec![]),
    ];
    Commands::from_reply(&Reply::Map(vec![
        doc("echo", "text", "TEXT..", vec![]),
        doc("set", "store", "KEY VALUE", vec![]),
        doc("incr", "store", "KEY [BY]", vec![]),
        doc("help", "server", "[COMMAND]", vec![]),
        doc("plugin", "host", "SUBCOMMAND [ARGUMENT..]", subcommands),
        doc("ks", "host", "", vec![]),
    ]))
    .unwrap()
}

#[track_caller]
fn hints(line: &str, hint: &str) {
    assert_eq!(commands().hint(line).as_deref(), Some(hint), "{line:?}");
}

#[test]
fn hint_has_the_missing_arguments() {
    hints("set", " KEY VALUE  (Does set.)");
    hints("SET ", "KEY VALUE  (Does set.)");
    hints("set k", " VALUE");
    hints("set k ", "VALUE");
    hints("set 'a b' ", "VALUE");
    hints("set k v", "");
    hints("set k v w", "  (too many arguments)");
    hints("incr k ", "[BY]");
    hints("echo", " TEXT..  (Does echo.)");
    hints("echo one two", " [TEXT..]");
    hints("ks", "  (Does ks.)");
}

#[test]
fn subcommands_have_their_own_hints() {
    hints("plugin ", "SUBCOMMAND [ARGUMENT..]  (Does plugin.)");
    hints("plugin info ", "PLUGIN  (Does plugin|info.)");
    hints("plugin info text", "");
    hints("plugin watch x", "  (too many arguments)");
    hints("plugin nonsense ", "[ARGUMENT..]");
}

#[test]
fn unknown_name_is_reported_once_complete() {
    assert_eq!(commands().hint("ech"), None);
    assert_eq!(commands().hint(""), None);
    hints("ech ", "  (unknown command)");
    hints("ech x", "  (unknown command)");
    assert_eq!(commands().hint("exit "), None);
    assert_eq!(Commands::default().hint("ech x"), None);
}

#[test]
fn hint_is_for_the_last_line_without_pipes() {
    hints("echo one\nset k ", "VALUE");
    assert_eq!(commands().hint("echo one | grep "), None);
    assert_eq!(commands().hint("! ls "), None);
}

#[track_caller]
fn completes(before: &str, start: usize, words: &[&str]) {
    let words = words.iter().map(|word| word.to_string()).collect();
    assert_eq!(commands().complete(before), Completions { start, words });
}

#[test]
fn words_are_completed_by_position() {
    completes("", 0, &["echo", "help", "incr", "ks", "plugin", "set"]);
    completes("E", 0, &["echo"]);
    completes("echo x\nse", 7, &["set"]);
    completes("plugin ", 7, &["info", "reload", "watch"]);
    completes("PLUGIN r", 7, &["reload"]);
    completes("plugin info ", 12, &["server", "store", "text"]);
    completes("plugin info s", 12, &["server", "store"]);
    completes("help i", 5, &["incr"]);
    completes("set k", 4, &[]);
    completes("nonsense k", 9, &[]);
    completes("echo x | e", 9, &[]);
}

#[test]
fn control_characters_of_the_host_are_escaped() {
    let evil = Reply::Map(vec![doc("x\u{1b}[2J", "g", "", vec![])]);
    let commands = Commands::from_reply(&evil).unwrap();
    assert_eq!(commands.complete("x").words, ["x\\x1b[2j"]);
}
