use super::*;

fn words(words: &[&str]) -> Vec<OsString> {
    ["client"].iter().chain(words).map(OsString::from).collect()
}

fn parsed(line: &[&str]) -> Args {
    parse(&words(line)).unwrap()
}

#[track_caller]
fn connects(line: &[&str]) -> (Option<String>, Vec<String>) {
    match parsed(line).action {
        Action::Connect { place, command } => {
            (place, command.into_iter().map(|word| word.into_string().unwrap()).collect())
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn rejected(line: &[&str]) -> String {
    match parse(&words(line)) {
        Err(ParseError::Clap(error)) => error.to_string(),
        Err(ParseError::Usage(error)) => error.to_string(),
        Ok(args) => panic!("{args:?}"),
    }
}

#[test]
fn definition_passes_the_checks_of_clap() {
    definition().debug_assert();
}

#[test]
fn command_arguments_are_passed_verbatim() {
    for place in ["s", "home"] {
        let line = [place, "--port", "6000", "echo", "-n", "--help", "--", "--port", "add"];
        let (found, command) = connects(&line);
        assert_eq!(found.as_deref(), Some(place));
        assert_eq!(command, ["echo", "-n", "--help", "--", "--port", "add"]);
        assert_eq!(parsed(&line).connection.port, Some(6000));
    }
}

#[test]
fn options_stand_on_both_sides_of_the_place() {
    for place in ["l", "lan", "home"] {
        let args =
            parsed(&["--json", "--port", "1", place, "-qr-1", "-i", "1", "--port", "2", "x"]);
        assert!(args.output.json && args.output.quiet, "{args:?}");
        assert_eq!((args.connection.port, args.script.repeat.is_some()), (Some(2), true));
        assert_eq!(args.connection.connect_timeout.as_secs(), 5);
    }
}

#[test]
fn command_can_have_the_name_of_a_task() {
    assert_eq!(connects(&["s", "add", "home"]).1, ["add", "home"]);
    assert_eq!(connects(&["home", "places"]).1, ["places"]);
    assert_eq!(connects(&["s", "help"]).1, ["help"]);
    assert_eq!(connects(&[]), (None, vec![]));
}

#[test]
fn tasks_accept_their_options_on_both_sides() {
    let args = parsed(&["--config", "f", "add", "--lan", "x", "home", "--port", "6000"]);
    let Action::Add(place) = &args.action else { panic!("{args:?}") };
    assert_eq!((place.name.as_str(), place.lan.as_deref()), ("home", Some("x")));
    assert_eq!(args.connection.port, Some(6000));
    assert!(args.connection.config.is_some());
}

#[test]
fn options_without_effect_are_rejected() {
    for line in [
        ["add", "a", "--same", "--json"],
        ["--latency", "places", "-q", "-q"],
        ["remove", "a", "--key", "k"],
        ["man", "-x", "-q", "-q"],
        ["add", "a", "--same", "--connect-timeout=3"],
    ] {
        let line = if line[3] == "-q" { &line[..3] } else { &line[..] };
        assert!(rejected(line).contains("has no meaning for `client "), "{line:?}");
    }
}

#[test]
fn conflicting_options_are_rejected_in_any_position() {
    for (line, part) in [
        (&["--json", "s", "--csv", "x"][..], "--json and --csv"),
        (&["s", "--raw", "--json", "x"], "--json and --raw"),
        (&["--plain", "l", "--tls"], "--tls and --plain"),
        (&["--plain", "l", "--ca", "f"], "--plain and --ca"),
        (&["s", "--key", "k", "--key-file", "f"], "--key and --key-file"),
        (&["s", "-f", "x", "echo"], "--file and a command"),
        (&["s", "-x", "-f", "x"], "-x and --file"),
        (&["s", "--latency", "echo"], "--latency and a command"),
        (&["s", "-x"], "client s -x set key"),
        (&["s", "-r", "3"], "client s -r 3 incr n"),
        (&["-i", "3", "s", "echo"], "--interval stands with"),
        (&["s", "--prot", "6000", "echo"], "a similar argument exists: '--port'"),
        (&["home", "--prot", "6000"], "a similar argument exists: '--port'"),
        (&["--prot", "6000", "s"], "--port"),
        (&["add", "home"], "--lan"),
        (&["add", "home", "--same", "--lan", "x"], "--lan"),
        (&["completion", "dos"], "powershell"),
    ] {
        let message = rejected(line);
        assert!(message.contains(part), "{line:?}: {message}");
    }
}

#[test]
fn invalid_numbers_are_rejected() {
    for bad in ["--port=0", "--port=70000", "-r0", "--repeat=-2", "-ix", "--timeout=0"] {
        assert!(rejected(&[bad, "s", "x"]).contains("invalid value"), "{bad}");
    }
}
