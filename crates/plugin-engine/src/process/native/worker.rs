//! A worker process: opens one library and answers the host's calls of it.

use std::{
    fs, io,
    path::PathBuf,
    process,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use abi_stable::std_types::{RErr, RResult, RStr, RString};
use platform::HostLink;
use plugin_api::abi::{Services, Span};

use super::{
    message::{CallHead, Init, Opened, PART, Ready, kind, take},
    pieces::PieceSink,
    session::RemoteSession,
    wire::{Received, Side, Wire},
};
use crate::{
    VERSION,
    live::{
        host_services::make_data_dir,
        library::{self, Layout, Library, Live},
        plugin::Plugin,
    },
    load_error::Refusal,
};

/// The longest message from the host: it is trusted.
const MOST: usize = usize::MAX;

/// The longest wait for running calls before the plugin is ended without them.
const LAST_CALLS: Duration = Duration::from_millis(500);

/// The length of replies from which they are sent, in bytes.
const ROOM: usize = 4 << 10;

/// The length of all replies from which the other calls are given back, in bytes.
const TOGETHER: usize = 64 << 10;

/// The time from which the other calls are given back.
const DELAY: Duration = Duration::from_millis(1);

/// The exit status of a process that has lost its host, or cannot serve.
const FAILED: i32 = 1;

/// Runs a worker process; returns only if it cannot start.
///
/// # Errors
/// No host has started this process, or the host has gone.
pub fn run() -> io::Result<()> {
    platform::die_with_parent();
    library::disable_crash_dialogs();
    let link = HostLink::inherit()?;
    let first = link.accept()?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut first = wire(first)?;
    let init: Init = match first.receive(MOST)? {
        Received::Message(kind::INIT, init) => serde_json::from_slice(init)?,
        _ => return Err(io::ErrorKind::InvalidData.into()),
    };
    let level = Arc::new(AtomicU32::new(u32::from(init.level)));
    let services = WorkerServices {
        data: init.data.clone(),
        name: Mutex::new(init.name.clone()),
        level: Arc::clone(&level),
        started: Instant::now(),
        uptime_millis: init.uptime_millis,
        log: Mutex::new(Wire::new((link.control()?, None), Side::Worker, None)?),
    };
    let (opened, plugin) = match open(&init, services) {
        Ok((ready, plugin)) => (Ok(ready), Some(plugin)),
        Err(refusal) => (Opened::Err(refusal), None),
    };
    let report = serde_json::to_vec(&opened)?;
    first.send(kind::READY, |out| out.extend_from_slice(&report), &mut || true)?;
    let Some(plugin) = plugin else { process::exit(FAILED) };
    let plugin = Arc::new(plugin);
    serve(first, &plugin, &level);
    loop {
        match link.accept() {
            Ok(Some(opened)) => match wire(opened) {
                Ok(wire) => serve(wire, &plugin, &level),
                Err(_) => process::exit(FAILED),
            },
            // The host has gone: without it there is nobody to end the plugin for.
            Ok(None) => process::exit(FAILED),
            // Dropped connections tell the host, which then ends this process.
            Err(_) => process::exit(FAILED),
        }
    }
}

fn wire((connection, memory): platform::Opened) -> io::Result<Wire> {
    Wire::new((connection, memory.map(Arc::new)), Side::Worker, None)
}

/// Puts the limits in force and opens the library.
fn open(init: &Init, services: WorkerServices) -> Result<(Ready, Live), Refusal> {
    let failed = |error: &dyn std::fmt::Display| Refusal::Create { error: error.to_string() };
    let own = init.data.join(&init.name);
    if init.limits.sandbox != sandbox::Sandbox::Off {
        // It could not make the directory later.
        fs::create_dir_all(&own).map_err(|error| failed(&error))?;
    }
    init.limits.apply(&[own]).map_err(|error| failed(&error))?;
    // Nothing else is ever checked or opened in this process, so that the pointers which the check
    // of the layout leaves behind do no harm.
    let library = Library::open(&init.file, Layout::Check)?;
    let manifest = library.manifest();
    manifest.check()?;
    if let Ok(mut name) = services.name.lock() {
        name.clone_from(&manifest.name);
    }
    let plugin = library.create(services)?;
    let (saves, streams) = (plugin.saves(), plugin.streams());
    let configures = plugin.configures();
    Ok((Ready { manifest, saves, streams, configures }, plugin))
}

/// Serves a connection on a thread of its own.
fn serve(mut wire: Wire, plugin: &Arc<Live>, level: &Arc<AtomicU32>) {
    let (plugin, level) = (Arc::clone(plugin), Arc::clone(level));
    let serve = move || {
        let mut spans = Vec::new();
        let mut parts = Vec::new();
        // An error means that the host has closed the connection.
        while answer(&mut wire, &plugin, &level, &mut spans, &mut parts).is_ok() {}
    };
    if thread::Builder::new().name("call".into()).spawn(serve).is_err() {
        // No thread is left: the connection is dropped, and the host ends this process.
        process::exit(FAILED);
    }
}

/// Answers one request.
fn answer(
    wire: &mut Wire,
    plugin: &Live,
    level: &AtomicU32,
    spans: &mut Vec<Span>,
    parts: &mut Vec<u8>,
) -> io::Result<()> {
    let Received::Message(kind, payload) = wire.receive(MOST)? else { return Ok(()) };
    match kind {
        kind::CALLS => {
            // The connection's buffer is needed for the session's questions.
            parts.clear();
            parts.extend_from_slice(payload);
            calls(wire, plugin, level, parts, spans)?;
            parts.clear();
            parts.shrink_to(PART);
            Ok(())
        }
        kind::PART => {
            parts.extend_from_slice(payload);
            Ok(())
        }
        kind::SAVE => match plugin.save() {
            Ok(Some(state)) => send_parts(wire, &state),
            Ok(None) => wire.send(kind::NONE, |_| {}, &mut || true),
            Err(problem) => fail(wire, &problem),
        },
        kind::STREAM_BEGIN => done(wire, plugin.stream_begin()),
        kind::STREAM_NEXT => match plugin.stream_next() {
            Ok(Some(commands)) => send_parts(wire, &commands),
            Ok(None) => wire.send(kind::NONE, |_| {}, &mut || true),
            Err(problem) => fail(wire, &problem),
        },
        kind::STREAM_END => {
            plugin.stream_end();
            done(wire, Ok(()))
        }
        kind::RESTORE => {
            let state = std::mem::take(parts);
            let restored = plugin.restore(&state);
            done(wire, restored)
        }
        kind::CONFIGURE => {
            let text = String::from_utf8_lossy(payload).into_owned();
            let configured = plugin.configure(&text);
            done(wire, configured)
        }
        kind::STOP => stop(plugin),
        // The call that it cancels has been answered.
        _ => Ok(()),
    }
}

/// Calls workers, one after the other, and sends their replies.
fn calls(
    wire: &mut Wire,
    plugin: &Live,
    level: &AtomicU32,
    mut calls: &[u8],
    spans: &mut Vec<Span>,
) -> io::Result<()> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let mut replies = Vec::with_capacity(256);
    let (begun, mut sent) = (Instant::now(), 0);
    while !calls.is_empty() {
        let length = u32::from_le_bytes(take(&mut calls).ok_or_else(invalid)?) as usize;
        let (call, rest) = calls.split_at_checked(length).ok_or_else(invalid)?;
        calls = rest;
        let (head, input) = CallHead::read(call, spans).ok_or_else(invalid)?;
        level.store(u32::from(head.level), Ordering::Relaxed);
        let session = RemoteSession::new(head, wire);
        let mut flush = |out: &mut Vec<u8>| {
            // Earlier replies first.
            if !replies.is_empty() {
                session.send(kind::REPLIES, |message| message.append(&mut replies));
            }
            sent += out.len();
            session.send(kind::PART, |message| message.append(out));
        };
        let mut sink = PieceSink { out: Vec::new(), most: PART, flush: &mut flush };
        let _ = plugin.call_raw(head.command, (input, spans), &session, &mut sink);
        let rest = sink.out;
        // Less than a part.
        replies.extend_from_slice(&(rest.len() as u32).to_le_bytes());
        replies.extend_from_slice(&rest);
        sent += rest.len();
        // A quick worker is not interrupted; a slow one, or one with much to tell, lets the host
        // send its replies and look at the rest again.
        let is_over = sent >= TOGETHER || begun.elapsed() >= DELAY;
        if calls.is_empty() || is_over || replies.len() >= ROOM {
            wire.send(kind::REPLIES, |out| out.append(&mut replies), &mut || true)?;
        }
        if is_over && !calls.is_empty() {
            let left = count(calls).ok_or_else(invalid)?;
            return wire.send(kind::BACK, |out| out.extend(left.to_le_bytes()), &mut || true);
        }
    }
    Ok(())
}

