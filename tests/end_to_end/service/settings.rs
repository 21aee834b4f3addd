//! `host.toml`, `host config`, and the precedence of flag, environment, file and default.

use std::{collections::BTreeMap, fs, path::Path};

use dropin_tests::{Ended, Lines, Setup, system::unused_port};
use tempfile::tempdir;

use super::host_in;

/// Values of a flag, tried in this order until the host accepts one that is not its default.
const VALUES: [&str; 14] = [
    "7777",
    "\"4.5\"",
    "[\"127.0.0.2\"]",
    "true",
    "\"poll\"",
    "\"normal\"",
    "\"shared\"",
    "\"lan\"",
    "\"json\"",
    "\"warn\"",
    "\"snapshot\"",
    "\"always\"",
    "\"127.0.0.1:9464\"",
    "\"some/path\"",
];

/// Flags that need a second flag.
const TOGETHER: [(&str, &str); 3] =
    [("tls-cert", "tls-key"), ("tls-key", "tls-cert"), ("fleet-publish", "plugin-key")];

/// Parses the output of `host config`: by flag, its value and its source.
pub(super) fn settings(ended: &Ended) -> BTreeMap<String, (String, String)> {
    assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    let lines = ended.stdout.lines().map(|line| {
        let (setting, origin) = line.rsplit_once("  # ").expect(line);
        let setting = setting.trim();
        let (name, value) = match setting.split_once(" = ") {
            Some((name, value)) => (name, value),
            None => (
                setting
                    .strip_prefix("# ")
                    .and_then(|text| text.strip_suffix(" is not set"))
                    .expect(line),
                "",
            ),
        };
        (name.to_owned(), (value.to_owned(), origin.to_owned()))
    });
    lines.collect()
}

/// Returns a value as the command line and the environment have it.
fn unquoted(value: &str) -> String {
    value.trim_matches(['[', ']']).trim_matches('"').to_owned()
}

/// Returns a value for every flag of the host that is not its default.
fn samples(folder: &Path) -> BTreeMap<String, String> {
    let defaults = settings(&host_in(folder, &["config"], &[]));
    assert!(defaults.len() > 20, "{defaults:?}");
    assert!(defaults.values().all(|(_, origin)| origin == "default"), "{defaults:?}");
    let sample = |(name, (default, _)): (&String, &(String, String))| {
        let taken = VALUES.iter().find(|value| {
            let file = folder.join("sample.toml");
            let more = TOGETHER.iter().find(|(one, _)| one == name);
            let more = more.map_or_else(String::new, |(_, other)| format!("{other} = \"x\"\n"));
            fs::write(&file, format!("{name} = {value}\n{more}")).unwrap();
            let tried = host_in(folder, &["config", "--config", "sample.toml"], &[]);
            tried.status == Some(0) && settings(&tried)[name].0 != *default
        });
        let taken = taken.unwrap_or_else(|| panic!("no value for --{name}: add one to VALUES"));
        (name.clone(), (*taken).to_owned())
    };
    defaults.iter().map(sample).collect()
}

#[test]
fn every_setting_works_from_all_three_sources() {
    let folder = tempdir().unwrap();
    let samples = samples(folder.path());
    let mut file = String::new();
    for (name, value) in &samples {
        file += &format!("{name} = {value}\n");
    }
    fs::write(folder.path().join("all.toml"), &file).unwrap();
    let said = host_in(folder.path(), &["config", "--config", "all.toml"], &[]);
    let from_file = settings(&said);
    for (line, name) in samples.keys().enumerate() {
        assert_eq!(from_file[name].1, format!("file all.toml:{}", line + 1), "{name}");
    }
    // The output is a settings file with the same meaning.
    fs::write(folder.path().join("printed.toml"), &said.stdout).unwrap();
    let again = settings(&host_in(folder.path(), &["config", "--config", "printed.toml"], &[]));
    let values = |all: &BTreeMap<String, (String, String)>| {
        all.iter().map(|(name, (value, _))| (name.clone(), value.clone())).collect::<Vec<_>>()
    };
    assert_eq!(values(&again), values(&from_file));

    let variable = |name: &str| match name {
        "log-level" => "DROPIN_LOG".to_owned(),
        name => format!("DROPIN_{}", name.replace('-', "_").to_ascii_uppercase()),
    };
    let variables: Vec<(String, String)> =
        samples.iter().map(|(name, value)| (variable(name), unquoted(value))).collect();
    let variables: Vec<(&str, &str)> =
        variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let said = host_in(folder.path(), &["config"], &variables);
    let from_environment = settings(&said);
    assert_eq!(values(&from_environment), values(&from_file));
    for name in samples.keys() {
        let origin = format!("environment {}", variable(name));
        assert_eq!(from_environment[name].1, origin, "{name}");
    }

    let flags: Vec<String> = samples
        .iter()
        .map(|(name, value)| match value.as_str() {
            "true" => format!("--{name}"),
            value => format!("--{name}={}", unquoted(value)),
        })
        .collect();
    let mut arguments = vec!["config"];
    arguments.extend(flags.iter().map(String::as_str));
    let from_flags = settings(&host_in(folder.path(), &arguments, &[]));
    assert_eq!(values(&from_flags), values(&from_file));
    assert!(from_flags.values().all(|(_, origin)| origin == "flag"), "{from_flags:?}");
}

