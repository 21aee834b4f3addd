use std::fs;

use clap::Parser;

use super::*;
use crate::places::security::Security;

/// The options of a command line alone.
#[derive(Parser)]
struct Options {
    #[command(flatten)]
    flags: ConnectionArgs,
}

fn environment(pairs: &[(&str, &str)]) -> Environment {
    let variables = pairs.iter().map(|(name, value)| (name.to_string(), value.into())).collect();
    Environment { variables, config_dir: None }
}

/// Passes the place of this word and the sources of its data to a function.
fn with_place<T>(
    word: &str,
    flags: &[&str],
    environment: &Environment,
    look_up: impl FnOnce(&Place<'_>, Sources<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let flags = Options::parse_from(["client"].iter().chain(flags)).flags;
    let file = SettingsFile::find(&flags, environment);
    let settings = file.as_ref().map_or(Ok(Settings::default()), SettingsFile::load)?;
    let sources = Sources { flags: &flags, environment, settings: &settings, file: file.as_ref() };
    look_up(&Place::find(word, &settings)?, sources)
}

/// Returns the target of `client WORD FLAGS`.
fn find(word: &str, flags: &[&str], environment: &Environment) -> Result<Target, Error> {
    with_place(word, flags, environment, |place, sources| place.target(sources))
}

fn target(hosts: &[&str], port: u16) -> Target {
    Target { hosts: hosts.iter().map(|host| host.to_string()).collect(), port }
}

/// A user's configuration directory that holds this client.toml.
fn with_file(text: &str) -> (tempfile::TempDir, Environment) {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("dropin")).unwrap();
    fs::write(dir.path().join("dropin/client.toml"), text).unwrap();
    let config_dir = Some(dir.path().to_owned());
    (dir, Environment { config_dir, ..Environment::default() })
}