/// Returns the number of calls.
fn count(mut calls: &[u8]) -> Option<u32> {
    let mut count = 0;
    while !calls.is_empty() {
        let length = u32::from_le_bytes(take(&mut calls)?) as usize;
        calls = calls.get(length..)?;
        count += 1;
    }
    Some(count)
}

fn send_parts(wire: &mut Wire, bytes: &[u8]) -> io::Result<()> {
    for part in bytes.chunks(PART) {
        wire.send(kind::PART, |out| out.extend_from_slice(part), &mut || true)?;
    }
    wire.send(kind::DONE, |_| {}, &mut || true)
}

fn done(wire: &mut Wire, result: Result<(), String>) -> io::Result<()> {
    match result {
        Ok(()) => wire.send(kind::DONE, |_| {}, &mut || true),
        Err(problem) => fail(wire, &problem),
    }
}

fn fail(wire: &mut Wire, problem: &str) -> io::Result<()> {
    let text = &problem[..problem.floor_char_boundary(PART)];
    wire.send(kind::FAILED, |out| out.extend_from_slice(text.as_bytes()), &mut || true)
}

/// Ends the plugin and this process.
fn stop(plugin: &Live) -> ! {
    plugin.gate().retire();
    let expires_at = Instant::now() + LAST_CALLS;
    while !plugin.end() && Instant::now() < expires_at {
        thread::sleep(Duration::from_millis(1));
    }
    process::exit(0)
}

