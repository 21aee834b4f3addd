//! A plugin that is put into the plugins folder of one host, until three hosts serve it.

use std::{fs, path::Path, time::Instant};

use minisign::KeyPair;
use tempfile::TempDir;

use super::hosts::{Fleet, Nats, wait};
use crate::{
    durability::Session,
    error::{BenchError, failed},
    server::Places,
};

/// The file of the plugin, which has a little more than 2 MiB.
const FILE: &str = "libtext.so";

/// Returns the milliseconds from the rename of the file to the moment at which all three hosts serve
/// it themselves.
pub fn measure(places: &Places) -> Result<f64, BenchError> {
    let key = KeyPair::generate_unencrypted_keypair().map_err(bad_key)?;
    let folder = tempfile::tempdir().map_err(failed("make", "a folder"))?;
    let flags = flags(&key, &folder)?;
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let nats = Nats::start()?;
    let start =
        |name: &str, flags: &[&str]| Fleet::start_with(places, name, &[], Some(&nats.url()), flags);
    let publisher = start("one", &[&flags[..], &["--fleet-publish"]].concat())?;
    let hosts = [publisher, start("two", &flags)?, start("three", &flags)?];
    let mut sessions = Vec::new();
    for host in &hosts {
        let mut session = Session::connect(host.address)?;
        wait("a host follows the rollouts", || session.ask(&["fleet", "rollout"]).ok())?;
        sessions.push(session);
    }
    let from = places.built.join(FILE);
    let content = fs::read(&from).map_err(failed("read", &from))?;
    let comment = format!("timestamp:0\tfile:{FILE}\thashed");
    let signature = minisign::sign(None, &key.sk, content.as_slice(), Some(&comment), None);
    let plugins = hosts[0].plugins();
    write(&plugins.join(format!("{FILE}.minisig")), &signature.map_err(bad_key)?.to_bytes())?;
    let draft = plugins.join(".draft");
    write(&draft, &content)?;
    let began = Instant::now();
    fs::rename(&draft, plugins.join(FILE)).map_err(failed("rename", &draft))?;
    for session in &mut sessions {
        wait("a host serves the plugin", || {
            let facts = session.ask(&["plugin", "info", "text"]).ok()?;
            facts.iter().any(|fact| fact == "serving").then_some(())
        })?;
    }
    Ok(began.elapsed().as_secs_f64() * 1e3)
}

/// Returns the flags of each host.
fn flags(key: &KeyPair, folder: &TempDir) -> Result<Vec<String>, BenchError> {
    let public = folder.path().join("plugins.pub");
    write(&public, &key.pk.to_box().map_err(bad_key)?.to_bytes())?;
    let key = public.to_string_lossy().into_owned();
    Ok(["--plugin-key", &key, "--fleet-canary", "0"].map(str::to_owned).to_vec())
}

fn write(path: &Path, content: &[u8]) -> Result<(), BenchError> {
    fs::write(path, content).map_err(failed("write", path))
}

fn bad_key(error: minisign::PError) -> BenchError {
    BenchError::Caused(format!("cannot sign a plugin: {error}"), error.into())
}
