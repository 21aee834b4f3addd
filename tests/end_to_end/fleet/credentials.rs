//! The ways in which a host logs in to NATS, and TLS.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use dropin_tests::{Host, LIMIT, Lines, Setup, nats::Nats, tool, wait_until};

use super::{described, nats_state, wait_for_hosts};

/// A user's nkey: its public part, and its seed.
const NKEY: [&str; 2] = [
    "UD7IBXWSIGAYML22CP54O7OXX23KO7Y5VRWPWFVYOZHHLPGZO6LDPMW2",
    "SUAIFC7YGBPD5YTNDKSKSOCEKYFDI3CBLLAY5QR3YXQ7IJIXCQTZUJVHLA",
];

/// The seed of another user.
const OTHER_SEED: &str = "SUACUA6MSGA2VMZDA6ISS3NDFUEIH7KWMHCDUERBVYJXC3KEC472GXGI5E";

/// Starts host `a`, and host `b` with a store, with these flags.
fn start(url: &str, flags: &[&str]) -> [Host; 2] {
    [("a", &[][..]), ("b", &["store"])].map(|(name, plugins)| {
        let fleet = ["--fleet", url, "--fleet-host", name];
        Setup::new().plugins(plugins).flags(&fleet).flags(flags).start()
    })
}

/// Checks that hosts with these flags answer each other's commands.
#[track_caller]
fn expect_fleet(url: &str, flags: &[&str]) -> [Host; 2] {
    let [a, b] = start(url, flags);
    wait_for_hosts(&a, "get", 1);
    assert_eq!(Lines::connect(&a).ask("set key value"), "OK");
    assert_eq!(Lines::connect(&b).ask("get key"), "value");
    assert_eq!(nats_state(&a), "connected");
    [a, b]
}

/// Checks that a host with these flags serves, but that the server refuses it with this error.
#[track_caller]
fn expect_refusal(url: &str, flags: &[&str], cause: &str) {
    let fleet = ["--fleet", url, "--fleet-host", "stranger"];
    let host = Setup::new().plugins(&["text"]).flags(&fleet).flags(flags).start();
    wait_until(&format!("the state says '{cause}'"), LIMIT, || nats_state(&host).contains(cause));
    host.wait_for_log(cause);
    assert_eq!(Lines::connect(&host).ask("echo text"), "text");
}

/// Writes a file of this test, and returns its path.
fn file(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn user_and_password_in_the_address_log_in() {
    let nats = Nats::with(&["--user", "alice", "--pass", "secret"]);
    let hosts = expect_fleet(&nats.url().replace("//", "//alice:secret@"), &[]);
    assert!(hosts.iter().all(|host| !host.log().contains("secret")));
    expect_refusal(&nats.url(), &[], "authorization violation");
    assert!(hosts.iter().all(|host| described(host, "stranger").is_none()));
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn nkey_logs_in() {
    let folder = tempfile::tempdir().unwrap();
    let [public, seed] = NKEY;
    let users = format!("authorization: {{ users: [ {{ nkey: {public} }} ] }}\n");
    let nats = Nats::with(&["-c", &file(folder.path(), "server.conf", &users)]);
    let own = file(folder.path(), "own.nk", &format!("{seed}\n"));
    let _hosts = expect_fleet(&nats.url(), &["--fleet-nkey", &own]);
    let other = file(folder.path(), "other.nk", OTHER_SEED);
    expect_refusal(&nats.url(), &["--fleet-nkey", &other], "authorization violation");
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn credentials_file_logs_in() {
    let folder = tempfile::tempdir().unwrap();
    let config = file(folder.path(), "server.conf", include_str!("nats_operator.conf"));
    let nats = Nats::with(&["-c", &config]);
    let user = file(folder.path(), "user.creds", include_str!("nats_user.creds"));
    let _hosts = expect_fleet(&nats.url(), &["--fleet-credentials", &user]);
    expect_refusal(&nats.url(), &[], "authorization violation");
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn missing_permissions_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let own = "[\"dropin.default.>\", \"_INBOX.>\"]";
    let heard = "[\"dropin.default.>\", \"_INBOX.>\", \"$SRV.>\"]";
    let text = format!(
        "authorization {{ users: [ {{ user: a, password: p, permissions: {{ publish: {own}, \
         subscribe: {heard} }} }} ] }}\n"
    );
    let nats = Nats::with(&["-c", &file(folder.path(), "server.conf", &text)]);
    let url = nats.url().replace("//", "//a:p@");
    let hosts = expect_fleet(&url, &[]);
    // Without rollouts nobody needs JetStream.
    for host in &hosts {
        assert!(!host.log().contains(" WARN  host: fleet: the NATS"), "{}", host.log());
    }
    expect_refusal(&url, &["--fleet-name", "garage"], "dropin.garage.");
}

/// Runs `openssl` in a folder.
#[track_caller]
fn openssl(folder: &Path, arguments: &str) {
    let mut command = Command::new("openssl");
    command.current_dir(folder).args(arguments.split(' '));
    let output = tool::run(&mut command, b"");
    assert!(output.status.success(), "openssl {arguments}: {output:?}");
}

/// Makes an authority, `ca.pem`, and a certificate of it, `server.pem` and `server.key`.
fn make_certificates(folder: &Path) -> [PathBuf; 3] {
    const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    let new = |subject: &str, rest: &str| {
        openssl(folder, &format!("req {KEY} -subj /CN={subject} -keyout {subject}.key {rest}"));
    };
    new("ca", "-x509 -days 2 -out ca.pem");
    new("server", "-out server.csr");
    fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    let sign = "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2";
    openssl(folder, &format!("{sign} -extfile names -out server.pem"));
    ["ca.pem", "server.pem", "server.key"].map(|name| folder.join(name))
}

#[test]
#[cfg_attr(
    not(all(tool = "nats-server", tool = "openssl")),
    ignore = "needs nats-server and openssl"
)]
fn tls_is_verified_by_the_roots() {
    let folder = tempfile::tempdir().unwrap();
    let paths = make_certificates(folder.path());
    let [roots, certificate, key] = paths.each_ref().map(|path| path.to_str().unwrap());
    let nats = Nats::with(&["--tls", "--tlscert", certificate, "--tlskey", key]);
    let url = nats.url().replace("nats://", "tls://");
    let _hosts = expect_fleet(&url, &["--fleet-roots", roots]);
    expect_refusal(&url, &[], "certificate");
    // Another authority's certificate is refused as well.
    let other = tempfile::tempdir().unwrap();
    let [roots, ..] = make_certificates(other.path());
    expect_refusal(&url, &["--fleet-roots", roots.to_str().unwrap()], "certificate");
}
