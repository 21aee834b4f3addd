//! Hosts at two sites, whose NATS servers are connected as a hub and its leaf.

use std::{fs, path::PathBuf};

use dropin_tests::{Frame, Port, Resp, nats::Nats};
use tempfile::TempDir;

use super::{is_outage, member, wait_for_hosts, wait_for_reply};

/// Writes a settings file of a NATS server, and returns the flags that name it.
fn settings(folder: &TempDir, name: &str, text: &str) -> [String; 2] {
    let path: PathBuf = folder.path().join(name);
    fs::write(&path, text).unwrap();
    ["-c".to_owned(), path.to_str().unwrap().to_owned()]
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn hosts_at_two_sites_answer_each_other() {
    let (folder, port) = (tempfile::tempdir().unwrap(), Port::hold());
    let place = format!("127.0.0.1:{}", port.number());
    let hub = format!("leafnodes {{ listen: \"{place}\" }}\n");
    let hub = settings(&folder, "hub.conf", &hub);
    let mut hub = Nats::with(&hub.each_ref().map(String::as_str));
    let leaf = format!(
        "leafnodes {{ reconnect: 1, remotes: [ {{ url: \"nats-leaf://{place}\",\n\
         deny_imports: [\"$O.>\"], deny_exports: [\"$O.>\"] }} ] }}\n"
    );
    let leaf = settings(&folder, "leaf.conf", &leaf);
    let leaf = Nats::with(&leaf.each_ref().map(String::as_str));
    let far = member(&hub, "far", &["text"]).start();
    let near = member(&leaf, "near", &["store"]).start();
    let asker = member(&leaf, "asker", &[]).start();
    wait_for_hosts(&asker, "echo", 1);
    wait_for_hosts(&asker, "get", 1);
    wait_for_hosts(&far, "get", 1);
    let mut client = Resp::connect(&asker);
    assert_eq!(client.ask(&["echo", "from afar"]), "from afar".into());
    assert_eq!(Resp::connect(&far).ask(&["set", "key", "value"]), Frame::ok());
    // A site goes on by itself, and comes back.
    hub.kill();
    assert_eq!(client.ask(&["get", "key"]), "value".into());
    let reply = client.ask(&["echo", "text"]);
    let is_unknown = matches!(&reply, Frame::Error(text) if text.contains("unknown"));
    assert!(is_outage(&reply) || is_unknown, "{reply:?}");
    hub.restart();
    wait_for_reply(&mut client, &["echo", "again"], &"again".into());
    drop(near);
}
