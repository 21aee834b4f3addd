//! Objects that somebody with access to NATS, but without the plugin key, puts into the bucket.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
};

use base64::{Engine, engine::general_purpose::URL_SAFE};
use dropin_tests::{
    LIMIT, built::library_name, nats::Nats, reload::marked, signer::Signer, wait_until,
};

use super::{Fleet, PLUGIN, field, mark_of, wait_for_hosts, wait_for_mark};

/// A client of NATS that publishes.
struct Publisher(BufReader<TcpStream>);

impl Publisher {
    fn connect(nats: &Nats) -> Self {
        let url = nats.url();
        let stream = TcpStream::connect(url.strip_prefix("nats://").unwrap()).unwrap();
        let mut publisher = Self(BufReader::new(stream));
        publisher.0.get_mut().write_all(b"CONNECT {\"verbose\":false}\r\n").unwrap();
        publisher
    }

    /// Publishes a message, and waits until the server has it.
    fn publish(&mut self, subject: &str, payload: &[u8]) {
        let head = format!("PUB {subject} {}\r\n", payload.len());
        let message = [head.as_bytes(), payload, b"\r\nPING\r\n"].concat();
        self.0.get_mut().write_all(&message).unwrap();
        let mut line = String::new();
        while line.trim() != "PONG" {
            line.clear();
            self.0.read_line(&mut line).unwrap();
            assert!(!line.starts_with("-ERR"), "{line}");
        }
    }

    /// Stores an object and a rollout of it for all hosts.
    fn forge(&mut self, id: &str, content: &[u8], signature: &str, sha256: &str, file: &str) {
        let bucket = "dropin_default_plugins";
        for piece in content.chunks(128 << 10) {
            self.publish(&format!("$O.{bucket}.C.{id}"), piece);
        }
        let signature = signature.replace('\n', "\\n").replace('\t', "\\t");
        let (size, chunks) = (content.len(), content.len().div_ceil(128 << 10));
        let info = format!(
            "{{\"name\":\"{id}\",\"bucket\":\"{bucket}\",\"nuid\":\"{id}\",\"size\":{size},\
             \"chunks\":{chunks},\"metadata\":{{\"signature\":\"{signature}\"}}}}"
        );
        let name = URL_SAFE.encode(id);
        self.publish(&format!("$O.{bucket}.M.{name}"), info.as_bytes());
        let target = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
        let wanted = format!(
            "{{\"id\":\"{id}\",\"plugin\":\"{PLUGIN}\",\"file\":\"{file}\",\
             \"target\":\"{target}\",\"sha256\":\"{sha256}\",\"size\":{size},\"by\":\"x\"}}"
        );
        let rollout = format!("{{\"wanted\":{wanted},\"phase\":\"everyone\",\"wait\":0}}");
        let key = format!("$KV.dropin_default_rollouts.{PLUGIN}.{target}");
        self.publish(&key, rollout.as_bytes());
    }
}

fn sha256_of(content: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, content);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn forged_objects_are_refused_everywhere() {
    let fleet = Fleet::new("0");
    let hosts = fleet.three();
    fleet.roll_out(&hosts, "1");
    wait_for_hosts(&hosts[0], "a b c");
    let mut publisher = Publisher::connect(&fleet.nats);
    let (evil, file) = (marked(PLUGIN, "evil"), library_name(PLUGIN));
    let sign = |signer: &Signer, content: &[u8]| {
        String::from_utf8(signer.sign_file(&file, content)).unwrap()
    };
    // A plugin that was signed under another name must not take the place of this one.
    let renamed = String::from_utf8(fleet.signer.sign_file("libother.so", &evil)).unwrap();
    for (id, signature, sha256, said) in [
        ("f1", String::new(), sha256_of(&evil), "it has no signature"),
        ("f6", renamed, sha256_of(&evil), "its signature is of a file libother.so"),
        (
            "f2",
            sign(&Signer::new(), &evil),
            sha256_of(&evil),
            "its signature was not made with the plugin key",
        ),
        (
            "f3",
            sign(&fleet.signer, &marked(PLUGIN, "1")),
            sha256_of(&evil),
            "its signature does not match its content",
        ),
        ("f4", sign(&fleet.signer, &evil), sha256_of(b"other"), "its SHA-256 is not that"),
    ] {
        publisher.forge(id, &evil, &signature, &sha256, &file);
        // The first host that has it stops the rollout, and the others do not even look.
        for host in &hosts {
            wait_until(&format!("'{id}' is refused"), LIMIT, || {
                field(host, "reason").is_some_and(|reason| reason.contains(said))
            });
        }
        for host in &hosts {
            assert_eq!(mark_of(host).as_deref(), Some("1"), "{id}");
            // It has not even come into the plugins folder.
            assert!(!host.log().contains(&format!("refused {file}")), "{id}");
        }
    }
    // The same object with its own signature is served: the refusals were for the reasons told.
    publisher.forge("f5", &evil, &sign(&fleet.signer, &evil), &sha256_of(&evil), &file);
    hosts.iter().for_each(|host| wait_for_mark(host, "evil"));
}

#[test]
#[cfg_attr(not(tool = "nats-server"), ignore = "needs nats-server")]
fn forged_file_names_stay_in_the_folder() {
    let fleet = Fleet::new("0");
    let host = fleet.member("a").start();
    super::wait_for_rollouts(&host);
    let mut publisher = Publisher::connect(&fleet.nats);
    let library = marked(PLUGIN, "1");
    let signature = fleet.signer.sign_file(&library_name(PLUGIN), &library);
    let signature = String::from_utf8(signature).unwrap();
    let outside = format!("../{}", library_name(PLUGIN));
    publisher.forge("f1", &library, &signature, &sha256_of(&library), &outside);
    host.wait_for_log("its name is not that of a plugin");
    assert!(!host.plugins_folder().join(&outside).exists());
    assert_eq!(mark_of(&host), None);
}
