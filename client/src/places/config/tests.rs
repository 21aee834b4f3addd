use std::fs;

use super::*;
use crate::cli::command_line::{Action, parse};

fn environment(pairs: &[(&str, &str)]) -> Environment {
    let variables = pairs.iter().map(|(name, value)| (name.to_string(), value.into())).collect();
    Environment { variables, config_dir: None }
}

/// Where `client WORD FLAGS` connects to.
fn find(word: &str, flags: &[&str], environment: &Environment) -> Result<Target, Error> {
    let words: Vec<OsString> = ["client", word].iter().chain(flags).map(Into::into).collect();
    let args = parse(&words).unwrap();
    let Action::Talk { place: Some(word), .. } = &args.action else { panic!("{args:?}") };
    let file = SettingsFile::find(&args.connection, environment);
    let settings = file.as_ref().map_or(Ok(Settings::default()), SettingsFile::load)?;
    let place = Place::find(word, &settings)?;
    place.target(&settings, file.as_ref(), &args.connection, environment)
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
fn same_machine_needs_nothing() {
    let found = find("s", &[], &environment(&[])).unwrap();
    assert_eq!(found, target(&["127.0.0.1", "::1"], 5000));
}

#[test]
fn same_machine_ignores_addresses_meant_for_other_machines() {
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
fn the_file_has_a_table_for_each_type() {
    let (_dir, environment) =
        with_file("port = 9\n[internet]\naddress = 'a.b'\n[same]\nport = 8\n");
    assert_eq!(find("i", &[], &environment).unwrap(), target(&["a.b"], 9));
    assert_eq!(find("s", &[], &environment).unwrap(), target(&["127.0.0.1", "::1"], 8));
}

#[test]
fn a_named_place_is_what_the_file_says_of_it() {
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
fn the_key_of_another_host_is_not_shown_to_a_named_place() {
    let (dir, mut environment) = with_file(
        "[lan]\nkey = 'lan'\n[places.home]\ntype = 'lan'\naddress = 'h'\nkey-file = 'home.key'\n\
         [places.open]\ntype = 'lan'\naddress = 'o'\ntls = false\n",
    );
    fs::write(dir.path().join("dropin/home.key"), "file\n").unwrap();
    let access = |words: &[&str], environment: &Environment| {
        let words: Vec<OsString> = ["client"].iter().chain(words).map(Into::into).collect();
        let args = parse(&words).unwrap();
        let file = SettingsFile::find(&args.connection, environment);
        let settings = file.as_ref().unwrap().load().unwrap();
        let Action::Talk { place: Some(word), .. } = &args.action else { panic!("{args:?}") };
        let place = Place::find(word, &settings).unwrap();
        let access = place.access(file.as_ref(), &args.connection, environment, false).unwrap();
        (access.tls.is_some(), access.key.map(|key| String::from_utf8(key).unwrap()))
    };
    let some = |key: &str| Some(key.to_owned());
    assert_eq!(access(&["l"], &environment), (true, some("lan")));
    assert_eq!(access(&["open"], &environment), (false, None));
    environment.variables.insert("DROPIN_KEY".into(), "variable".into());
    assert_eq!(access(&["l"], &environment), (true, some("variable")));
    assert_eq!(access(&["home"], &environment), (true, some("file")));
    assert_eq!(access(&["home", "--plain", "--key", "flag"], &environment), (false, some("flag")));
    assert_eq!(access(&["open", "--tls"], &environment), (true, some("variable")));
    assert_eq!(access(&["s"], &environment), (false, some("variable")));
}

#[test]
fn an_unknown_place_is_told_with_the_nearest_and_all() {
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
fn a_missing_address_is_told_with_all_its_sources() {
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
fn a_bad_port_variable_is_named() {
    for value in ["0", "abc", "70000"] {
        let text = message(find("s", &[], &environment(&[("DROPIN_PORT", value)])));
        assert!(text.contains("DROPIN_PORT") && text.contains(value), "{text}");
    }
}

#[test]
fn unknown_keys_and_bad_lines_are_named_with_file_and_line() {
    for (text, line, part) in [
        ("port = 5000\n\n[lan]\nadress = 'x'\n", "line 4", "adress"),
        ("[wan]\naddress = 'x'\n", "line 1", "wan"),
        ("port = 5000\nport 5001\n", "line 2", ""),
        ("port = 0\n", "line 1", "0"),
        ("[lan]\naddress = 5\n", "line 2", "string"),
    ] {
        let (dir, environment) = with_file(text);
        let told = message(find("l", &[], &environment));
        let file = dir.path().join("dropin/client.toml").display().to_string();
        assert!(told.contains(&file) && told.contains(line) && told.contains(part), "{told}");
    }
}

#[test]
fn a_file_asked_for_must_exist() {
    let flags = ["--config", "/nonexistent/client.toml"];
    assert!(message(find("s", &flags, &environment(&[]))).contains(flags[1]));
    let variable = environment(&[("DROPIN_CONFIG", "/nonexistent/other.toml")]);
    assert!(message(find("s", &[], &variable)).contains("other.toml"));
    assert!(message(find("s", &flags, &variable)).contains(flags[1]));
}

#[test]
fn addresses_of_every_kind() {
    for (text, host) in [
        ("example.org", "example.org"),
        (" 10.0.0.1 ", "10.0.0.1"),
        ("::1", "::1"),
        ("[::1]", "::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
    ] {
        assert_eq!(parse_host(text).unwrap(), host);
    }
    for (text, part) in [
        ("example.org:5000", "--port"),
        ("[::1]:5000", "--port"),
        ("[::1", "no address"),
        ("a b", "no address"),
        ("http://x", "no address"),
        (" ", "no address"),
    ] {
        let told = parse_host(text).unwrap_err().to_string();
        assert!(told.contains(part), "{text}: {told}");
    }
}

#[test]
fn a_misspelt_variable_is_told_with_the_nearest() {
    for (name, nearest) in [
        ("DROPIN_PROT", "DROPIN_PORT"),
        ("DROPIN_ADRESS", "DROPIN_ADDRESS"),
        ("DROPIN_Port", "DROPIN_PORT"),
    ] {
        let expected = format!("{name} means nothing to the client, did you mean {nearest}?");
        assert_eq!(environment(&[(name, "x")]).misspelt(), [expected]);
    }
    let hosts =
        ["DROPIN_PLUGINS", "DROPIN_LOG", "DROPIN_TRUST", "DROPIN_BIND", "DROPIN_HOST_CONFIG"];
    for name in hosts.into_iter().chain(["DROPIN_TEST_PORT", "DROPIN_TEST_ALL"]).chain(VARIABLES) {
        assert!(environment(&[(name, "x")]).misspelt().is_empty(), "{name}");
    }
}
