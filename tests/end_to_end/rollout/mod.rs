//! Rollouts of plugins over a fleet, with a NATS server and three hosts.

mod away;
mod canaries;
mod crashes;
mod forged;
mod own_faults;

mod pushes;
mod slow;

use std::{
    fs,
    path::{Path, PathBuf},
};

use dropin_tests::{
    Frame, Host, LIMIT, Lines, Resp, Setup,
    built::library_name,
    nats::Nats,
    reload::{marked, place},
    setup::Ended,
    signer::{Signer, signature_name},
    wait_until,
};

use crate::client_program::client;

const PLUGIN: &str = "chameleon";

/// A NATS server and the key of a fleet's plugins.
struct Fleet {
    nats: Nats,
    signer: Signer,
    /// The time for which a canary serves alone, in seconds.
    canary: &'static str,
}

impl Fleet {
    fn new(canary: &'static str) -> Self {
        Self { nats: Nats::start(), signer: Signer::new(), canary }
    }

    /// Returns a host of this name that takes plugins, before its start.
    fn member(&self, name: &str) -> Setup {
        self.member_at(&self.nats.url(), name)
    }

    /// Returns the same, of a NATS server at this address.
    fn member_at(&self, url: &str, name: &str) -> Setup {
        let key = self.signer.file();
        let flags = ["--plugin-key", key.to_str().unwrap(), "--fleet-canary", self.canary];
        Setup::new().flags(&["--fleet", url, "--fleet-host", name]).flags(&flags)
    }

    /// Returns a host of this name without a plugin key, before its start.
    fn unsigned(&self, name: &str) -> Setup {
        Setup::new().flags(&["--fleet", &self.nats.url(), "--fleet-host", name])
    }

    /// Starts three hosts that take plugins, and waits until they know each other.
    fn three(&self) -> [Host; 3] {
        let hosts = ["a", "b", "c"].map(|name| self.member(name).start());
        hosts.iter().for_each(|host| wait_for_rollouts(host));
        hosts
    }

    /// Writes a file and its signature into a folder, and returns the file's path.
    fn signed(&self, folder: &Path, name: &str, content: &[u8]) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, content).unwrap();
        let signature = self.signer.sign_file(name, content);
        fs::write(folder.join(format!("{name}.minisig")), signature).unwrap();
        path
    }

    /// Pushes a signed file to a host with the client.
    fn push(&self, host: &Host, name: &str, content: &[u8]) -> Ended {
        let folder = tempfile::tempdir().unwrap();
        push_file(host, &self.signed(folder.path(), name, content))
    }

    /// Pushes a library with this mark, and waits until all hosts serve it.
    #[track_caller]
    fn roll_out(&self, hosts: &[Host], mark: &str) {
        let ended = self.push(&hosts[0], &library_name(PLUGIN), &marked(PLUGIN, mark));
        assert_eq!(ended.status, Some(0), "{ended:?}");
        hosts.iter().for_each(|host| wait_for_mark(host, mark));
        wait_for_phase(&hosts[0], "everyone");
    }

    /// Puts a signed library with this mark into the plugins folder of a host.
    fn drop_library(&self, host: &Host, content: &[u8]) {
        let signature = self.signer.sign_file(&library_name(PLUGIN), content);
        place(&host.plugins_folder(), &signature_name(PLUGIN), &signature);
        host.place(PLUGIN, content);
    }
}

/// Pushes a file to a host with the client.
fn push_file(host: &Host, path: &Path) -> Ended {
    let port = host.port().to_string();
    let mut command = client(&[], &[]);
    command.args(["plugin", "push"]).arg(path).args(["s", "--port", &port]);
    dropin_tests::tool::run(&mut command, b"").into()
}

/// Returns the mark that this host itself serves; `None` if another host would answer.
fn mark_of(host: &Host) -> Option<String> {
    let info = Resp::connect3(host).ask(&["plugin", "info", PLUGIN]);
    let is_served = info.get("status").is_some_and(|status| *status == "serving".into());
    is_served.then(|| Lines::connect(host).ask("colour"))
}

#[track_caller]
fn wait_for_mark(host: &Host, mark: &str) {
    wait_until(&format!("the host serves mark {mark}"), LIMIT, || {
        mark_of(host).as_deref() == Some(mark)
    });
}

/// Waits until a host follows the rollouts.
#[track_caller]
fn wait_for_rollouts(host: &Host) {
    wait_until("the host follows the rollouts", LIMIT, || rollouts(host).is_some());
}

/// Returns the rollouts that a host knows; `None` if JetStream is away.
fn rollouts(host: &Host) -> Option<Vec<Frame>> {
    match Resp::connect3(host).ask(&["fleet", "rollout"]) {
        Frame::Error(_) => None,
        list => Some(list.items().to_vec()),
    }
}

/// Returns a field of the only rollout.
fn field(host: &Host, name: &str) -> Option<String> {
    let all = rollouts(host)?;
    let value = all.first()?.get(name)?.clone();
    match value {
        Frame::Null => None,
        text => Some(text.as_str().to_owned()),
    }
}

#[track_caller]
fn wait_for_phase(host: &Host, phase: &str) {
    wait_until(&format!("the rollout is in the phase '{phase}'"), LIMIT, || {
        field(host, "phase").as_deref() == Some(phase)
    });
}

/// Waits until a host knows that these hosts have the wanted version.
#[track_caller]
fn wait_for_hosts(host: &Host, names: &str) {
    wait_until(&format!("the hosts {names} have it"), LIMIT, || {
        field(host, "hosts").as_deref() == Some(names)
    });
}

/// Returns the files of a host's plugins folder, hidden ones too, but no folders.
fn files_of(host: &Host) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(host.plugins_folder()).unwrap().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    files
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect()
}