fn message(result: Result<Target, Error>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn same_machine_needs_no_settings() {
    let found = find("s", &[], &environment(&[])).unwrap();
    assert_eq!(found, target(&["127.0.0.1", "::1"], 5000));
}

#[test]
fn same_machine_ignores_address_variables() {
    let found = find("s", &[], &environment(&[("DROPIN_ADDRESS", "far")])).unwrap();
    assert_eq!(found.hosts, ["127.0.0.1", "::1"]);
    let found = find("s", &["--address", "near"], &environment(&[])).unwrap();
    assert_eq!(found.hosts, ["near"]);
}

#[test]
fn flags_win_over_environment_over_file() {
    let (_dir, mut environment) = with_file("port = 1\n[lan]\naddress = 'file'\nport = 2\n");
    assert_eq!(find("l", &[], &environment).unwrap(), target(&["file"], 2));
    for (name, value, expected) in [
        ("DROPIN_ADDRESS", "any", "any"),
        ("DROPIN_INTERNET_ADDRESS", "net", "any"),
        ("DROPIN_LAN_ADDRESS", "lan", "lan"),
    ] {
        environment.variables.insert(name.into(), value.into());
        assert_eq!(find("l", &[], &environment).unwrap().hosts, [expected]);
    }
    environment.variables.insert("DROPIN_PORT".into(), "3".into());
    assert_eq!(find("l", &[], &environment).unwrap(), target(&["lan"], 3));
    let flags = ["--address", "flag", "--port", "4"];
    assert_eq!(find("l", &flags, &environment).unwrap(), target(&["flag"], 4));
}

#[test]
fn file_has_a_table_for_each_type() {
    let (_dir, environment) =
        with_file("port = 9\n[internet]\naddress = 'a.b'\n[same]\nport = 8\n");
    assert_eq!(find("i", &[], &environment).unwrap(), target(&["a.b"], 9));
    assert_eq!(find("s", &[], &environment).unwrap(), target(&["127.0.0.1", "::1"], 8));
}

#[test]
fn settings_of_a_place_win_over_environment() {
    let (_dir, mut environment) = with_file(
        "port = 9\n[places.home]\ntype = 'lan'\naddress = 'h'\n\
         [places.work]\ntype = 'internet'\naddress = 'w'\nport = 7\n[places.here]\ntype = 'same'\n",
    );
    assert_eq!(find("home", &[], &environment).unwrap(), target(&["h"], 9));
    for (name, value) in
        [("DROPIN_ADDRESS", "any"), ("DROPIN_LAN_ADDRESS", "lan"), ("DROPIN_PORT", "3")]
    {
        environment.variables.insert(name.into(), value.into());
    }
    assert_eq!(find("home", &[], &environment).unwrap(), target(&["h"], 3));
    assert_eq!(find("work", &[], &environment).unwrap(), target(&["w"], 7));
    assert_eq!(find("here", &[], &environment).unwrap(), target(&["127.0.0.1", "::1"], 3));
    let flags = ["--address", "flag", "--port", "4"];
    assert_eq!(find("work", &flags, &environment).unwrap(), target(&["flag"], 4));
}

#[test]
fn place_does_not_get_another_hosts_key() {
    let (dir, mut environment) = with_file(
        "[lan]\nkey = 'lan'\n[places.home]\ntype = 'lan'\naddress = 'h'\nkey-file = 'home.key'\n\
         [places.open]\ntype = 'lan'\naddress = 'o'\ntls = false\n",
    );
    fs::write(dir.path().join("dropin/home.key"), "file\n").unwrap();
    let security = |words: &[&str], environment: &Environment| {
        let security = |place: &Place<'_>, sources: Sources<'_>| place.security(sources, false);
        let Security { tls, key } =
            with_place(words[0], &words[1..], environment, security).unwrap();
        (tls.is_some(), key.map(|key| String::from_utf8(key).unwrap()))
    };
    let some = |key: &str| Some(key.to_owned());
    assert_eq!(security(&["l"], &environment), (true, some("lan")));
    assert_eq!(security(&["open"], &environment), (false, None));
    environment.variables.insert("DROPIN_KEY".into(), "variable".into());
    assert_eq!(security(&["l"], &environment), (true, some("variable")));
    assert_eq!(security(&["home"], &environment), (true, some("file")));
    assert_eq!(
        security(&["home", "--plain", "--key", "flag"], &environment),
        (false, some("flag"))
    );
    assert_eq!(security(&["open", "--tls"], &environment), (true, some("variable")));
    assert_eq!(security(&["s"], &environment), (false, some("variable")));
}

#[test]
fn unknown_place_is_reported_with_the_nearest() {
    let (_dir, environment) =
        with_file("[places.home]\ntype = 'same'\n[places.office]\ntype = 'same'\n");
    let text = message(find("hme", &[], &environment));
    for part in ["'hme'", "did you mean 'home'?", "l (same LAN)", "office", "client add"] {
        assert!(text.contains(part), "{text}");
    }
    let text = message(find("compltion", &[], &environment));
    assert!(text.contains("did you mean 'completion'?"), "{text}");
    assert!(!message(find("echo", &[], &environment)).contains("did you mean"));
}

#[test]
fn missing_address_is_reported_with_its_sources() {
    let (dir, environment) = with_file("");
    let text = message(find("l", &[], &environment));
    for part in ["--address", "DROPIN_LAN_ADDRESS", "DROPIN_ADDRESS", "[lan]"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(text.contains(&dir.path().join("dropin/client.toml").display().to_string()), "{text}");
}

#[test]
fn empty_variables_count_as_not_set() {
    let environment = environment(&[("DROPIN_LAN_ADDRESS", ""), ("DROPIN_ADDRESS", "x")]);
    assert_eq!(find("l", &[], &environment).unwrap().hosts, ["x"]);
}

#[test]
fn invalid_port_variable_is_named() {
    for value in ["0", "abc", "70000"] {
        let text = message(find("s", &[], &environment(&[("DROPIN_PORT", value)])));
        assert!(text.contains("DROPIN_PORT") && text.contains(value), "{text}");
    }
}

#[test]
fn settings_errors_name_file_and_line() {
    for (content, line, part) in [
        ("port = 5000\n\n[lan]\nadress = 'x'\n", "line 4", "adress"),
        ("[wan]\naddress = 'x'\n", "line 1", "wan"),
        ("port = 5000\nport 5001\n", "line 2", ""),
        ("port = 0\n", "line 1", "0"),
        ("[lan]\naddress = 5\n", "line 2", "string"),
    ] {
        let (dir, environment) = with_file(content);
        let text = message(find("l", &[], &environment));
        let file = dir.path().join("dropin/client.toml").display().to_string();
        assert!(text.contains(&file) && text.contains(part), "{text}");
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn requested_settings_file_must_exist() {
    let flags = ["--config", "/nonexistent/client.toml"];
    assert!(message(find("s", &flags, &environment(&[]))).contains(flags[1]));
    let variable = environment(&[("DROPIN_CONFIG", "/nonexistent/other.toml")]);
    assert!(message(find("s", &[], &variable)).contains("other.toml"));
    assert!(message(find("s", &flags, &variable)).contains(flags[1]));
}
