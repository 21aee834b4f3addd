//! Redis clients in other languages, each with its default settings, by a script of its own.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use dropin_tests::{Frame, Host, Resp, tool};

/// The folder of the scripts.
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/end_to_end/redis_clients");

/// Runs this program with the host's port as its last argument, and expects that it ends well, says
/// its library's version and nothing else, and sends no command that the host does not have.
#[track_caller]
fn expect_success(program: impl AsRef<Path>, arguments: &[&str]) {
    let host = Host::start(&["store", "text"]);
    let clients = PathBuf::from(env!("REDIS_CLIENTS"));
    let mut command = Command::new(program.as_ref());
    command.current_dir(SCRIPTS).args(arguments).arg(host.port().to_string());
    command.env("PYTHONPATH", clients.join("python"));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command.env("NODE_PATH", clients.join("node_modules"));
    let (status, said) = tool::Running::start(&mut command).end();
    let is_version =
        said.lines().count() == 1 && said.starts_with(|first: char| first.is_ascii_digit());
    assert!(status.success() && is_version, "{status}: {said}");
    let stats = Resp::connect(&host).ask(&["stats"]);
    let counter = |name: &str| stats.get(name).map(Frame::as_integer);
    assert_eq!(counter("unknown-commands"), Some(1), "the one that a script sends: {stats:?}");
    assert_eq!(counter("malformed-requests"), Some(0), "{stats:?}");
}

#[test]
#[cfg_attr(not(library = "redis-py"), ignore = "needs redis-py")]
fn redis_py_works() {
    expect_success("python3", &["python.py", "redis"]);
}

#[test]
#[cfg_attr(not(library = "valkey-py"), ignore = "needs valkey-py")]
fn valkey_py_works() {
    expect_success("python3", &["python.py", "valkey"]);
}

#[test]
#[cfg_attr(not(library = "node-redis"), ignore = "needs node-redis")]
fn node_redis_works() {
    expect_success("node", &["node_redis.js"]);
}

#[test]
#[cfg_attr(not(library = "ioredis"), ignore = "needs ioredis")]
fn ioredis_works() {
    expect_success("node", &["ioredis.js"]);
}

#[test]
#[cfg_attr(not(library = "perl-redis"), ignore = "needs perl-redis")]
fn perls_redis_works() {
    expect_success("perl", &["perl.pl"]);
}

#[test]
#[cfg_attr(not(library = "redis-rb"), ignore = "needs redis-rb")]
fn redis_rb_works() {
    expect_success("ruby", &["ruby.rb"]);
}

#[test]
#[cfg_attr(not(library = "phpredis"), ignore = "needs phpredis")]
fn phpredis_works() {
    expect_success("php", &["phpredis.php"]);
}

#[test]
#[cfg_attr(not(library = "predis"), ignore = "needs predis")]
fn predis_works() {
    expect_success("php", &["predis.php"]);
}

#[test]
#[cfg_attr(not(library = "redis-lua"), ignore = "needs redis-lua")]
fn redis_lua_works() {
    expect_success("lua5.1", &["lua.lua"]);
}

#[test]
#[cfg_attr(not(library = "eredis"), ignore = "needs eredis")]
fn eredis_works() {
    expect_success("escript", &["erlang.escript"]);
}

#[test]
#[cfg_attr(not(library = "hiredis"), ignore = "needs hiredis")]
fn hiredis_works() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("hiredis");
    let mut compile = Command::new("cc");
    compile.args(["-Wall", "-Wextra", "-o"]).arg(&program);
    compile.arg(Path::new(SCRIPTS).join("hiredis.c")).arg("-lhiredis");
    let output = tool::run(&mut compile, b"");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    expect_success(&program, &[]);
}