/// The host's services for the plugin of a worker process.
struct WorkerServices {
    /// The directory of all plugins' data directories.
    data: PathBuf,
    name: Mutex<String>,
    /// The host's log level.
    level: Arc<AtomicU32>,
    started: Instant,
    /// The host's uptime at that time.
    uptime_millis: u64,
    /// The control connection.
    log: Mutex<Wire>,
}

impl Services for WorkerServices {
    fn version(&self) -> RString {
        VERSION.into()
    }

    fn uptime_millis(&self) -> u64 {
        let since = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.uptime_millis.saturating_add(since)
    }

    fn log_enabled(&self, level: u32) -> bool {
        level <= self.level.load(Ordering::Relaxed)
    }

    fn log(&self, level: u32, _: RStr<'_>, message: RStr<'_>) {
        let message = message.as_str();
        let text = &message[..message.floor_char_boundary(PART)];
        // Levels are those of the `log` crate, 5 at most.
        let fill = |out: &mut Vec<u8>| {
            out.push(level.min(5) as u8);
            out.extend_from_slice(text.as_bytes());
        };
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        // A host that has gone ends this process.
        let _ = log.send(kind::LOG, fill, &mut || true);
    }

    fn data_dir(&self) -> RResult<RString, RString> {
        match self.name.lock() {
            Ok(name) if !name.is_empty() => make_data_dir(&self.data.join(&*name)),
            _ => RErr("the plugin has no name yet".into()),
        }
    }
}
