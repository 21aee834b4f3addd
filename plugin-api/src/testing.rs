//! Calls a plugin's workers in a unit test, without a host.
//!
//! ```
//! # use plugin_api::{Request, plugin};
//! # plugin! { commands: { "twice" "NUMBER" => twice, "Doubles."; } }
//! # fn twice(request: &Request) -> plugin_api::Result<i64> { Ok(request.integer(0)? * 2) }
//! use plugin_api::testing::Plugin;
//!
//! let plugin = Plugin::start(&PLUGIN).unwrap();
//! assert_eq!(plugin.call("twice", &["21"]), Ok(42.into()));
//! assert!(plugin.call("twice", &["x"]).is_err());
//! ```

mod fakes;
mod tree;

use std::{
    sync::{PoisonError, atomic::Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use abi_stable::{
    erased_types::TD_Opaque,
    sabi_types::{RMut, RRef},
    std_types::{RArc, RErr, ROk, ROption, RStr},
};

use self::{
    fakes::{FakeHost, FakeSession},
    tree::Tree,
};
use crate::{
    abi::{Instance, RawCommand, RawRequest, Services_TO, Session_TO, Sink_TO, Span},
    commands::CommandReader,
    error::{Error, Result},
    export::{Definition, Running},
    reply::Value,
    state::State,
    worker::Usage,
};

/// A started plugin, as in a host.
pub struct Plugin<S: State> {
    running: Running<S>,
    definition: &'static Definition<S>,
    session: FakeSession,
}

impl<S: State> Plugin<S> {
    /// Starts the plugin that [`plugin!`](crate::plugin!) defines, without a configuration file.
    ///
    /// # Errors
    /// The error of [`State::create`], or that of
    /// [`Configured::configure`](crate::Configured::configure) where the plugin needs a file.
    pub fn start(definition: &'static Definition<S>) -> Result<Self> {
        Self::start_with(definition, "")
    }

    /// Starts the plugin with the text of a configuration file.
    ///
    /// # Errors
    /// As [`start`](Self::start) and [`configure`](Self::configure).
    pub fn start_with(definition: &'static Definition<S>, toml: &str) -> Result<Self> {
        let services = Services_TO::from_ptr(RArc::new(FakeHost::new()), TD_Opaque);
        let running = Running::start(definition, services)?;
        let manifest = definition.manifest;
        let session = FakeSession {
            commands: manifest
                .commands
                .iter()
                .map(|command| raw(*command, manifest.name))
                .collect(),
            ..FakeSession::default()
        };
        let plugin = Self { running, definition, session };
        plugin.configure(toml)?;
        Ok(plugin)
    }

    /// Changes the configuration file to this text. See
    /// [`Configured::configure`](crate::Configured::configure). A plugin that is not
    /// [`Configured`](crate::Configured) ignores it.
    ///
    /// # Errors
    /// The plugin's `Config` cannot be read from the text, or its `configure` fails.
    pub fn configure(&self, toml: &str) -> Result<()> {
        self.running.configure(toml.into()).into_result().map_err(Error::new)
    }

    /// Runs a command. Checks the number of arguments as the host does.
    ///
    /// # Errors
    /// The error reply.
    ///
    /// # Panics
    /// The plugin has no such command, or its reply is inconsistent.
    pub fn call(&self, command: &str, arguments: &[&str]) -> Result<Value> {
        let arguments: Vec<&[u8]> = arguments.iter().map(|argument| argument.as_bytes()).collect();
        self.call_bytes(command, &arguments)
    }

    /// Runs a command with arguments that need not be UTF-8; see [`call`](Self::call).
    ///
    /// # Errors
    /// The error reply.
    ///
    /// # Panics
    /// As [`call`](Self::call).
    pub fn call_bytes(&self, command: &str, arguments: &[&[u8]]) -> Result<Value> {
        let commands = self.definition.manifest.commands;
        let Some(index) = commands.iter().position(|known| known.name == command) else {
            panic!("the plugin has no command '{command}'");
        };
        let (mut input, mut spans) = (Vec::new(), Vec::new());
        add(&mut input, &mut spans, command.as_bytes());
        for argument in arguments {
            add(&mut input, &mut spans, argument);
        }
        let usage = Usage::parse(&commands[index].usage)?;
        let count = spans.len() - 1;
        if count < usage.least() || usage.most().is_some_and(|most| count > most) {
            return Err(Error::new(format!("wrong number of arguments for '{command}' command")));
        }

        let request = RawRequest {
            input: input.as_slice().into(),
            spans: spans.as_slice().into(),
            session: Session_TO::from_ptr(RRef::new(&self.session), TD_Opaque),
        };
        let mut tree = Tree::default();
        let sink = Sink_TO::from_ptr(RMut::new(&mut tree), TD_Opaque);
        self.running.call(u32::try_from(index)?, request, sink);
        tree.finish()
    }

    /// Cancels the requests: from now on [`Request::cancelled`](crate::Request::cancelled) is true.
    pub fn cancel(&self) {
        let (flag, changed) = &self.session.cancelled;
        *flag.lock().unwrap_or_else(PoisonError::into_inner) = true;
        changed.notify_all();
    }

    /// Returns the reports of [`Request::progress`](crate::Request::progress) since the last call,
    /// in order.
    pub fn progress(&self) -> Vec<(u64, u64, String)> {
        let progress = &self.session.progress;
        std::mem::take(&mut *progress.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sets the time that [`Request::time`](crate::Request::time) returns from now on.
    pub fn set_time(&self, time: SystemTime) {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        self.session.time.store(u64::try_from(since).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Begins a stream: [`Streamed::begin`](crate::Streamed::begin).
    ///
    /// # Errors
    /// The error of `begin`.
    pub fn begin_stream(&self) -> Result<()> {
        self.running.stream_begin().into_result().map_err(Error::new)
    }

    /// Returns the next commands of the stream, each as its name and its arguments:
    /// [`Streamed::next`](crate::Streamed::next). `None` if there is nothing to send now.
    ///
    /// # Errors
    /// The error of `next`.
    pub fn next_of_stream(&self) -> Result<Option<Vec<Vec<Vec<u8>>>>> {
        let next = self.running.stream_next().into_result().map_err(Error::new)?;
        let ROption::RSome(bytes) = next else { return Ok(None) };
        let (mut reader, mut spans, mut all) = (CommandReader::new(&bytes), Vec::new(), Vec::new());
        while reader.next(&mut spans)?.is_some() {
            all.push(spans.iter().map(|span| span.part_of(&bytes).to_vec()).collect());
        }
        Ok(Some(all))
    }

    /// Ends the stream: [`Streamed::end`](crate::Streamed::end).
    pub fn end_stream(&self) {
        self.running.stream_end();
    }

    /// Returns the whole state as commands, and ends the stream.
    ///
    /// # Errors
    /// As [`begin_stream`](Self::begin_stream) and [`next_of_stream`](Self::next_of_stream).
    pub fn stream(&self) -> Result<Vec<Vec<Vec<u8>>>> {
        self.begin_stream()?;
        let mut all = Vec::new();
        while let Some(commands) = self.next_of_stream()? {
            all.extend(commands);
        }
        self.end_stream();
        Ok(all)
    }

    /// Returns the result of [`Saved::save`](crate::Saved::save); `None` where the state is not
    /// saved.
    ///
    /// # Errors
    /// The error of `save`.
    pub fn save(&self) -> Result<Option<Vec<u8>>> {
        match self.running.save() {
            ROk(ROption::RSome(saved)) => Ok(Some(saved.into())),
            ROk(ROption::RNone) => Ok(None),
            RErr(message) => Err(Error::new(message)),
        }
    }

    /// Passes saved state to [`Saved::restore`](crate::Saved::restore).
    ///
    /// # Errors
    /// The error of `restore`.
    pub fn restore(&self, saved: &[u8]) -> Result<()> {
        self.running.restore(saved.into()).into_result().map_err(Error::new)
    }
}

/// Starts a plugin, runs one command and drops the plugin: for commands that need no earlier call.
///
/// ```
/// # use plugin_api::{Request, plugin};
/// # plugin! { commands: { "twice" "NUMBER" => twice, "Doubles."; } }
/// # fn twice(request: &Request) -> plugin_api::Result<i64> { Ok(request.integer(0)? * 2) }
/// use plugin_api::testing::call_once;
///
/// assert_eq!(call_once(&PLUGIN, "twice", &["21"]), Ok(42.into()));
/// assert!(call_once(&PLUGIN, "twice", &["x"]).is_err());
/// assert!(call_once(&PLUGIN, "twice", &[]).is_err());
/// ```
///
/// # Errors
/// As [`Plugin::start`] and [`Plugin::call`].
///
/// # Panics
/// As [`Plugin::call`].
pub fn call_once<S: State>(
    definition: &'static Definition<S>,
    command: &str,
    arguments: &[&str],
) -> Result<Value> {
    Plugin::start(definition)?.call(command, arguments)
}

fn add(input: &mut Vec<u8>, spans: &mut Vec<Span>, argument: &[u8]) {
    let place = |length| u32::try_from(length).unwrap_or(u32::MAX);
    spans.push(Span { start: place(input.len()), length: place(argument.len()) });
    input.extend_from_slice(argument);
}

fn raw(command: crate::abi::Command, plugin: RStr<'_>) -> RawCommand {
    RawCommand {
        name: command.name.into(),
        usage: command.usage.into(),
        help: command.help.into(),
        plugin: plugin.into(),
    }
}
