//! Tests of the runs of a script.

use std::{
    io::Write,
    net::{Ipv4Addr, SocketAddr},
};

use auth::{identity::Identity, trust::Trust};
use plugin_api::abi::Span;
use protocol::Protocol;
use sandbox::Limits;
use telemetry::log_throttle::LineBudget;

use super::*;
use crate::{
    call::CallContext,
    facts::{ListedCommand, PluginFacts, SessionFacts},
};

const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// A session that never cancels.
struct Patient(Identity);

impl CallContext for Patient {
    fn session_id(&self) -> u64 {
        1
    }

    fn peer(&self) -> SocketAddr {
        PEER
    }

    fn session_name(&self) -> String {
        String::new()
    }

    fn identity(&self) -> &Identity {
        &self.0
    }

    fn commands(&self) -> Vec<ListedCommand> {
        Vec::new()
    }

    fn plugins(&self) -> Vec<PluginFacts> {
        Vec::new()
    }

    fn wait_for_cancel(&self, _: Duration) -> bool {
        false
    }

    fn sessions(&self) -> Vec<SessionFacts> {
        Vec::new()
    }

    fn report_progress(&self, _: u64, _: u64, _: &str) {}
}

/// Runs a script under these limits, and returns its reply.
fn reply(limits: Limits) -> String {
    let folder = tempfile::tempdir().unwrap();
    let executable = Executable {
        file: folder.path().join("script"),
        interpreter: Vec::new(),
        stem: "script".into(),
        plugins: folder.path().into(),
        data_dir: folder.path().into(),
        module_folders: Vec::new(),
        limits: limits.clone(),
    };
    let services = Arc::new(PluginServices {
        name: "script".into(),
        data_dir: folder.path().into(),
        started: Instant::now(),
        lines: LineBudget::default(),
    });
    let settings = PluginSettings { limits, ..PluginSettings::default() };
    let plugin = ScriptPlugin::new(executable, settings, services);
    let session = Patient(Identity::of(PEER, Trust::Loopback));
    let span = Span { start: 0, length: 3 };
    let call = Call { input: b"run", spans: &[span], context: &session };
    let mut reply = Encoder::new(Protocol::Lines);
    reply.begin();
    plugin.call("run", &call, &mut reply);
    reply.finish();
    String::from_utf8_lossy(reply.pending()).into_owned()
}

#[test]
fn run_without_its_processor_limit_is_refused() {
    let limits = Limits { cpu: Some(0.5), ..Limits::default() };
    if limits.check().is_ok() {
        // This machine can enforce it, and would move this program into another group.
        return;
    }
    let reply = reply(limits);
    assert!(reply.contains("limit its processor time"), "{reply}");
}

#[test]
fn leftover_writer_neither_delays_nor_fills_output() {
    let (output, mut writer) = io::pipe().unwrap();
    let reading = read_on_thread(output, 100).unwrap();
    let (kept, done) = (Arc::clone(&reading.kept), reading.done.clone());
    writer.write_all(b"reply").unwrap();
    assert_eq!(reading.finish(), b"reply");
    // On Windows the job has killed the writer by then.
    if cfg!(unix) {
        let ended = done.recv_timeout(Duration::from_secs(60));
        assert_eq!(ended, Err(crossbeam_channel::RecvTimeoutError::Disconnected));
        assert!(writer.write_all(b"late").is_err());
        assert!(kept.lock().unwrap().is_empty());
    }
}
