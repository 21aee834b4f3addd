use super::*;
use clap::Parser as _;
use std::fs;

fn environment(pairs: &[(&str, &str)]) -> Environment {
    let variables = pairs.iter().map(|(name, value)| (name.to_string(), value.into())).collect();
    Environment { variables, config_dir: None }
}

fn find(place: Place, flags: &[&str], environment: &Environment) -> Result<Target, Error> {
    resolve(place, &Args::parse_from([&["client"], flags].concat()), environment)
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
    let found = find(Place::Same, &[], &environment(&[])).unwrap();
    assert_eq!(found, target(&["127.0.0.1", "::1"], 5000));
}

#[test]
fn same_machine_ignores_addresses_meant_for_other_machines() {
    let found = find(Place::Same, &[], &environment(&[("DROPIN_ADDRESS", "far")])).unwrap();
    assert_eq!(found.hosts, ["127.0.0.1", "::1"]);
    let found = find(Place::Same, &["--address", "near"], &environment(&[])).unwrap();
    assert_eq!(found.hosts, ["near"]);
}

#[test]
fn flags_win_over_environment_over_file() {
    let (_dir, mut environment) = with_file("port = 1\n[lan]\naddress = 'file'\nport = 2\n");
    assert_eq!(find(Place::Lan, &[], &environment).unwrap(), target(&["file"], 2));
    for (name, value, expected) in [
        ("DROPIN_ADDRESS", "any", "any"),
        ("DROPIN_INTERNET_ADDRESS", "net", "any"),
        ("DROPIN_LAN_ADDRESS", "lan", "lan"),
    ] {
        environment.variables.insert(name.into(), value.into());
        assert_eq!(find(Place::Lan, &[], &environment).unwrap().hosts, [expected]);
    }
    environment.variables.insert("DROPIN_PORT".into(), "3".into());
    assert_eq!(find(Place::Lan, &[], &environment).unwrap(), target(&["lan"], 3));
    let flags = ["--address", "flag", "--port", "4"];
    assert_eq!(find(Place::Lan, &flags, &environment).unwrap(), target(&["flag"], 4));
}

#[test]
fn the_file_has_a_table_for_each_type() {
    let (_dir, environment) =
        with_file("port = 9\n[internet]\naddress = 'a.b'\n[same]\nport = 8\n");
    assert_eq!(find(Place::Internet, &[], &environment).unwrap(), target(&["a.b"], 9));
    assert_eq!(find(Place::Same, &[], &environment).unwrap(), target(&["127.0.0.1", "::1"], 8));
}

#[test]
fn a_missing_address_is_told_with_all_its_sources() {
    let (dir, environment) = with_file("");
    let text = message(find(Place::Lan, &[], &environment));
    for part in ["--address", "DROPIN_LAN_ADDRESS", "DROPIN_ADDRESS", "[lan]"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(text.contains(&dir.path().join("dropin/client.toml").display().to_string()), "{text}");
}

#[test]
fn empty_variables_count_as_not_set() {
    let environment = environment(&[("DROPIN_LAN_ADDRESS", ""), ("DROPIN_ADDRESS", "x")]);
    assert_eq!(find(Place::Lan, &[], &environment).unwrap().hosts, ["x"]);
}

#[test]
fn a_bad_port_variable_is_named() {
    for value in ["0", "abc", "70000"] {
        let text = message(find(Place::Same, &[], &environment(&[("DROPIN_PORT", value)])));
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
        let told = message(find(Place::Lan, &[], &environment));
        let file = dir.path().join("dropin/client.toml").display().to_string();
        assert!(told.contains(&file) && told.contains(line) && told.contains(part), "{told}");
    }
}

#[test]
fn a_file_asked_for_must_exist() {
    let flags = ["--config", "/nonexistent/client.toml"];
    assert!(message(find(Place::Same, &flags, &environment(&[]))).contains(flags[1]));
    let variable = environment(&[("DROPIN_CONFIG", "/nonexistent/other.toml")]);
    assert!(message(find(Place::Same, &[], &variable)).contains("other.toml"));
    assert!(message(find(Place::Same, &flags, &variable)).contains(flags[1]));
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
