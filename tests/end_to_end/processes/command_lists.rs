//! Executables that change their list of commands while they run.

use dropin_tests::{Frame, Host, LIMIT, Lines, Resp, executable::Script, wait_until};

use super::*;

fn names(client: &mut Resp) -> Vec<String> {
    let list = client.ask(&["COMMAND", "LIST"]);
    list.items().iter().map(|name| name.as_str().to_owned()).collect()
}

#[test]
fn added_command_is_served_and_announced() {
    let host = setup().executable("sound.py", Script::fixture("sound")).start();
    let (mut subscriber, mut client) = (Resp::connect3(&host), Resp::connect(&host));
    assert_eq!(subscriber.ask(&["command", "watch"]), Frame::ok());
    assert_eq!(client.ask(&["sound.add", "sound.extra"]), "added".into());
    let changed = Frame::Push(vec!["commands".into(), "changed".into()]);
    assert_eq!(subscriber.frame(), changed);
    assert_eq!(client.ask(&["sound.extra"]), "this is sound.extra".into());
    assert!(names(&mut client).contains(&"sound.extra".to_owned()));
    let info = host.info("sound");
    assert!(info.get("commands").unwrap().items().contains(&"sound.extra".into()), "{info:?}");
    assert_eq!(host.figure("sound", "generation"), 1, "it is still the same version");
}

#[test]
fn declared_writes_become_flags_of_commands() {
    let script = Script::fixture("sound").set("WRITES", ["count", "later"]);
    let host = setup().executable("sound.py", script).start();
    let mut client = Resp::connect(&host);
    let mut flags = |name: &str| -> Vec<String> {
        let info = client.ask(&["COMMAND", "INFO", name]);
        let flags = info.items()[0].items()[2].items().iter();
        flags.map(|flag| flag.as_str().to_owned()).collect()
    };
    assert_eq!(flags("sound.count"), ["write"]);
    assert_eq!(flags("sound.echo"), ["readonly"]);
    for other in ["ping", "echo"] {
        assert!(flags(other).is_empty(), "{other}");
    }
    // A later list counts as the hello does.
    let (mut subscriber, mut other) = (Resp::connect3(&host), Resp::connect(&host));
    assert_eq!(subscriber.ask(&["command", "watch"]), Frame::ok());
    let changed = Frame::Push(vec!["commands".into(), "changed".into()]);
    for added in ["later", "sound.extra"] {
        assert_eq!(other.ask(&["sound.add", added]), "added".into());
        assert_eq!(subscriber.frame(), changed);
    }
    assert_eq!(flags("later"), ["write"]);
    assert_eq!(flags("sound.extra"), ["readonly"]);
}

#[track_caller]
fn faulty() -> Host {
    setup().executable("faulty.py", Script::fixture("faulty")).start()
}

#[test]
fn list_with_commands_of_others_is_refused() {
    let host = faulty();
    let (others, before) = (others(&host), pid(&host, "faulty"));
    let mut client = Resp::connect3(&host);
    let mut commands = names(&mut client);
    for claimed in ["ks", "plugin", "echo", "ECHO", "two words", "", "a\nb", "faulty.echo"] {
        assert_eq!(client.ask(&["faulty.claim", claimed]), "claimed".into());
        assert_eq!(client.ask(&["echo", "mine"]), "mine".into(), "{claimed:?}");
        assert_eq!(client.ask(&["faulty.echo", "own"]), "own".into(), "{claimed:?}");
    }
    // A legal list comes after them.
    assert_eq!(client.ask(&["faulty.churn", "2"]), "churned".into());
    wait_until("the legal list is in force", LIMIT, || {
        names(&mut client).contains(&"faulty.more".to_owned())
    });
    commands.push("faulty.more".into());
    let mut now = names(&mut client);
    commands.sort();
    now.sort();
    assert_eq!(now, commands);
    let is_report = |line: &str| line.contains(" WARN ") || line.contains(" ERROR ");
    assert!(host.log().lines().any(|line| is_report(line) && line.contains("faulty")));
    assert_eq!(pid(&host, "faulty"), before);
    finish(others);
}

#[test]
fn list_that_changes_in_every_line_delays_nobody() {
    let host = faulty();
    let others = others(&host);
    let mut client = Resp::connect(&host);
    assert_eq!(client.ask(&["faulty.churn", "2000"]), "churned".into());
    assert_eq!(client.ask(&["faulty.echo", "again"]), "again".into());
    // The last one of these lists has the further command.
    wait_until("the last list is in force", LIMIT, || {
        names(&mut client).contains(&"faulty.more".to_owned())
    });
    finish(others);
    let said = Lines::connect(&host).ask("plugin reload faulty");
    assert!(!said.starts_with("error: "), "{said}");
}