#[test]
fn flag_overrides_environment_and_environment_overrides_file() {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("h.toml"), "port = 6001\ngrace = 7\nwatch = 'poll'\n").unwrap();
    let variables =
        [("DROPIN_HOST_CONFIG", "h.toml"), ("DROPIN_PORT", "6002"), ("DROPIN_GRACE", "8")];
    let all = settings(&host_in(folder.path(), &["config", "--port", "6003"], &variables));
    let is = |name: &str, value: &str, origin: &str| {
        assert_eq!(all[name], (value.to_owned(), origin.to_owned()));
    };
    is("port", "6003", "flag");
    is("grace", "8", "environment DROPIN_GRACE");
    is("watch", "\"poll\"", "file h.toml:3");
    is("probe-timeout", "5", "default");
    is("save-timeout", "300", "default");
}

#[test]
fn named_file_replaces_file_of_user_directory() {
    let folder = tempdir().unwrap();
    let place = folder.path().join("config").join("dropin");
    fs::create_dir_all(&place).unwrap();
    fs::write(place.join("host.toml"), "\nport = 6010\n").unwrap();
    fs::write(folder.path().join("other.toml"), "grace = 9\n").unwrap();
    let found = settings(&host_in(folder.path(), &["config"], &[]));
    let path = place.join("host.toml");
    assert_eq!(found["port"], ("6010".into(), format!("file {}:2", path.display())));
    let named = settings(&host_in(folder.path(), &["config", "--config", "other.toml"], &[]));
    assert_eq!(named["port"].1, "default");
    assert_eq!(named["grace"].1, "file other.toml:1");
}

#[test]
fn file_applies_to_host_keys_and_check() {
    let port = unused_port();
    let folder = tempdir().unwrap();
    let file = folder.path().join("h.toml");
    let state = folder.path().join("kept");
    let key = folder.path().join("no.pub");
    let text = format!(
        "port = {port}\nbind = ['127.0.0.1', '::1']\ntrust = 'all'\nstate-dir = '{}'\n",
        state.display()
    );
    fs::write(&file, &text).unwrap();
    let path = file.to_str().unwrap();
    let mut host = Setup::new().default_port().flags(&["--config", path]).start();
    let mut ports: Vec<String> = host.addresses().iter().map(ToString::to_string).collect();
    ports.sort();
    assert_eq!(ports, [format!("127.0.0.1:{port}"), format!("[::1]:{port}")]);
    host.wait_for_log("--trust all");
    assert_eq!(Lines::connect(&host).ask("ping"), "PONG");
    assert_eq!(host.ks(), Some(0));

    // `host key` uses the host's state directory.
    let added = host_in(folder.path(), &["key", "add", "alice", "--config", path], &[]);
    assert_eq!(added.status, Some(0), "{added:?}");
    let listed =
        host_in(folder.path(), &["key", "list", "--state-dir", state.to_str().unwrap()], &[]);
    assert!(listed.stdout.contains("alice"), "{listed:?}");
    // `host check` applies the host's rules.
    fs::write(&file, format!("plugin-key = '{}'\n", key.display())).unwrap();
    let checked = host_in(folder.path(), &["check", "h.toml", "--config", path], &[]);
    assert!(checked.stderr.contains("no.pub"), "{checked:?}");
}

