//! Connected clients, and sessions that end on request.

use dropin_tests::{Frame, Host, LIMIT, Lines, Resp, wait_until};
#[cfg(target_os = "linux")]
use dropin_tests::{
    Setup,
    setup::are_threads_shared,
    system::{has_session_threads, scheduling, sockets},
};

#[test]
fn clients_lists_every_session_by_ip_and_port() {
    let host = Host::start(&["server"]);
    let (mut four, six) = (Lines::connect_to(host.v4()), Lines::connect_to(host.v6()));
    assert_eq!(four.ask("client setname kim"), "OK");
    wait_until("both are listed", LIMIT, || four.ask_all("clients").len() == 2);
    let listed = four.ask_all("clients");
    let entry = |client: &Lines, name| {
        let peer = client.local();
        format!("ip: {}, port: {}, name: {name}, age: ", peer.ip(), peer.port())
    };
    assert!(listed.iter().any(|line| line.starts_with(&entry(&four, "kim"))), "{listed:?}");
    assert!(listed.iter().any(|line| line.starts_with(&entry(&six, ""))), "{listed:?}");
}

#[test]
fn clients_is_a_list_of_maps_in_resp3() {
    let host = Host::start(&["server"]);
    let mut client = Resp::connect3(&host);
    client.ask(&["client", "setname", "robin"]);
    let reply = client.ask(&["clients"]);
    let [entry] = reply.items() else { panic!("{reply:?}") };
    let Frame::Map(pairs) = entry else { panic!("{entry:?}") };
    let keys: Vec<_> = pairs.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["ip", "port", "name", "age", "idle", "commands"]);
    assert_eq!(entry.get("ip"), Some(&"127.0.0.1".into()));
    assert_eq!(entry.get("port"), Some(&Frame::Integer(client.local().port().into())));
    assert_eq!(entry.get("name"), Some(&"robin".into()));
    // HELLO and CLIENT SETNAME.
    assert_eq!(entry.get("commands"), Some(&Frame::Integer(2)));
    assert!(entry.get("age").unwrap().as_integer() >= entry.get("idle").unwrap().as_integer());
}

#[test]
fn client_list_tells_the_same_as_redis_does() {
    let host = Host::start(&[]);
    let (mut one, mut other) = (Resp::connect_to(host.v6()), Resp::connect(&host));
    assert_eq!(other.ask(&["CLIENT", "SETNAME", "ash"]), Frame::ok());
    assert_eq!(other.ask(&["CLIENT", "SETINFO", "lib-name", "own"]), Frame::ok());
    assert_eq!(other.ask(&["CLIENT", "SETINFO", "LIB-VER", "1.2"]), Frame::ok());
    let id = one.ask(&["CLIENT", "ID"]).as_integer();
    let list = one.ask(&["CLIENT", "LIST"]);
    let lines: Vec<_> = list.as_str().lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    let start = format!("id={id} addr={} name= age=", one.local());
    let found = lines.iter().find_map(|line| line.strip_prefix(&start)).expect("one is listed");
    let (age, found) = found.split_once(" idle=").expect("its age is followed by that");
    let (idle, found) = found.split_once(' ').expect("there is more");
    let seconds = |text: &str| text.parse::<u64>().expect("a number of seconds");
    assert!(seconds(idle) <= seconds(age), "{lines:?}");
    assert!(found.starts_with("flags=N db=0 tot-cmds=1 "), "{lines:?}");
    let start = format!("addr={} name=ash ", other.local());
    let found = lines.iter().find(|line| line.contains(&start)).expect("the other is listed");
    assert!(
        found.ends_with("tot-cmds=3 user=default lib-name=own lib-ver=1.2 role=admin"),
        "{found}"
    );
    assert_eq!(other.ask(&["CLIENT", "INFO"]).as_str().trim_end().split(' ').count(), 12);
}

