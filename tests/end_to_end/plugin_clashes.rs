//! Plugins that claim the same command or name: the second is rejected, naming both files.

use dropin_tests::{Host, Lines, Resp, Setup, built};

#[test]
fn second_plugin_of_command_is_rejected_naming_both() {
    // By name, `text` comes after `clash` and before `zz`.
    for (name, winner, loser) in [("clash", "from clash", "text"), ("zz", "hello", "zz")] {
        let host = Setup::new().plugins(&["text"]).plugin_as("clash", name).start();
        let mut client = Lines::connect(&host);
        assert_eq!(client.ask("echo hello"), winner);
        let path = |name| host.plugins_folder().join(built::library_name(name));
        let (text, clash) = (path("text").display().to_string(), path(name).display().to_string());
        let refused = format!(": refused {} (", built::library_name(loser));
        let line = host.logged(&refused).expect("the log says so");
        assert!(line.contains(&text) && line.contains(&clash), "{line}");
        assert!(line.contains("claim the command 'echo'; remove one, or rename"), "{line}");
        // The rejected plugin's other commands are not served either.
        let lost = if name == "clash" { "upper x" } else { "clash.own" };
        assert!(client.ask(lost).starts_with("error: unknown command"), "{lost}");
    }
}

#[test]
fn second_plugin_of_same_name_is_rejected() {
    let host = Setup::new().plugins(&["text"]).plugin_as("text", "copy-of-text").start();
    assert_eq!(Lines::connect(&host).ask("echo hello"), "hello");
    let path = |name| host.plugins_folder().join(built::library_name(name));
    let said = format!(
        "): both {0} and {1} call themselves plugin 'text'; remove or rename",
        path("copy-of-text").display(),
        path("text").display()
    );
    assert!(host.logged(&said).is_some(), "{}", host.log());
}

#[test]
fn plugin_with_builtin_command_is_rejected() {
    let mut host = Host::start(&["claims-builtin", "text"]);
    let mut client = Lines::connect(&host);
    assert_eq!(client.ask("echo hello"), "hello");
    assert_eq!(client.ask("harmless"), "error: unknown command 'harmless'");
    let file = host.plugins_folder().join(built::library_name("claims-builtin"));
    let said = format!("{} claims the command 'ks', which is the host's own", file.display());
    assert!(host.logged(&said).is_some(), "{}", host.log());
    assert_eq!(host.ks(), Some(0), "`ks` is still the host's");
}

#[test]
fn plugins_command_lists_served_plugins() {
    let host = Setup::new().plugins(&["clock", "server", "text"]).plugin_as("clash", "zz").start();
    let reply = Resp::connect3(&host).ask(&["plugins"]);
    let name = |plugin: &dropin_tests::Frame| plugin.get("name").unwrap().as_str().to_owned();
    let names: Vec<_> = reply.items().iter().map(name).collect();
    assert_eq!(names, ["clock", "server", "text"]);
}