#[test]
fn bad_file_is_reported_with_path_and_line() {
    let folder = tempdir().unwrap();
    for (text, problem) in [
        (
            "port = 5000\nlog-levle = 'info'\n",
            "h.toml:2: unknown key 'log-levle', did you mean 'log-level'?",
        ),
        (
            "\nport = 80\n",
            "h.toml:2: invalid value '80' for '--port <PORT>': port 80 is one of the system's own",
        ),
        ("port = \n", "h.toml:1: "),
        (
            "[plugin.store]\nmemory = '256M'\nprocceses = 2\n",
            "h.toml:3: unknown key 'procceses', did you mean 'processes'?",
        ),
        (
            "[plugin.store]\ncall-timeout = 'soon'\n",
            "h.toml:2: invalid value 'soon' for 'call-timeout': a time is a number of seconds",
        ),
        (
            "journal-sync = 'no'\n",
            "h.toml:1: invalid value 'no' for '--journal-sync <WHEN>' [possible values: always, \
             everysec, never]",
        ),
        (
            "[plugin.store]\ndurability = 'on'\n",
            "h.toml:2: invalid value 'on' for 'durability': a durability is \"off\", \"snapshot\"",
        ),
        ("[plugin.Store]\n", "h.toml:1: invalid name 'Store': a plugin's name is 1 to 64 of"),
        ("[interpreters]\npy = 3\n", "h.toml:2: 'py' takes a command, or a list of it"),
        (
            "tls-cert = 'x'\n",
            "h.toml: the following required arguments were not provided: --tls-key",
        ),
    ] {
        fs::write(folder.path().join("h.toml"), text).unwrap();
        for arguments in [&["--config", "h.toml"][..], &["config", "--config", "h.toml"]] {
            let ended = host_in(folder.path(), arguments, &[]);
            assert_eq!((ended.status, ended.stdout.as_str()), (Some(2), ""), "{ended:?}");
            assert!(ended.stderr.starts_with(&format!("error: {problem}")), "{ended:?}");
        }
    }
    // `host check` uses few of the flags, but refuses every wrong line.
    fs::write(folder.path().join("h.toml"), "[plugin.store]\nprocesses = 0\n").unwrap();
    let ended = host_in(folder.path(), &["check", "x", "--config", "h.toml"], &[]);
    assert_eq!((ended.status, ended.stdout.as_str()), (Some(2), ""), "{ended:?}");
    assert!(ended.stderr.starts_with("error: h.toml:2: invalid value '0' for 'processes'"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let file = folder.path().join("h.toml");
        fs::write(&file, "port = 5000\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o664)).unwrap();
        let ended = host_in(folder.path(), &["--config", "h.toml"], &[]);
        let problem =
            "error: the settings file h.toml can be written to by others; run: chmod go-w";
        assert_eq!(ended.status, Some(2), "{ended:?}");
        assert!(ended.stderr.starts_with(problem), "{ended:?}");
    }
    let ended = host_in(folder.path(), &["--config", "missing.toml"], &[]);
    assert_eq!(ended.status, Some(2));
    assert!(ended.stderr.contains("cannot read the settings file missing.toml"), "{ended:?}");
}

#[test]
fn tables_are_printed_with_origin_and_read_back() {
    let folder = tempdir().unwrap();
    let text = "isolate = 'text'\n[interpreters]\njs = ['node', '--no-warnings']\n\
                [plugin.store]\nmemory = '256M'\nisolate = true\n";
    fs::write(folder.path().join("h.toml"), text).unwrap();
    let said = host_in(folder.path(), &["config", "--config", "h.toml"], &[]);
    let (_, tables) = said.stdout.split_once("\n\n").expect("a line before the tables");
    assert_eq!(
        tables,
        "[interpreters]\njs = [\"node\", \"--no-warnings\"]  # file h.toml:3\n\n\
         [plugin.store]\nisolate = true   # file h.toml:6\nmemory = \"256M\"  # file h.toml:5\n"
    );
    fs::write(folder.path().join("printed.toml"), &said.stdout).unwrap();
    let again = host_in(folder.path(), &["config", "--config", "printed.toml"], &[]);
    let values = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.split("  # ").next().unwrap().trim().to_owned()).collect()
    };
    assert_eq!(values(&again.stdout), values(&said.stdout));
    assert!(again.stdout.contains("isolate = [\"text\"]"), "{again:?}");
}

#[test]
fn plugins_load_with_host_settings_in_environment() {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("h.toml"), "grace = 6\n").unwrap();
    let path = folder.path().join("h.toml");
    let setup = Setup::new().plugins(&["text"]);
    let host = setup.variable("DROPIN_HOST_CONFIG", path.to_str().unwrap()).start();
    assert_eq!(Lines::connect(&host).ask("upper x"), "X");
}

#[test]
fn the_state_directory_in_force_is_printed() {
    let folder = tempdir().unwrap();
    let state = folder.path().join("state");
    let variables = ["XDG_STATE_HOME", "LOCALAPPDATA"].map(|name| (name, state.to_str().unwrap()));
    let all = settings(&host_in(folder.path(), &["config"], &variables));
    let (value, origin) = &all["state-dir"];
    assert_eq!(origin, "default");
    let quoted = value.trim_matches(['"', '\'']);
    if cfg!(target_os = "macos") {
        assert!(quoted.ends_with("dropin"), "{value}");
    } else {
        assert_eq!(Path::new(quoted), state.join("dropin"));
    }
}

#[test]
fn a_misspelt_variable_is_warned_of() {
    let folder = tempdir().unwrap();
    let said = host_in(folder.path(), &["config"], &[("DROPIN_PROT", "5001")]);
    let warning = "DROPIN_PROT means nothing to the host, did you mean DROPIN_PORT?";
    assert_eq!((said.status, said.stderr), (Some(0), format!("host: {warning}\n")));
    let host = Setup::new().variable("DROPIN_TRSUT", "none").start();
    host.wait_for_log("DROPIN_TRSUT means nothing to the host, did you mean DROPIN_TRUST?");
}

#[test]
fn client_accepts_variables_of_the_host() {
    let folder = tempdir().unwrap();
    let defaults = settings(&host_in(folder.path(), &["config"], &[]));
    let mut client = crate::client_program::client(&[], &["places"]);
    for name in defaults.keys() {
        client.env(format!("DROPIN_{}", name.replace('-', "_").to_ascii_uppercase()), "5000");
    }
    let output = dropin_tests::tool::run(&mut client, b"");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!said.contains("did you mean"), "{said}");
    client.env("DROPIN_ADRESS", "x");
    let output = dropin_tests::tool::run(&mut client, b"");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("client: DROPIN_ADRESS means nothing to the client"), "{said}");
}
