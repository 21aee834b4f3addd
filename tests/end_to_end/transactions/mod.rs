//! MULTI, EXEC and DISCARD: commands that run together.

mod effects;

use std::io::Write as _;

use dropin_tests::{Frame, Host, LIMIT, Lines, Resp, Setup, resp::encode, wait_until};

const FAILED: &str = "EXECABORT Transaction discarded because of previous errors.";

/// The flags with which the store runs in the host, and in a process.
const PLACES: [&[&str]; 2] = [&[], &["--isolate", "store"]];

fn start(flags: &[&str]) -> Host {
    Setup::new().plugins(&["store", "text"]).flags(flags).start()
}

fn queued() -> Frame {
    Frame::Status("QUEUED".into())
}

/// Returns the requests of a transaction.
fn transaction(commands: &[&[&str]]) -> Vec<u8> {
    let mut bytes = encode(&["MULTI"]);
    commands.iter().for_each(|words| bytes.extend(encode(words)));
    bytes.extend(encode(&["EXEC"]));
    bytes
}

/// Runs a transaction in one batch, and returns the reply to EXEC.
#[track_caller]
fn run(client: &mut Resp, commands: &[&[&str]]) -> Frame {
    client.send(transaction(commands));
    assert_eq!(client.frame(), Frame::ok());
    commands.iter().for_each(|words| assert_eq!(client.frame(), queued(), "{words:?}"));
    client.frame()
}

#[test]
fn queued_commands_run_together_at_exec() {
    for flags in PLACES {
        let host = start(flags);
        let mut other = Resp::connect(&host);
        for mut client in [Resp::connect(&host), Resp::connect3(&host)] {
            other.ask(&["flushall"]);
            assert_eq!(client.ask(&["multi"]), Frame::ok());
            assert_eq!(client.ask(&["set", "a", "1"]), queued());
            assert_eq!(client.ask(&["incr", "a"]), queued());
            assert_eq!(client.ask(&["get", "a"]), queued());
            assert_eq!(client.ask(&["get", "none"]), queued());
            assert_eq!(client.ask(&["mget", "a", "none"]), queued());
            assert_eq!(client.ask(&["echo", "hello"]), queued());
            assert_eq!(client.ask(&["PING"]), queued());
            assert_eq!(other.ask(&["exists", "a"]), 0.into(), "nothing has run");
            let replies = client.ask(&["exec"]);
            let status = |word: &str| Frame::Status(word.into());
            let expected = [
                Frame::ok(),
                2.into(),
                "2".into(),
                Frame::Null,
                Frame::List(vec!["2".into(), Frame::Null]),
                "hello".into(),
                status("PONG"),
            ];
            assert_eq!(replies.items(), expected, "{flags:?}");
            assert_eq!(other.ask(&["get", "a"]), "2".into());
            assert_eq!(client.ask(&["incr", "a"]), 3.into(), "the transaction is over");
            assert_eq!(run(&mut client, &[]), Frame::List(Vec::new()));
        }
    }
}

#[test]
fn transactions_in_one_batch_are_answered_in_order() {
    let host = start(&[]);
    let mut client = Resp::connect(&host);
    let one = transaction(&[&["incr", "n"], &["incr", "n"]]);
    let mut batch = encode(&["set", "n", "0"]);
    (0..50).for_each(|_| batch.extend_from_slice(&one));
    batch.extend(encode(&["get", "n"]));
    client.send(&batch);
    assert_eq!(client.frame(), Frame::ok());
    for round in 0..50 {
        assert_eq!(client.frame(), Frame::ok());
        assert_eq!([client.frame(), client.frame()], [queued(), queued()]);
        let expected = vec![(2 * round + 1).into(), (2 * round + 2).into()];
        assert_eq!(client.frame(), Frame::List(expected));
    }
    assert_eq!(client.frame(), "100".into());
}

