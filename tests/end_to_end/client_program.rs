//! The command-line client with the host: same machine, same LAN, internet.

use std::process::Command;

use dropin_tests::{
    Host, LIMIT, Lines, NOTICE, Port, SHIPPED, Setup, built,
    setup::Ended,
    tool::{self, Running},
    wait_until,
};

/// Returns a command for the client, started by these words, without any user's settings.
pub(crate) fn client(started_by: &[&str], arguments: &[&str]) -> Command {
    let program = built::program("client").into_os_string();
    let mut words = started_by.iter().map(Into::into).chain([program]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args(arguments);
    for name in ["PORT", "ADDRESS", "LAN_ADDRESS", "INTERNET_ADDRESS", "CONFIG"] {
        command.env_remove(format!("DROPIN_{name}"));
    }
    let nowhere = built::output().join("no-such-folder");
    command.env("HOME", &nowhere).env("XDG_CONFIG_HOME", &nowhere).env("APPDATA", &nowhere);
    command
}

/// Runs the client on this machine. Returns its result.
pub(crate) fn run(host: &Host, arguments: &[&str], input: &str) -> Ended {
    let port = host.port().to_string();
    let mut command = client(&[], &[&["--port", &port], arguments].concat());
    tool::run(&mut command, input.as_bytes()).into()
}

/// Returns the result of a success with this output.
pub(crate) fn success(output: &str) -> Ended {
    Ended { status: Some(0), stdout: output.into(), stderr: String::new() }
}

#[test]
fn exit_status_is_success_of_command() {
    let host = Host::start(&SHIPPED);
    assert_eq!(run(&host, &["s", "echo", "hello"], ""), success("hello\n"));
    assert_eq!(run(&host, &["s", "echo", "two  words", "-n"], ""), success("two  words -n\n"));
    assert_eq!(run(&host, &["s", "incr", "n"], ""), success("1\n"));
    assert_eq!(run(&host, &["s", "--address", "::1", "incr", "n"], ""), success("2\n"));
    let Ended { status, stdout: output, stderr: error } = run(&host, &["s", "nonsense"], "");
    assert_eq!((status, output.as_str()), (Some(1), ""));
    assert_eq!(error, "error: unknown command 'nonsense'\n");
}

#[test]
fn commands_from_a_pipe_run_in_one_session() {
    let host = Host::start(&SHIPPED);
    let input = "set greeting 'good  morning'\nget greeting\nupper x\ncount 'a b'\nclose\n";
    let Ended { status, stdout: output, stderr: error } = run(&host, &["s"], input);
    assert_eq!((status, error.as_str()), (Some(0), ""), "{output}");
    assert!(output.contains("good  morning\nX\n"), "{output}");
    let mut observer = Lines::connect(&host);
    wait_until("its session has gone", LIMIT, || observer.ask_all("clients").len() == 1);
}

#[test]
fn no_host_is_another_exit_status() {
    let port = Port::hold();
    let mut host = Setup::new().port(port.number()).start();
    assert_eq!(host.ks(), Some(0));
    let Ended { status, stderr: error, .. } = run(&host, &["s", "echo", "hello"], "");
    assert_eq!(status, Some(2), "{error}");
    assert!(error.contains(&format!("cannot connect to 127.0.0.1:{}", port.number())), "{error}");
}

#[test]
fn value_with_spaces_needs_quotes() {
    let host = Host::start(&["store"]);
    let Ended { status, stderr: error, .. } =
        run(&host, &["s", "setnx", "greeting", "hello", "world"], "");
    assert_eq!(status, Some(1));
    assert!(error.ends_with("needs quotes: setnx greeting \"hello world\"\n"), "{error}");
}

#[test]
fn ks_is_replied_to_and_the_notice_shown() {
    let mut host = Host::start(&[]);
    let Ended { status, stdout: output, stderr: error } = run(&host, &["s", "ks"], "");
    assert_eq!((status, output.as_str()), (Some(0), "OK\n"));
    assert!(error.contains(NOTICE), "{error}");
    assert_eq!(host.exit(), Some(0));
}

#[test]
fn a_client_that_is_killed_leaves_nothing_behind() {
    let host = Host::start(&["busy"]);
    let mut observer = Lines::connect(&host);
    let port = host.port().to_string();
    for input in ["ping\n", "linger 600000\n"] {
        let mut killed = Running::start(&mut client(&[], &["--port", &port, "s"]));
        killed.type_in(input);
        // If it is killed while it connects, its socket sometimes outlives it under Wine.
        match input {
            "ping\n" => wait_until("it is idle", LIMIT, || {
                // The greeting and that.
                let idle = |one: &String| one.starts_with("id=2 ") && one.contains(" tot-cmds=2 ");
                observer.ask_all("client list").iter().any(idle)
            }),
            _ => drop(host.wait_for_log("lingering for")),
        }
        killed.kill();
        wait_until("it has gone", LIMIT, || observer.ask_all("client list").len() == 1);
    }
}

#[cfg(target_os = "linux")]
#[test]
#[cfg_attr(not(all(tool = "ip", right = "namespaces")), ignore = "needs ip and network namespaces")]
fn three_connection_types_are_notified_of_end() {
    use dropin_tests::cable::{self, Cable};

    let cable = Cable::create();
    let mut host = Setup::new()
        .default_port()
        .flags(&["--trust", "lan"])
        .started_by(&cable.host_end())
        .start();
    // A folder of its own, since the client keeps the host's fingerprint beside its settings.
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("client.toml");
    std::fs::write(&settings, "").unwrap();
    let far = ["--config", settings.to_str().unwrap(), "--address", cable::HOST];
    let mut clients = [
        Running::start(&mut client(&cable.host_end(), &["s"])),
        Running::start(&mut client(&cable.client_end(), &[&far[..], &["l"]].concat())),
        Running::start(&mut client(&cable.client_end(), &[&far[..], &["i"]].concat())),
    ];
    let mut observer = Lines::from_connection(cable.connect_locally(host.v4()));
    for (number, client) in clients.iter_mut().enumerate() {
        client.type_in(&format!("client setname number-{number}\n"));
    }
    wait_until("all are named", LIMIT, || {
        let list = observer.ask_all("client list");
        (0..3).all(|number| {
            let name = format!(" name=number-{number} ");
            list.iter().any(|line| line.contains(&name))
        })
    });
    assert_eq!(observer.ask("ks"), "OK");
    for client in clients {
        let said = client.finish();
        assert!(said.contains(NOTICE), "{said}");
    }
    assert_eq!(host.exit(), Some(0));
}
