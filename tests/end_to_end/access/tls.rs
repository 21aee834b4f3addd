//! TLS on the same port, with common tools.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

use dropin_tests::{
    Host, LIMIT, Lines, Setup,
    cable::{Cable, HOST},
    keys::add_key,
    tool, wait_until,
};

use super::untrusting_host;

/// Sends lines over TLS and returns the replies; `openssl` must agree with the fingerprint.
fn openssl(started_by: &[&str], host: &Host, address: &str, flags: &[&str], input: &str) -> Output {
    let mut words = started_by.iter().copied().chain(["openssl"]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args(["s_client", "-quiet", "-connect"]);
    command.arg(format!("{address}:{}", host.port()));
    command.arg("-verify_return_error").args(["-CAfile", &certificate(host)]).args(flags);
    tool::run(&mut command, input.as_bytes())
}

fn certificate(host: &Host) -> String {
    host.state_dir().join("tls-cert.pem").to_string_lossy().into_owned()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
#[cfg_attr(not(tool = "openssl"), ignore = "needs openssl")]
fn openssl_speaks_lines_over_tls_of_both_versions() {
    let host = Setup::new().plugins(&["text"]).start();
    for version in ["-tls1_2", "-tls1_3"] {
        let output = openssl(&[], &host, "127.0.0.1", &[version], "echo one\necho two\nclose\n");
        assert_eq!(text(&output), "one\ntwo\nOK\n", "{output:?}");
    }
    for version in ["-tls1", "-tls1_1"] {
        let output = openssl(&[], &host, "127.0.0.1", &[version], "echo one\nclose\n");
        assert_eq!(text(&output), "", "{version} is too old");
    }
    assert_eq!(Lines::connect(&host).ask("echo plain"), "plain");
}

#[test]
#[cfg_attr(not(tool = "openssl"), ignore = "needs openssl")]
fn fingerprint_matches_certificate_and_stays() {
    let host = Setup::new().start();
    let mut command = Command::new("openssl");
    command.args(["x509", "-noout", "-fingerprint", "-sha256", "-in", &certificate(&host)]);
    let said = text(&tool::run(&mut command, b""));
    let shown = host.fingerprint();
    assert_eq!(said.trim().split('=').nth(1), shown.strip_prefix("SHA256:"));
    let mut command = Command::new(dropin_tests::built::program("host"));
    command.arg("fingerprint").arg("--state-dir").arg(host.state_dir());
    assert_eq!(text(&tool::run(&mut command, b"")).trim(), shown);
}

#[test]
#[cfg_attr(not(tool = "openssl"), ignore = "needs openssl")]
fn large_reply_and_pipeline_are_complete_over_tls() {
    let host = Setup::new().plugins(&["text"]).start();
    let word = "x".repeat(300_000);
    let count = 2_000;
    let input = format!("echo {word}\n{}close\n", "echo short\n".repeat(count));
    let output = openssl(&[], &host, "127.0.0.1", &[], &input);
    let expected = format!("{word}\n{}OK\n", "short\n".repeat(count));
    assert!(text(&output) == expected, "{} of {} bytes", output.stdout.len(), expected.len());
}

#[test]
#[cfg_attr(not(tool = "redis-cli"), ignore = "needs redis-cli")]
fn redis_cli_logs_in_over_tls() {
    let host = untrusting_host(&[]);
    let key = add_key(&host, "alice", &[]);
    let redis = |words: &[&str]| {
        let mut command = Command::new("redis-cli");
        command.args(["--tls", "--cacert", &certificate(&host), "-p", &host.port().to_string()]);
        command.env("REDISCLI_AUTH", &key).args(words);
        text(&tool::run(&mut command, b""))
    };
    wait_until("the host knows the key", LIMIT, || redis(&["echo", "hello"]) == "hello\n");
    assert_eq!(redis(&["--user", "alice", "upper", "hello"]), "HELLO\n");
    assert_eq!(redis(&["-3", "incr", "n"]), "1\n");
    assert!(redis(&["ks"]).starts_with("NOPERM "));
}

#[test]
#[cfg_attr(
    not(all(tool = "openssl", tool = "ip", right = "namespaces")),
    ignore = "needs openssl, ip and network namespaces"
)]
fn remote_client_with_key_ends_host_over_tls() {
    let cable = Cable::create();
    let mut host = Setup::new().plugins(&["text"]).started_by(&cable.host_end()).start();
    let (user, admin) =
        (add_key(&host, "alice", &[]), add_key(&host, "boss", &["--role", "admin"]));
    let far = |input: String| text(&openssl(&cable.client_end(), &host, HOST, &[], &input));
    wait_until("the host knows the keys", LIMIT, || {
        let mut near = Lines::from_connection(cable.connect_locally(host.v4()));
        near.ask(&format!("auth boss {admin}")) == "OK"
    });
    let answers = far("echo x\nclose\n".into());
    let lines: Vec<_> = answers.lines().collect();
    assert_eq!(lines[1], "OK");
    assert!(lines[0].starts_with("error: NOAUTH Authentication required. Send AUTH "), "{answers}");
    let answers = far(format!("auth alice {user}\necho x\nks\nclose\n"));
    assert!(answers.starts_with("OK\nx\nerror: NOPERM User alice "), "{answers}");
    let answers = far(format!("auth boss {admin}\nks\n"));
    assert_eq!(answers, "OK\nOK\nthe server is shutting down\n");
    assert_eq!(host.exit(), Some(0));
}