#[test]
fn replies_are_one_list_in_plain_lines() {
    for flags in PLACES {
        let host = start(flags);
        let mut client = Lines::connect(&host);
        for (line, reply) in [
            ("multi", "OK"),
            ("set a 5", "QUEUED"),
            ("incr a", "QUEUED"),
            ("incr a x", "QUEUED"),
            ("mget a b", "QUEUED"),
            ("count 'one two'", "QUEUED"),
            ("get b", "QUEUED"),
        ] {
            assert_eq!(client.ask(line), reply);
        }
        let replies = client.ask_all("exec");
        let [ok, sum, error, both, count, null] = replies.as_slice() else { panic!("{replies:?}") };
        assert_eq!([ok, sum, both, null], ["OK", "6", "6, (null)", "(null)"]);
        assert_eq!(count, "characters: 7, words: 2, bytes: 7");
        assert!(error.starts_with("error: "), "{error}");
        assert_eq!(client.ask("get a"), "6");
    }
}

#[test]
fn error_of_one_command_stops_no_other() {
    for flags in PLACES {
        let host = start(flags);
        let mut client = Resp::connect(&host);
        let replies = run(
            &mut client,
            &[&["set", "a", "x"], &["incr", "a"], &["incr", "b"], &["client", "nonsense"]],
        );
        let [Frame::Status(_), Frame::Error(_), Frame::Integer(1), Frame::Error(_)] =
            replies.items()
        else {
            panic!("{replies:?}")
        };
    }
}

#[test]
fn refused_command_discards_the_transaction() {
    let host = start(&[]);
    let mut client = Resp::connect(&host);
    let refused: [&[&str]; 12] = [
        &["nonsense"],
        &["get"],
        &["exec", "now"],
        &["auth", "key"],
        &["hello", "3"],
        &["ks"],
        &["plugin", "watch"],
        &["plugin", "reload", "store"],
        &["command", "watch"],
        &["command", "unwatch"],
        &["watch", "a"],
        &["set", "b"],
    ];
    for words in refused {
        assert_eq!(client.ask(&["multi"]), Frame::ok());
        assert_eq!(client.ask(&["set", "a", "1"]), queued());
        let refusal = client.ask(words);
        assert!(matches!(refusal, Frame::Error(_)), "{words:?}: {refusal:?}");
        assert_eq!(client.ask(&["set", "a", "2"]), queued());
        assert_eq!(client.ask(&["exec"]), Frame::error(FAILED), "{words:?}");
        assert_eq!(client.ask(&["exists", "a"]), 0.into(), "{words:?}");
    }
    let mut client = Lines::connect(&host);
    assert_eq!(client.ask("multi"), "OK");
    assert!(client.ask("set 'a").starts_with("error: "));
    assert_eq!(client.ask("exec"), format!("error: {FAILED}"));
}

#[test]
fn transactions_need_multi_and_do_not_nest() {
    let host = start(&[]);
    let mut client = Resp::connect(&host);
    let error = |text: &str| Frame::error(&format!("ERR {text}"));
    assert_eq!(client.ask(&["exec"]), error("EXEC without MULTI"));
    assert_eq!(client.ask(&["discard"]), error("DISCARD without MULTI"));
    assert_eq!(client.ask(&["unwatch"]), Frame::ok());
    assert_eq!(client.ask(&["multi"]), Frame::ok());
    assert_eq!(client.ask(&["multi"]), error("MULTI calls can not be nested"));
    assert_eq!(client.ask(&["incr", "a"]), queued());
    assert_eq!(client.ask(&["unwatch"]), queued());
    assert_eq!(client.ask(&["exec"]).items(), [1.into(), Frame::ok()]);
    assert_eq!(client.ask(&["exec"]), error("EXEC without MULTI"));
}

#[test]
fn watch_is_refused_and_says_what_to_do() {
    let host = start(&[]);
    let mut client = Resp::connect(&host);
    let Frame::Error(refusal) = client.ask(&["watch", "a"]) else { panic!("it is accepted") };
    assert!(refusal.starts_with("ERR WATCH is not supported"), "{refusal}");
    assert!(refusal.contains("incr or set with NX"), "{refusal}");
    assert_eq!(client.ask(&["multi"]), Frame::ok());
    let Frame::Error(refusal) = client.ask(&["watch", "a"]) else { panic!("it is accepted") };
    assert!(refusal.starts_with("ERR WATCH inside MULTI is not allowed"), "{refusal}");
}

