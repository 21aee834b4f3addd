//! Programs and libraries that were written for Redis.

mod libraries;

use std::{collections::HashMap, process::Command};

use dropin_tests::{Host, SHIPPED, tool};
use redis::{Connection, ErrorKind, Value, cmd, pipe};

/// A connection by the `redis` library.
fn connect(host: &Host, protocol: &str) -> Connection {
    let address = format!("redis://127.0.0.1:{}/?protocol={protocol}", host.port());
    redis::Client::open(address).unwrap().get_connection().unwrap()
}

/// Runs `redis-cli` with these arguments, and this typed in, and returns what it prints.
fn redis_cli(host: &Host, arguments: &[&str], input: &str) -> String {
    let mut command = Command::new("redis-cli");
    command.args(["-p", &host.port().to_string()]).args(arguments);
    let output = tool::run(&mut command, input.as_bytes());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_redis_library_finds_its_commands_and_types() {
    let host = Host::start(&SHIPPED);
    for protocol in ["resp2", "resp3"] {
        let mut redis = connect(&host, protocol);
        assert_eq!(cmd("PING").query::<String>(&mut redis).unwrap(), "PONG");
        assert_eq!(cmd("ECHO").arg("hello").query::<String>(&mut redis).unwrap(), "hello");
        assert_eq!(cmd("SET").arg("k").arg("v").query::<Value>(&mut redis).unwrap(), Value::Okay);
        assert_eq!(cmd("GET").arg("k").query::<String>(&mut redis).unwrap(), "v");
        assert_eq!(cmd("GET").arg("no").query::<Value>(&mut redis).unwrap(), Value::Nil);
        assert_eq!(cmd("GET").arg("no").query::<Option<String>>(&mut redis).unwrap(), None);
        assert_eq!(cmd("INCR").arg("n").query::<Value>(&mut redis).unwrap(), Value::Int(1));
        assert_eq!(cmd("DEL").arg("k").arg("n").query::<Value>(&mut redis).unwrap(), Value::Int(2));
        assert_eq!(cmd("KEYS").arg("*").query::<Vec<String>>(&mut redis).unwrap(), [""; 0]);
        let bytes = vec![0_u8, 255, 13, 10];
        cmd("SET").arg("b").arg(&bytes).query::<()>(&mut redis).unwrap();
        assert_eq!(cmd("GET").arg("b").query::<Vec<u8>>(&mut redis).unwrap(), bytes);
        cmd("DEL").arg("b").query::<()>(&mut redis).unwrap();
    }
}

#[test]
fn the_redis_library_works_with_default_settings() {
    let host = Host::start(&SHIPPED);
    let address = format!("redis://127.0.0.1:{}", host.port());
    let mut redis = redis::Client::open(address).unwrap().get_connection().unwrap();
    let hello: HashMap<String, Value> = cmd("HELLO").query(&mut redis).unwrap();
    assert_eq!(hello["proto"], Value::Int(2));
    let list: String = cmd("CLIENT").arg("LIST").query(&mut redis).unwrap();
    assert!(list.contains(" lib-name=redis-rs lib-ver=1."), "{list}");
    let every_byte: Vec<u8> = (0..=255).collect();
    assert_eq!(cmd("ECHO").arg(&every_byte).query::<Vec<u8>>(&mut redis).unwrap(), every_byte);
    cmd("SET").arg("text").arg(&every_byte).query::<()>(&mut redis).unwrap();
    assert_eq!(cmd("GET").arg("text").query::<Vec<u8>>(&mut redis).unwrap(), every_byte);
    let info: redis::InfoDict = cmd("INFO").query(&mut redis).unwrap();
    assert_eq!(info.get::<String>("loading").as_deref(), Some("0"));
    let error = cmd("nonsense").query::<Value>(&mut redis).unwrap_err();
    assert_eq!(error.detail(), Some("unknown command 'nonsense'"), "{error:?}");
}

#[test]
fn the_redis_librarys_own_methods_work() {
    use redis::Commands as _;
    let host = Host::start(&["store"]);
    for protocol in ["resp2", "resp3"] {
        let mut redis = connect(&host, protocol);
        redis.set::<_, _, ()>("key", 41).unwrap();
        assert_eq!(redis.incr::<_, _, i64>("key", 1).unwrap(), 42);
        assert_eq!(redis.get::<_, i64>("key").unwrap(), 42);
        assert_eq!(redis.get::<_, Option<i64>>("none").unwrap(), None);
        assert_eq!(redis.del::<_, i64>(&["key", "none"]).unwrap(), 1);
    }
}

#[test]
fn maps_and_errors_reach_the_redis_library() {
    let host = Host::start(&SHIPPED);
    for protocol in ["resp2", "resp3"] {
        let mut redis = connect(&host, protocol);
        let count: HashMap<String, i64> = cmd("count").arg("a b").query(&mut redis).unwrap();
        assert_eq!(count["words"], 2);
        let count = cmd("count").arg("a b").query::<Value>(&mut redis).unwrap();
        assert_eq!(matches!(count, Value::Map(_)), protocol == "resp3", "{count:?}");
        let error = cmd("nonsense").query::<Value>(&mut redis).unwrap_err();
        assert_eq!(error.detail(), Some("unknown command 'nonsense'"), "{error:?}");
        assert!(matches!(error.kind(), ErrorKind::Server(_)), "{error:?}");
        assert_eq!(cmd("PING").query::<String>(&mut redis).unwrap(), "PONG");
    }
}

#[test]
fn the_redis_library_pipelines() {
    let host = Host::start(&["store", "text"]);
    for protocol in ["resp2", "resp3"] {
        let mut redis = connect(&host, protocol);
        let mut pipe = pipe();
        for n in 0..500 {
            pipe.cmd("SET").arg(n).arg(n * n).ignore();
            pipe.cmd("GET").arg(n);
        }
        let squares: Vec<i64> = pipe.query(&mut redis).unwrap();
        assert_eq!(squares.len(), 500);
        assert!(squares.iter().zip(0..).all(|(square, n)| *square == n * n));
    }
}

#[test]
fn client_list_shows_names_of_redis_library() {
    let host = Host::start(&[]);
    let mut redis = connect(&host, "resp3");
    let list: String = cmd("CLIENT").arg("LIST").query(&mut redis).unwrap();
    assert!(list.contains(" lib-name=redis-rs lib-ver=1."), "{list}");
}

#[test]
#[cfg_attr(not(tool = "redis-cli"), ignore = "needs redis-cli")]
fn redis_cli_runs_one_command() {
    let host = Host::start(&SHIPPED);
    for version in ["-2", "-3"] {
        let ask = |words: &[&str]| redis_cli(&host, &[&[version], words].concat(), "");
        assert_eq!(ask(&["echo", "hello"]), "hello\n");
        assert_eq!(ask(&["set", "k", "v"]), "OK\n");
        assert_eq!(ask(&["get", "k"]), "v\n");
        assert_eq!(ask(&["--no-raw", "get", "none"]), "(nil)\n");
        assert_eq!(ask(&["--no-raw", "del", "k", "k"]), "(integer) 1\n");
        assert_eq!(ask(&["nonsense"]).trim_end(), "ERR unknown command 'nonsense'");
    }
    assert_eq!(redis_cli(&host, &["-h", "::1", "ping"], ""), "PONG\n");
}

#[test]
#[cfg_attr(not(tool = "redis-cli"), ignore = "needs redis-cli")]
fn redis_cli_runs_what_is_typed_in() {
    let host = Host::start(&SHIPPED);
    let typed = "set a 1\nincr a\necho \"two words\"\n";
    assert_eq!(redis_cli(&host, &[], typed), "OK\n2\ntwo words\n");
}

#[test]
#[cfg_attr(not(tool = "redis-cli"), ignore = "needs redis-cli")]
fn redis_cli_pipes_commands_in_bulk() {
    let host = Host::start(&["store", "text"]);
    let commands = "*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n".repeat(1_000);
    let said = redis_cli(&host, &["--pipe"], &commands);
    assert!(said.contains("errors: 0, replies: 1000"), "{said}");
    assert_eq!(redis_cli(&host, &["get", "n"], ""), "1000\n");
}

#[test]
#[cfg_attr(not(tool = "redis-cli"), ignore = "needs redis-cli")]
fn redis_cli_ends_the_host() {
    let mut host = Host::start(&[]);
    assert_eq!(redis_cli(&host, &["ks"], ""), "OK\n");
    assert_eq!(host.exit(), Some(0));
}

#[test]
#[cfg_attr(not(tool = "redis-benchmark"), ignore = "needs redis-benchmark")]
fn redis_benchmark_runs_to_its_end() {
    let host = Host::start(&["store"]);
    for tests in ["ping_inline,ping_mbulk,set,get,incr", "set,ping_inline", "ping_mbulk,ping"] {
        let mut command = Command::new("redis-benchmark");
        command.args(["-p", &host.port().to_string(), "-q", "--csv", "-n", "500", "-c", "10"]);
        command.args(["-P", "4", "-t", tests]);
        let output = tool::run(&mut command, b"");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{tests}: {said}");
        for test in tests.split(',') {
            assert!(said.to_lowercase().contains(&format!("\"{test}")), "{tests}: {said}");
        }
    }
}
