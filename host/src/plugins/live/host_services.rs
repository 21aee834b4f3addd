//! Offers the host's services to a plugin, in the types of the binary contract.

use std::{
    fmt, fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use abi_stable::std_types::{RErr, ROk, RResult, RSlice, RStr, RString, RVec};
use log::{Level, Record};
use plugin_api::abi::{RawCommand, RawPeer, RawPlugin, RawSession, Services, Session, Sink};

use crate::{
    commands::registry::{Call, Command},
    runtime::context::VERSION,
    util::log_throttle::LineBudget,
    wire::Encoder,
};

/// Interval at which a worker's wait checks for the host's shutdown.
const SLICE: Duration = Duration::from_millis(50);

/// The longest line that a plugin may log, in bytes; it may contain data of a client.
const LONGEST_LINE: usize = 16 << 10;

/// The session behind a call, as the plugin sees it.
pub struct CallSession<'a, 'b> {
    /// The call.
    pub call: &'a Call<'b>,
}

impl Session for CallSession<'_, '_> {
    fn id(&self) -> u64 {
        self.call.session.id
    }

    fn peer(&self) -> RawPeer {
        self.call.session.peer.into()
    }

    fn name(&self) -> RString {
        self.call.session.names().session.into()
    }

    fn cancelled(&self) -> bool {
        self.wait(0)
    }

    fn wait(&self, millis: u64) -> bool {
        let (shutdown, session) = (&self.call.shared.shutdown, self.call.session);
        let end = Instant::now().checked_add(Duration::from_millis(millis));
        loop {
            if shutdown.is_stopping() || session.is_cancelled() {
                return true;
            }
            let left =
                end.map_or(SLICE, |end| end.saturating_duration_since(Instant::now()).min(SLICE));
            if session.wait_until_gone(left) {
                return true;
            }
            if end.is_some_and(|end| Instant::now() >= end) {
                return shutdown.is_stopping() || session.is_cancelled();
            }
        }
    }

    fn commands(&self) -> RVec<RawCommand> {
        self.call
            .registry
            .commands(self.call.identity)
            .into_iter()
            .map(|command| raw_command(command))
            .collect()
    }

    fn sessions(&self) -> RVec<RawSession> {
        let sessions = self.call.visible_sessions();
        let raw = sessions.iter().map(|session| RawSession {
            id: session.id,
            peer: session.peer.into(),
            name: session.names().session.into(),
            age_millis: millis(session.age()),
            idle_millis: millis(session.idle()),
            commands: session.commands(),
        });
        raw.collect()
    }

    fn plugins(&self) -> RVec<RawPlugin> {
        let plugins = self.call.registry.plugins(self.call.identity);
        let plugins = plugins.into_iter().map(|plugin| RawPlugin {
            name: plugin.name.as_str().into(),
            version: plugin.version.as_str().into(),
            generation: plugin.generation,
            file: plugin.file.as_str().into(),
            commands: plugin.commands.iter().map(|name| name.as_str().into()).collect(),
        });
        plugins.collect()
    }

    fn progress(&self, done: u64, total: u64, text: RStr<'_>) {
        self.call.progress.report(done, total, text.as_str());
    }

    fn key(&self) -> RString {
        self.call.identity.key().map(|key| key.name.as_str().into()).unwrap_or_default()
    }

    fn role(&self) -> RString {
        self.call.identity.role().map(|role| role.name().into()).unwrap_or_default()
    }
}

impl Sink for Encoder {
    fn ok(&mut self) {
        Encoder::ok(self);
    }
    fn text(&mut self, text: RSlice<'_, u8>) {
        Encoder::text(self, text.as_slice());
    }
    fn integer(&mut self, value: i64) {
        Encoder::integer(self, value);
    }
    fn float(&mut self, value: f64) {
        Encoder::float(self, value);
    }
    fn boolean(&mut self, value: bool) {
        Encoder::boolean(self, value);
    }
    fn null(&mut self) {
        Encoder::null(self);
    }
    fn list(&mut self, items: u64) {
        Encoder::list(self, usize::try_from(items).unwrap_or(usize::MAX));
    }
    fn map(&mut self, pairs: u64) {
        Encoder::map(self, usize::try_from(pairs).unwrap_or(usize::MAX));
    }
    fn error(&mut self, kind: RStr<'_>, message: RSlice<'_, u8>) {
        Encoder::error(self, kind.as_str(), message.as_slice());
    }
    fn reset(&mut self) {
        Encoder::reset(self);
    }
}

/// The host's services for one loaded plugin.
pub struct PluginServices {
    /// The plugin's name, under which it logs.
    pub name: String,
    /// The path of its private directory, which may not exist yet.
    pub data_dir: PathBuf,
    /// The time of the host's start.
    pub started: Instant,
    /// Limits its lines, which a client may cause by its calls: each panic is a line.
    pub lines: LineBudget,
}

impl Services for PluginServices {
    fn version(&self) -> RString {
        VERSION.into()
    }

    fn uptime_millis(&self) -> u64 {
        millis(self.started.elapsed())
    }

    fn log_enabled(&self, level: u32) -> bool {
        level_of(level) <= log::max_level()
    }

    fn log(&self, level: u32, _: RStr<'_>, message: RStr<'_>) {
        let level = level_of(level);
        let left_out = match level {
            Level::Debug | Level::Trace => 0,
            Level::Error | Level::Warn | Level::Info => match self.lines.admit(Instant::now()) {
                Some(left_out) => left_out,
                None => return,
            },
        };
        let log = |level: Level, text: fmt::Arguments<'_>| {
            let mut record = Record::builder();
            log::logger().log(&record.level(level).target(&self.name).args(text).build());
        };
        if left_out > 0 {
            log(Level::Warn, format_args!("{left_out} lines of this plugin were left out"));
        }
        let message = message.as_str();
        let cut = message.floor_char_boundary(LONGEST_LINE);
        let rest = if cut < message.len() { " (cut)" } else { "" };
        log(level, format_args!("{}{rest}", &message[..cut]));
    }

    fn data_dir(&self) -> RResult<RString, RString> {
        match fs::create_dir_all(&self.data_dir) {
            Ok(()) => ROk(self.data_dir.to_string_lossy().into()),
            Err(error) => RErr(format!("cannot make {}: {error}", self.data_dir.display()).into()),
        }
    }
}

fn raw_command(command: &Command) -> RawCommand {
    RawCommand {
        name: command.name.as_str().into(),
        usage: command.usage.as_str().into(),
        help: command.help.as_str().into(),
        plugin: command.plugin.as_deref().unwrap_or_default().into(),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn level_of(level: u32) -> Level {
    match level {
        0 | 1 => Level::Error,
        2 => Level::Warn,
        3 => Level::Info,
        4 => Level::Debug,
        _ => Level::Trace,
    }
}
