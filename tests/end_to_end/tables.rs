//! `COMMAND`: the current registry, in the form from which Redis clients take hints.

use dropin_tests::{Frame, Host, Lines, Resp, SHIPPED};

const BUILTINS: [&str; 20] = [
    "auth", "client", "close", "command", "discard", "exec", "fleet", "hello", "info", "ks",
    "loglevel", "multi", "ping", "plugin", "quit", "reset", "select", "stats", "unwatch", "watch",
];

#[test]
fn a_bare_host_has_its_builtins() {
    let host = Host::start(&[]);
    let mut client = Resp::connect(&host);
    assert_eq!(client.ask(&["COMMAND", "LIST"]), Frame::texts(&BUILTINS));
    assert_eq!(client.ask(&["COMMAND", "COUNT"]), 20.into());
    assert_eq!(Lines::connect(&host).ask_all("command list"), BUILTINS);
}

#[test]
fn the_table_has_every_command_of_every_plugin() {
    let host = Host::start(&SHIPPED);
    let mut client = Resp::connect(&host);
    let listed = client.ask(&["COMMAND", "LIST"]);
    let mut expected: Vec<_> =
        "echo upper lower reverse count time date uptime sleep help clients \
         plugins whoami version append dbsize decr decrby del exists expire expireat expiretime \
         flushall flushdb get getdel getex getset incr incrby keys mget mset persist pexpire \
         pexpireat pexpiretime psetex pttl scan set setex setnx strlen touch ttl type unlink cpu \
         memory disk temperature load"
            .split_whitespace()
            .chain(BUILTINS)
            .collect();
    expected.sort_unstable();
    assert_eq!(listed, Frame::texts(&expected));
    let count = i64::try_from(expected.len()).unwrap();
    assert_eq!(client.ask(&["COMMAND", "COUNT"]), count.into());
    assert_eq!(client.ask(&["COMMAND"]).items().len(), expected.len());
    assert_eq!(client.ask(&["COMMAND", "INFO"]).items().len(), expected.len());
}

#[test]
fn command_info_tells_name_and_arity() {
    let host = Host::start(&["store", "text"]);
    let mut client = Resp::connect(&host);
    let reply = client.ask(&["COMMAND", "INFO", "GET", "echo", "incr", "ping", "nonsense"]);
    let arity = |entry: &Frame| match entry {
        Frame::Null => None,
        entry => {
            assert_eq!(entry.items().len(), 10, "as Redis 7 gives it: {entry:?}");
            Some((entry.items()[0].as_str().to_owned(), entry.items()[1].as_integer()))
        }
    };
    let arities: Vec<_> = reply.items().iter().map(arity).collect();
    let some = |name: &str, arity| Some((name.to_owned(), arity));
    assert_eq!(
        arities,
        [some("get", 2), some("echo", -2), some("incr", -2), some("ping", -1), None]
    );
}

#[test]
fn command_docs_provide_redis_cli_hints() {
    let host = Host::start(&["store", "text"]);
    let mut client = Resp::connect3(&host);
    let argument = |name: &str, flags: &[&str]| {
        let mut pairs = vec![
            ("name".into(), name.into()),
            ("type".into(), "string".into()),
            ("display_text".into(), name.into()),
        ];
        if !flags.is_empty() {
            let flags = flags.iter().map(|flag| Frame::Status((*flag).into())).collect();
            pairs.push(("flags".into(), Frame::List(flags)));
        }
        Frame::Map(pairs)
    };
    let docs = |summary: &str, group: &str, arguments: Vec<Frame>| {
        Frame::Map(vec![
            ("summary".into(), summary.into()),
            ("since".into(), "0.1.0".into()),
            ("group".into(), group.into()),
            ("arguments".into(), Frame::List(arguments)),
        ])
    };
    let echo = docs("Replies TEXT, byte for byte.", "text", vec![argument("TEXT", &["multiple"])]);
    let mut incr = docs(
        "Adds BY, or 1, to the integer under KEY and replies the sum.",
        "store",
        vec![argument("KEY", &[]), argument("BY", &["optional"])],
    );
    let info = client.ask(&["COMMAND", "INFO", "incr"]);
    let flags = &info.items()[0].items()[2];
    if let Frame::Map(pairs) = &mut incr
        && !flags.items().is_empty()
    {
        pairs.push(("flags".into(), flags.clone()));
    }
    let expected = Frame::Map(vec![("echo".into(), echo.clone()), ("incr".into(), incr)]);
    assert_eq!(client.ask(&["COMMAND", "DOCS", "ECHO", "nonsense", "incr"]), expected);

    let all = client.ask(&["COMMAND", "DOCS"]);
    assert_eq!(all.get("echo"), Some(&echo));
    let ks = all.get("ks").expect("it has the builtins");
    assert_eq!(ks.get("group"), Some(&"host".into()));
    assert_eq!(ks.get("arguments"), None);
    // RESP2 has no maps: pairs in one array.
    let flat = Resp::connect(&host).ask(&["COMMAND", "DOCS", "echo"]);
    let docs = flat.get("echo").expect("a name, then its facts");
    assert_eq!(docs.get("summary"), Some(&"Replies TEXT, byte for byte.".into()));
    assert_eq!(docs.items().len(), 8);
}

#[test]
fn command_that_makes_no_sense_is_an_error() {
    let host = Host::start(&[]);
    let error = "ERR unknown subcommand 'NONSENSE', 'command' has: COUNT, DOCS, INFO, LIST, \
                 UNWATCH, WATCH";
    assert_eq!(Resp::connect(&host).ask(&["COMMAND", "NONSENSE"]), Frame::error(error));
}
