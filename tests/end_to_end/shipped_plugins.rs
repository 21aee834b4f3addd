//! The shipped plugins, over the network.

use dropin_tests::{Frame, Host, LIMIT, Lines, Resp, SHIPPED, built, wait_until};

#[test]
fn text_works_on_text() {
    let host = Host::start(&["text"]);
    let mut client = Lines::connect(&host);
    assert_eq!(client.ask("upper straße"), "STRASSE");
    assert_eq!(client.ask("lower ÅNGSTRÖM"), "ångström");
    assert_eq!(client.ask("reverse né 👩‍🚀"), "👩‍🚀 én");
    assert_eq!(client.ask_all("count 'two words'"), ["characters: 9", "words: 2", "bytes: 9"]);
    let count = Resp::connect3(&host).ask(&["count", "né"]);
    let pair = |key: &str, value: i64| (key.into(), value.into());
    assert_eq!(count, Frame::Map(vec![pair("characters", 2), pair("words", 1), pair("bytes", 3)]));
}

#[test]
fn clock_tells_the_time() {
    let host = Host::start(&["clock"]);
    let mut client = Lines::connect(&host);
    let shape = |text: String| text.replace(|c: char| c.is_ascii_digit(), "0");
    assert_eq!(shape(client.ask("time")), "00:00:00");
    assert_eq!(shape(client.ask("date Pacific/Kiritimati")), "0000-00-00");
    assert!(client.ask("time Middle/Earth").starts_with("error: "));
    let slept: u64 = client.ask("sleep 20").parse().unwrap();
    assert!(slept >= 20, "{slept}");
    let uptime = |client: &mut Lines| client.ask("uptime").parse::<u64>().unwrap();
    let first = uptime(&mut client);
    wait_until("the uptime grows", LIMIT, || uptime(&mut client) > first);
}

#[test]
fn help_lists_and_explains_the_commands() {
    let host = Host::start(&SHIPPED);
    let mut client = Lines::connect(&host);
    let lines = client.ask_all("help");
    let (commands, groups): (Vec<_>, Vec<_>) =
        lines.iter().map(String::as_str).partition(|line| line.starts_with("  "));
    assert_eq!(commands.len(), 74, "{lines:?}");
    assert_eq!(groups, [SHIPPED.as_slice(), &["the host itself"]].concat());
    let columns: Vec<_> = ["Replies TEXT, byte for byte.", "Ends this session.", "Keeps VALUE"]
        .iter()
        .map(|help| commands.iter().find_map(|line| line.find(help)).expect(help))
        .collect();
    assert!(columns.iter().all(|column| *column == columns[0]), "{lines:?}");
    assert!(
        commands.iter().any(|line| line.starts_with("  set KEY VALUE [OPTION..]  ")),
        "{lines:?}"
    );
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    assert_eq!(Resp::connect(&host).ask(&["help"]), Frame::texts(&lines));
    let explained = [
        "usage: incrby KEY BY",
        "help: Adds BY to the integer under KEY; replies the sum.",
        "plugin: store",
    ];
    assert_eq!(client.ask_all("help INCRBY"), explained);
    assert_eq!(client.ask("help nonsense"), "error: unknown command 'nonsense'");
}

#[test]
fn plugins_lists_what_is_loaded() {
    let host = Host::start(&SHIPPED);
    let reply = Resp::connect3(&host).ask(&["plugins"]);
    let names: Vec<_> = reply.items().iter().map(|one| one.get("name").unwrap().as_str()).collect();
    assert_eq!(names, SHIPPED);
    let text = reply.items().last().unwrap();
    let expected = [
        ("name", "text".into()),
        ("version", env!("CARGO_PKG_VERSION").into()),
        ("generation", 1.into()),
        ("file", built::library_name("text").as_str().into()),
        ("commands", Frame::texts(&["count", "echo", "lower", "reverse", "upper"])),
    ];
    for (key, value) in expected {
        assert_eq!(text.get(key), Some(&value), "{key}");
    }
}

#[test]
fn server_commands_show_version_and_session() {
    let host = Host::start(&["server"]);
    let mut client = Resp::connect_to(host.v6());
    client.ask(&["HELLO", "3", "SETNAME", "toni"]);
    assert_eq!(client.ask(&["version"]), env!("CARGO_PKG_VERSION").into());
    let whoami = client.ask(&["whoami"]);
    assert_eq!(whoami.get("ip"), Some(&"::1".into()));
    assert_eq!(whoami.get("port"), Some(&i64::from(client.local().port()).into()));
    assert_eq!(whoami.get("name"), Some(&"toni".into()));
}

#[test]
fn store_keeps_what_all_sessions_see() {
    let host = Host::start(&["store"]);
    let (mut one, mut other) = (Lines::connect(&host), Resp::connect(&host));
    assert_eq!(one.ask("set fruit 'ripe pear'"), "OK");
    assert_eq!(other.ask(&["GET", "fruit"]), "ripe pear".into());
    assert_eq!(other.ask(&["INCR", "n"]), 1.into());
    assert_eq!(other.ask(&["INCR", "n", "-43"]), Frame::Integer(-42));
    assert_eq!(other.ask(&["INCRBY", "n", "0"]), Frame::Integer(-42));
    assert_eq!(one.ask("get n"), "-42");
    assert_eq!(one.ask_all("keys"), ["fruit", "n"]);
    assert_eq!(one.ask_all("keys f*"), ["fruit"]);
    assert_eq!(other.ask(&["INCR", "fruit"]), not_an_integer());
    assert_eq!(other.ask(&["DEL", "fruit", "n", "missing"]), 2.into());
    assert_eq!(one.ask("get fruit"), "(null)");
    assert_eq!(other.ask(&["KEYS"]), Frame::List(vec![]));
}

#[test]
fn no_increment_is_lost_between_sessions() {
    let host = Host::start(&["store"]);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = Lines::connect(&host);
                client.send("incr n\n".repeat(500));
                (0..500).for_each(|_| assert!(client.line().parse::<u64>().is_ok()));
            });
        }
    });
    assert_eq!(Lines::connect(&host).ask("get n"), "4000");
}

#[test]
fn system_tells_about_the_machine() {
    let host = Host::start(&["system"]);
    let mut client = Resp::connect3(&host);
    let cpu = client.ask(&["cpu"]);
    assert!(cpu.get("cores").unwrap().as_integer() >= 1, "{cpu:?}");
    assert!(matches!(cpu.get("usage"), Some(Frame::Float(0.0..=100.0))), "{cpu:?}");
    let memory = client.ask(&["memory"]);
    assert!(memory.get("total").unwrap().as_integer() > 0, "{memory:?}");
    assert!(memory.get("used").unwrap().as_integer() > 0, "{memory:?}");
    for command in ["disk", "temperature"] {
        assert!(matches!(client.ask(&[command]), Frame::List(_)), "{command}");
    }
    let load = client.ask(&["load"]);
    #[cfg(not(windows))]
    assert!(matches!(load.get("15"), Some(Frame::Float(0.0..))), "{load:?}");
    #[cfg(windows)]
    assert!(matches!(load, Frame::Error(_)), "{load:?}");
}

fn not_an_integer() -> Frame {
    Frame::error("ERR value is not an integer or out of range")
}