#[test]
#[cfg_attr(not(tool = "openssl"), ignore = "needs openssl")]
fn trusted_tls_client_may_stay_silent() {
    let host = Setup::new().plugins(&["text"]).flags(&["--login-timeout", "3"]).start();
    let mut command = Command::new("openssl");
    command.args(["s_client", "-quiet", "-connect", &format!("127.0.0.1:{}", host.port())]);
    let mut client = tool::Running::start(&mut command);
    client.type_in("echo early\n");
    let mut other = Lines::connect(&host);
    // In whole seconds, of which more than one may pass between two readings.
    let is_silent = |line: &String| {
        let idle = line.split(' ').find_map(|field| field.strip_prefix("idle="));
        idle.and_then(|idle| idle.parse().ok()).is_some_and(|idle: u64| idle >= 4)
    };
    wait_until("it has been silent for longer", LIMIT, || {
        other.ask_all("client list").iter().any(is_silent)
    });
    client.type_in("echo late\nclose\n");
    let said = client.finish();
    assert!(said.contains("early\nlate\nOK\n"), "{said}");
}

#[test]
fn malformed_tls_harms_nobody() {
    let host = untrusting_host(&["--login-timeout", "3"]);
    let clients =
        [&b"\x16"[..], b"\x16\x03\x01\x02\x00", b"\x16garbage of some length", &[0x16; 5000]].map(
            |garbage| {
                let mut client = dropin_tests::Connection::connect(host.v4());
                client.send(garbage);
                client
            },
        );
    clients.into_iter().for_each(|mut client| client.wait_for_end());
    assert!(super::is_there(&host));
}

#[test]
#[cfg_attr(not(tool = "openssl"), ignore = "needs openssl")]
fn named_certificate_needs_private_key_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (certificate, key) = (path("cert.pem"), path("key.pem"));
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=own"]);
    command.args(["-keyout", &key, "-out", &certificate]);
    assert!(tool::run(&mut command, b"").status.success());
    let start = || Setup::new().flags(&["--tls-cert", &certificate, "--tls-key", &key]);
    let host = start().start();
    let output = openssl(&[], &host, "127.0.0.1", &["-CAfile", &certificate], "ping\nclose\n");
    assert_eq!(text(&output), "PONG\nOK\n");
    let mut command = Command::new(dropin_tests::built::program("host"));
    command.args(["fingerprint", "--tls-cert", &certificate]);
    assert_eq!(text(&tool::run(&mut command, b"")).trim(), host.fingerprint());
    #[cfg(unix)]
    {
        set_mode(Path::new(&key), 0o644);
        let ended = start().run();
        assert_eq!(ended.status, Some(1));
        assert!(ended.stderr.contains(&format!("chmod go= {key}")), "{ended:?}");
    }
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
#[cfg_attr(not(tool = "openssl"), ignore = "needs openssl")]
fn subscriber_over_tls_gets_events_at_once() {
    let host = Setup::new().plugins(&["text"]).start();
    let output = host.state_dir().join("watched");
    let mut command = Command::new("openssl");
    command.args(["s_client", "-quiet", "-connect", &format!("127.0.0.1:{}", host.port())]);
    command.stdin(Stdio::piped()).stdout(fs::File::create(&output).unwrap()).stderr(Stdio::null());
    let mut client = command.spawn().unwrap();
    // All arrive in one TLS record: the last must not wait for the socket.
    let input = b"HELLO 3\r\nPLUGIN WATCH\r\nPING watching\r\n";
    client.stdin.as_mut().unwrap().write_all(input).unwrap();
    let has_come = |words: &str| {
        wait_until(words, LIMIT, || {
            String::from_utf8_lossy(&fs::read(&output).unwrap()).contains(words)
        });
    };
    has_come("$8\r\nwatching\r\n");
    // The subscriber sends nothing more.
    assert!(Lines::connect(&host).ask("plugin reload text").contains("generation 2"));
    has_come("$6\r\nplugin\r\n$7\r\nswapped\r\n$4\r\ntext\r\n$1\r\n2\r\n");
    client.stdin.as_mut().unwrap().write_all(b"QUIT\r\n").unwrap();
    assert!(client.wait().unwrap().success());
}

#[test]
#[cfg_attr(not(tool = "openssl"), ignore = "needs openssl")]
fn http_over_tls_is_not_run() {
    let host = Setup::new().plugins(&["store"]).start();
    let output = openssl(&[], &host, "127.0.0.1", &[], "SET /x HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(text(&output).starts_with("HTTP/1.1 400 Bad Request\r\n"), "{output:?}");
    assert_eq!(Lines::connect(&host).ask("get /x"), "(null)");
}
