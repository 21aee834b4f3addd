//! Progress of a command, reported while it runs.

use dropin_tests::{Frame, Host, LIMIT, Lines, Resp, wait_until};

/// Returns the pushes before the reply, and the reply.
fn run(client: &mut Resp, words: &[&str]) -> (Vec<(i64, i64, String)>, Frame) {
    client.say(words);
    let mut pushes = Vec::new();
    loop {
        match client.frame() {
            Frame::Push(items) => {
                let [kind, done, total, text] = &items[..] else { panic!("{items:?}") };
                assert_eq!(kind, &"progress".into());
                pushes.push((done.as_integer(), total.as_integer(), text.as_str().to_owned()));
            }
            reply => return (pushes, reply),
        }
    }
}

#[test]
fn it_comes_while_the_command_still_runs() {
    let host = Host::start(&["clock"]);
    let mut client = Resp::connect3(&host);
    let id = client.ask(&["CLIENT", "ID"]).as_integer().to_string();
    client.say(&["sleep", "600000"]);
    let Frame::Push(items) = client.frame() else { panic!("no push") };
    assert_eq!(items[0], "progress".into());
    assert!((250..600_000).contains(&items[1].as_integer()), "{items:?}");
    assert_eq!(items[2..], [600_000.into(), "milliseconds slept".into()]);
    assert_eq!(Lines::connect(&host).ask(&format!("client cancel {id}")), "1");
    while matches!(client.frame(), Frame::Push(_)) {}
    assert_eq!(client.ask(&["ping", "next"]), "next".into());
}

#[test]
fn frequent_progress_does_not_flood_client() {
    let host = Host::start(&["busy"]);
    let (mut client, started) = (Resp::connect3(&host), std::time::Instant::now());
    let (pushes, reply) = run(&mut client, &["step", "100000", "steps"]);
    assert_eq!(reply, 100_000.into());
    assert_eq!(pushes.first(), Some(&(1, 100_000, "steps".into())));
    assert_eq!(pushes.last(), Some(&(100_000, 100_000, "steps".into())));
    // 20 a second, and always the first and the last.
    let most = started.elapsed().as_secs_f64() * 20.0 + 2.0;
    assert!(pushes.len() as f64 <= most, "{} pushes, {most} at the most", pushes.len());
    assert!(pushes.is_sorted(), "{pushes:?}");
}

#[test]
fn a_long_text_is_cut() {
    let host = Host::start(&["busy"]);
    let (pushes, _) = run(&mut Resp::connect3(&host), &["step", "1", &"æ".repeat(1_000)]);
    assert_eq!(pushes, [(1, 1, "æ".repeat(128))]);
}

#[test]
fn protocols_without_pushes_get_the_reply_alone() {
    let host = Host::start(&["busy"]);
    assert_eq!(Resp::connect(&host).ask(&["step", "5"]), 5.into());
    let mut lines = Lines::connect(&host);
    assert_eq!(lines.ask("step 5"), "5");
    assert_eq!(lines.ask("ping"), "PONG");
}

#[test]
fn progress_for_gone_client_harms_nobody() {
    let host = Host::start(&["busy"]);
    let mut client = Resp::connect3(&host);
    let peer = client.local();
    client.say(&["step", "9000000000000000000", &"x".repeat(1 << 20)]);
    assert!(matches!(client.frame(), Frame::Push(_)));
    client.into_connection().reset();
    host.wait_for_log(&format!("for {peer}"));
    let mut other = Lines::connect(&host);
    wait_until("its session is gone", LIMIT, || other.ask_all("client list").len() == 1);
    assert_eq!(other.ask("ping"), "PONG");
}
