//! Offers the host's services to a plugin, in the types of the binary contract.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use abi_stable::std_types::{RErr, ROk, RResult, RStr, RString, RVec};
use log::{Level, Record};
use plugin_api::abi::{RawCommand, RawPeer, RawPlugin, RawSession, Services, Session};
use telemetry::log_throttle::LineBudget;

use crate::{
    VERSION,
    call::CallContext,
    facts::{ListedCommand, PluginFacts, SessionFacts},
};

/// The longest line that a plugin may log, in bytes; it may contain data of a client.
const LONGEST_LINE: usize = 16 << 10;

/// The session behind one call, in the types of the binary contract.
pub struct ContractSession<'a> {
    /// The host's view of the session.
    pub context: &'a dyn CallContext,
}

impl Session for ContractSession<'_> {
    fn id(&self) -> u64 {
        self.context.session_id()
    }

    fn peer(&self) -> RawPeer {
        self.context.peer().into()
    }

    fn name(&self) -> RString {
        self.context.session_name().into()
    }

    fn cancelled(&self) -> bool {
        self.wait(0)
    }

    fn wait(&self, millis: u64) -> bool {
        self.context.wait_for_cancel(Duration::from_millis(millis))
    }

    fn commands(&self) -> RVec<RawCommand> {
        raw_commands(self.context.commands())
    }

    fn sessions(&self) -> RVec<RawSession> {
        raw_sessions(self.context.sessions())
    }

    fn plugins(&self) -> RVec<RawPlugin> {
        raw_plugins(&self.context.plugins())
    }

    fn progress(&self, done: u64, total: u64, text: RStr<'_>) {
        self.context.report_progress(done, total, text.as_str());
    }

    fn key(&self) -> RString {
        let key = self.context.identity().key();
        key.map(|key| key.name.as_str().into()).unwrap_or_default()
    }

    fn time_millis(&self) -> u64 {
        self.context.time_millis()
    }

    fn role(&self) -> RString {
        let role = self.context.identity().role();
        role.map(|role| role.name().into()).unwrap_or_default()
    }
}

/// Converts commands into the types of the binary contract.
#[must_use]
pub fn raw_commands(commands: Vec<ListedCommand>) -> RVec<RawCommand> {
    let raw = commands.into_iter().map(|command| RawCommand {
        name: command.name.into(),
        usage: command.usage.into(),
        help: command.help.into(),
        plugin: command.plugin.into(),
    });
    raw.collect()
}

/// Converts sessions into the types of the binary contract.
#[must_use]
pub fn raw_sessions(sessions: Vec<SessionFacts>) -> RVec<RawSession> {
    let raw = sessions.into_iter().map(|session| RawSession {
        id: session.id,
        peer: session.peer.into(),
        name: session.name.into(),
        age_millis: millis(session.age),
        idle_millis: millis(session.idle),
        commands: session.commands,
    });
    raw.collect()
}

/// Converts plugins into the types of the binary contract.
#[must_use]
pub fn raw_plugins(plugins: &[PluginFacts]) -> RVec<RawPlugin> {
    let raw = plugins.iter().map(|plugin| RawPlugin {
        name: plugin.name.as_str().into(),
        version: plugin.version.as_str().into(),
        generation: plugin.generation,
        file: plugin.file.as_str().into(),
        commands: plugin.commands.iter().map(|name| name.as_str().into()).collect(),
    });
    raw.collect()
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
        self.log_line(level_of(level), message.as_str());
    }

    fn data_dir(&self) -> RResult<RString, RString> {
        make_data_dir(&self.data_dir)
    }
}

impl PluginServices {
    /// Logs a line of the plugin, unless it has logged too many, or the host's level is lower.
    pub fn log_line(&self, level: Level, message: impl AsRef<[u8]>) {
        if level > log::max_level() {
            return;
        }
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
        let message = String::from_utf8_lossy(message.as_ref());
        let cut = message.floor_char_boundary(LONGEST_LINE);
        let rest = if cut < message.len() { " (cut)" } else { "" };
        log(level, format_args!("{}{rest}", &message[..cut]));
    }
}

/// Creates a plugin's private directory where it does not exist, and returns its path.
pub fn make_data_dir(path: &Path) -> RResult<RString, RString> {
    match fs::create_dir_all(path) {
        Ok(()) => ROk(path.to_string_lossy().into()),
        Err(error) => RErr(format!("cannot make {}: {error}", path.display()).into()),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Returns the level of this number: 1 is error, 5 is trace.
pub fn level_of(level: u32) -> Level {
    match level {
        0 | 1 => Level::Error,
        2 => Level::Warn,
        3 => Level::Info,
        4 => Level::Debug,
        _ => Level::Trace,
    }
}