#[test]
fn client_ids_are_unique_and_match_whoami() {
    let host = Host::start(&["server"]);
    let mut seen = Vec::new();
    for _ in 0..3 {
        let mut client = Lines::connect(&host);
        let id = client.ask("client id");
        let (ip, port) = (client.local().ip(), client.local().port());
        assert_eq!(
            client.ask_all("whoami"),
            [
                format!("ip: {ip}"),
                format!("port: {port}"),
                format!("id: {id}"),
                "name: ".into(),
                "key: (null)".into(),
                "role: admin".into()
            ]
        );
        assert!(!seen.contains(&id));
        seen.push(id);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn sessions_have_own_sockets_and_threads() {
    let host = Host::start(&[]);
    let (pid, sockets_before) = (host.pid(), sockets(host.pid()));
    assert!(has_session_threads(pid, 0));
    let mut clients: Vec<_> = (0..10).map(|_| Lines::connect(&host)).collect();
    assert!(clients.iter_mut().all(|client| client.ask("ping") == "PONG"));
    assert!(has_session_threads(pid, 10));
    assert_eq!(sockets(pid), sockets_before + 10);
    for left in (0..10).rev() {
        clients.pop();
        wait_until("thread and socket are gone", LIMIT, || {
            has_session_threads(pid, left) && sockets(pid) == sockets_before + left
        });
    }
}

#[test]
fn close_ends_one_session_and_nobody_else_notices() {
    for word in ["close", "CLOSE", "quit"] {
        let host = Host::start(&["server"]);
        let mut other = Lines::connect(&host);
        let id = other.ask("client id");
        #[cfg(target_os = "linux")]
        let sockets_before = sockets(host.pid());
        let mut leaving = Lines::connect(&host);
        assert_eq!(leaving.ask("ping"), "PONG");
        assert_eq!(other.ask_all("clients").len(), 2);
        let listed = format!("port: {},", leaving.local().port());
        assert_eq!(leaving.ask(word), "OK");
        assert_eq!(leaving.end(), Vec::<String>::new());
        wait_until("the entry has gone", LIMIT, || {
            !other.ask_all("clients").iter().any(|line| line.contains(&listed))
        });
        #[cfg(target_os = "linux")]
        wait_until("the thread and the socket have gone", LIMIT, || {
            has_session_threads(host.pid(), 1) && sockets(host.pid()) == sockets_before
        });
        assert_eq!(other.ask("client id"), id);
    }
}

#[test]
fn close_answers_only_commands_before_it() {
    let host = Host::start(&["text"]);
    let mut client = Lines::connect(&host);
    client.send("echo before\nclose\necho after\n");
    assert_eq!(client.end(), ["before", "OK"]);
    let mut client = Resp::connect3(&host);
    client.send("*2\r\n$4\r\necho\r\n$6\r\nbefore\r\n*1\r\n$4\r\nQUIT\r\n*1\r\n$4\r\nPING\r\n");
    assert_eq!(client.end(), ["before".into(), Frame::ok()]);
}

#[test]
fn half_closed_client_still_gets_every_reply() {
    let host = Host::start(&["text", "store"]);
    let mut client = Lines::connect(&host);
    client.send("incr n\n".repeat(1_000) + "echo last\n");
    client.end_sending();
    let lines = client.end();
    assert_eq!(lines.len(), 1_001);
    assert_eq!(lines[999..], ["1000", "last"]);
}

#[test]
fn unterminated_last_line_is_not_a_command() {
    let host = Host::start(&["store"]);
    let mut client = Lines::connect(&host);
    client.send("incr n\nincr n");
    client.end_sending();
    assert_eq!(client.end(), ["1"]);
    assert_eq!(Lines::connect(&host).ask("get n"), "1");
}

#[test]
fn half_closed_client_cancels_its_waiting_worker() {
    let host = Host::start(&["clock"]);
    let mut client = Lines::connect(&host);
    client.say("sleep 600000");
    client.end_sending();
    assert_eq!(client.end(), ["error: CANCELLED the sleep was cut short"]);
}

#[test]
fn sessions_do_not_wait_for_each_other() {
    let host = Host::start(&["busy"]);
    let mut busy: Vec<_> = (0..8).map(|_| Lines::connect(&host)).collect();
    for client in &mut busy {
        client.say("block 600000");
        host.wait_for_log(&format!("blocking for {}", client.local()));
    }
    // The workers take longer than this client would wait.
    assert_eq!(Lines::connect(&host).ask("ping"), "PONG");
}

/// Returns whether the sessions' threads, and no other threads of the host except those that start
/// them, are in the batch scheduling class.
#[cfg(target_os = "linux")]
fn sessions_give_way(host: &Host) -> bool {
    const BATCH: u32 = 3;
    let mut client = Lines::connect(host);
    assert_eq!(client.ask("ping"), "PONG");
    let mut is_batch = None;
    for (name, policy) in scheduling(host.pid()) {
        let serves = if are_threads_shared() { "runner " } else { "session " };
        if name.starts_with(serves) && name != "runner watch" {
            is_batch = Some(policy == BATCH);
        } else if name != "accept" && name != "spare" {
            assert_eq!(policy, 0, "{name}");
        }
    }
    is_batch.expect("a thread serves the session")
}

#[test]
#[cfg(target_os = "linux")]
fn sessions_use_batch_scheduling_unless_disabled() {
    let host = Host::start(&[]);
    // A shared thread enters the class a moment after its start.
    wait_until("the sessions give way", LIMIT, || sessions_give_way(&host));
    let normal = Setup::new().flags(&["--scheduling", "normal"]).start();
    assert!(!sessions_give_way(&normal));
}

#[test]
#[cfg(target_os = "linux")]
fn session_threads_are_reused_for_a_while() {
    let host = Host::start(&[]);
    let mut threads = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let mut client = Lines::connect(&host);
        assert_eq!(client.ask("ping"), "PONG");
        drop(client);
        threads.extend(dropin_tests::system::thread_ids(host.pid()));
        wait_until("the session has ended", LIMIT, || has_session_threads(host.pid(), 0));
    }
    // Without it there would be a thread for each, beside the host's own threads.
    assert!(threads.len() < 60, "{}", threads.len());
    let spare = || dropin_tests::system::threads(host.pid()).contains(&"spare".to_owned());
    wait_until("no thread waits for ever", LIMIT, || !spare());
}