#[test]
fn discarded_commands_do_not_run() {
    let host = start(&[]);
    let mut client = Resp::connect(&host);
    for end in ["discard", "reset"] {
        assert_eq!(client.ask(&["multi"]), Frame::ok());
        assert_eq!(client.ask(&["set", "a", "1"]), queued());
        assert!(matches!(client.ask(&[end]), Frame::Status(_)), "{end}");
        assert_eq!(client.ask(&["exists", "a"]), 0.into(), "{end}");
    }
}

#[test]
fn session_that_ends_in_a_transaction_runs_nothing() {
    let host = start(&[]);
    let mut other = Resp::connect(&host);
    let sessions = |other: &mut Resp| other.ask(&["client", "list"]).as_str().lines().count();
    for end in ["", "quit", "close"] {
        let mut client = Resp::connect(&host);
        assert_eq!(client.ask(&["multi"]), Frame::ok());
        assert_eq!(client.ask(&["set", "a", "1"]), queued());
        if end.is_empty() {
            drop(client);
        } else {
            assert_eq!(client.ask(&[end]), Frame::ok());
            client.wait_for_end();
        }
        wait_until("the session has ended", LIMIT, || sessions(&mut other) == 1);
        assert_eq!(other.ask(&["exists", "a"]), 0.into(), "{end}");
    }
}

#[test]
fn http_in_a_transaction_ends_the_session() {
    let host = start(&[]);
    let mut client = Lines::connect(&host);
    client.send("multi\nset a 1\nPOST /x\nexec\n");
    let said = client.end();
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(said[2].contains("no web server"), "{said:?}");
    assert_eq!(Lines::connect(&host).ask("exists a"), "0");
}

#[test]
fn transaction_has_a_limit_of_memory() {
    let host = start(&["--max-request", "4K", "--max-argument", "2K"]);
    let mut client = Resp::connect(&host);
    let large = "x".repeat(1_500);
    assert_eq!(client.ask(&["multi"]), Frame::ok());
    assert_eq!(client.ask(&["set", "a", &large]), queued());
    assert_eq!(client.ask(&["set", "b", &large]), queued());
    let Frame::Error(refusal) = client.ask(&["set", "c", &large]) else { panic!("it is queued") };
    assert_eq!(refusal, "ERR transaction larger than 4096 bytes (--max-request)");
    assert_eq!(client.ask(&["exec"]), Frame::error(FAILED));
    assert_eq!(client.ask(&["dbsize"]), 0.into());
}

#[test]
fn queued_commands_count_as_client_memory() {
    let host = start(&["--max-memory-clients", "2M"]);
    let mut client = Resp::connect(&host);
    let large = "x".repeat(100_000);
    client.say(&["multi"]);
    // The session may be closed before everything is sent.
    let request = encode(&["set", "a", &large]);
    let sent = (0..40).find(|_| client.stream().write_all(&request).is_err());
    if sent.is_none() {
        let said = client.end();
        let Some(Frame::Error(last)) = said.last() else { panic!("{said:?}") };
        assert!(last.contains("--max-memory-clients"), "{last}");
    }
    wait_until("the session is closed", LIMIT, || {
        Lines::connect(&host).ask_all("stats").contains(&"sessions-evicted: 1".to_owned())
    });
    assert!(host.log().contains("closed, its requests and replies took the most memory"));
    assert_eq!(Resp::connect(&host).ask(&["dbsize"]), 0.into());
}

#[test]
fn large_reply_does_not_spoil_the_others() {
    for flags in PLACES {
        let host = start(&[flags, &["--max-reply", "4K"]].concat());
        let mut client = Resp::connect(&host);
        let large = "x".repeat(3_000);
        assert_eq!(client.ask(&["set", "a", &large]), Frame::ok());
        let replies =
            run(&mut client, &[&["get", "a"], &["incr", "b"], &["getset", "a", ""], &["get", "b"]]);
        let [first, sum, error, value] = replies.items() else { panic!("{replies:?}") };
        assert_eq!([first, sum, value], [&large.as_str().into(), &1.into(), &"1".into()]);
        let Frame::Error(error) = error else { panic!("{error:?}") };
        assert!(error.contains("--max-reply"), "{error}");
        assert_eq!(client.ask(&["get", "a"]), "".into(), "it has run");
    }
}
