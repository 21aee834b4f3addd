//! The binary contract between host and plugin: `abi_stable` types and nothing else.
//!
//! The layout of everything here is checked when a library is probed, so any change of a plain
//! struct below needs a new major [`API_VERSION`]. A minor version may extend the prefix type
//! [`Root`] and the traits, whose method tables are prefix types too: new fields and methods go at
//! the end and have a default. New facts about a plugin or a command that are plain text go into
//! their `attributes`, which change no layout.

#![allow(missing_docs, reason = "`sabi_trait` generates public items without documentation")]
#![allow(non_local_definitions, reason = "as above")]
#![allow(unsafe_code, reason = "the derives generate it; none is written here")]

use abi_stable::{
    StableAbi,
    library::RootModule,
    package_version_strings, sabi_trait,
    sabi_types::{RMut, RRef, VersionStrings},
    std_types::{RArc, RBox, ROption, RResult, RSlice, RStr, RString, RVec, Tuple2},
};

/// The version of this contract, `major.minor.patch`. A host loads plugins of its own major version
/// and of any minor version.
pub const API_VERSION: &str = env!("CARGO_PKG_VERSION");

/// The root module of a plugin library. The one symbol that the host looks up leads here.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = RootRef)))]
#[sabi(missing_field(panic))]
pub struct Root {
    /// The [`API_VERSION`] that the plugin was built with.
    pub api_version: RStr<'static>,
    /// Returns the plugin's name, version and commands.
    pub manifest: extern "C" fn() -> Manifest,
    /// Creates the plugin's one instance. The error text is for people.
    #[sabi(last_prefix_field)]
    pub create: extern "C" fn(HostObject) -> RResult<InstanceObject, RString>,
}

impl RootModule for RootRef {
    abi_stable::declare_root_module_statics! {RootRef}
    const BASE_NAME: &'static str = "dropin_plugin";
    const NAME: &'static str = "dropin_plugin";
    const VERSION_STRINGS: VersionStrings = package_version_strings!();
}

/// A plugin's description of itself. All of it lies in the library's own memory.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct Manifest {
    pub name: RStr<'static>,
    pub version: RStr<'static>,
    pub commands: RSlice<'static, Command>,
    /// Further facts, by name. Known: `threads` = `untracked`, which means that the library is
    /// never unloaded.
    pub attributes: RSlice<'static, Tuple2<RStr<'static>, RStr<'static>>>,
}

/// One command of a plugin. Its place in [`Manifest::commands`] is its index in
/// [`Instance::call`].
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct Command {
    pub name: RStr<'static>,
    pub usage: RStr<'static>,
    pub help: RStr<'static>,
    /// Further facts, by name. Known, each with the value `true`: `writes`, which means that the
    /// command changes the plugin's state, and `idempotent`, which means that it may be repeated.
    pub attributes: RSlice<'static, Tuple2<RStr<'static>, RStr<'static>>>,
}

/// A part of [`RawRequest::input`], in bytes.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub start: u32,
    pub length: u32,
}

impl Span {
    /// Returns this part of `bytes`; nothing if it is not inside.
    #[must_use]
    pub fn part_of(self, bytes: &[u8]) -> &[u8] {
        let rest = bytes.get(self.start as usize..).unwrap_or_default();
        rest.get(..self.length as usize).unwrap_or_default()
    }
}

/// A request as it crosses the boundary. It has spans instead of slices, so that the host can reuse
/// one list for every request of a session.
#[repr(C)]
#[derive(StableAbi)]
pub struct RawRequest<'a> {
    pub input: RSlice<'a, u8>,
    /// The command's name, then the arguments; each lies inside `input`.
    pub spans: RSlice<'a, Span>,
    pub session: SessionObject<'a>,
}

/// The address of a session's client.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct RawPeer {
    /// The address in network order; an IPv4 address takes the first four octets.
    pub octets: [u8; 16],
    pub ipv6: bool,
    pub port: u16,
    pub scope: u32,
}

/// A live session, as a worker may see it.
#[repr(C)]
#[derive(StableAbi, Clone)]
pub struct RawSession {
    pub id: u64,
    pub peer: RawPeer,
    pub name: RString,
    pub age_millis: u64,
    pub idle_millis: u64,
    pub commands: u64,
}

/// A command in the host's registry.
#[repr(C)]
#[derive(StableAbi, Clone)]
pub struct RawCommand {
    pub name: RString,
    pub usage: RString,
    pub help: RString,
    /// Empty for the host's own commands.
    pub plugin: RString,
}

/// A plugin that the host serves.
#[repr(C)]
#[derive(StableAbi, Clone)]
pub struct RawPlugin {
    pub name: RString,
    pub version: RString,
    pub generation: u64,
    pub file: RString,
    pub commands: RVec<RString>,
}

/// The calling session and everything that it may see. Lent for one call.
#[sabi_trait]
pub trait Session: Send + Sync {
    fn id(&self) -> u64;
    fn peer(&self) -> RawPeer;
    fn name(&self) -> RString;
    fn cancelled(&self) -> bool;
    /// Returns true as soon as the request is cancelled, and false after `millis` milliseconds.
    fn wait(&self, millis: u64) -> bool;
    fn commands(&self) -> RVec<RawCommand>;
    #[sabi(last_prefix_field)]
    fn sessions(&self) -> RVec<RawSession>;
    /// Returns the loaded plugins. Since 1.1.
    fn plugins(&self) -> RVec<RawPlugin> {
        RVec::new()
    }
    /// Reports progress. `total` is 0 where it is not known. Since 1.2.
    fn progress(&self, _done: u64, _total: u64, _text: RStr<'_>) {}
    /// Returns the name of the key that the session logged in with; empty where there is none.
    /// Since 1.3.
    fn key(&self) -> RString {
        RString::new()
    }
    /// Returns `user` or `admin`. Since 1.3.
    fn role(&self) -> RString {
        RString::new()
    }
    /// Returns the time of the call, in milliseconds since 1970: when a journal is replayed, that
    /// of the first call. 0 means the present time. Since 1.4.
    fn time_millis(&self) -> u64 {
        0
    }
}

/// The destination of a reply. Pieces arrive in order: a list or a map first announces the number
/// of items or pairs that follow.
#[sabi_trait]
pub trait Sink {
    fn ok(&mut self);
    fn text(&mut self, text: RSlice<'_, u8>);
    fn integer(&mut self, value: i64);
    fn float(&mut self, value: f64);
    fn boolean(&mut self, value: bool);
    fn null(&mut self);
    fn list(&mut self, items: u64);
    fn map(&mut self, pairs: u64);
    fn error(&mut self, kind: RStr<'_>, message: RSlice<'_, u8>);
    /// Discards everything that this reply has written.
    #[sabi(last_prefix_field)]
    fn reset(&mut self);
}

/// The host's services for one plugin. The plugin holds them for as long as it lives.
#[sabi_trait]
pub trait Services: Send + Sync + 'static {
    fn version(&self) -> RString;
    fn uptime_millis(&self) -> u64;
    /// Returns whether the host logs this level. Levels are those of the `log` crate: 1 is error, 5
    /// is trace.
    fn log_enabled(&self, level: u32) -> bool;
    #[sabi(last_prefix_field)]
    fn log(&self, level: u32, target: RStr<'_>, message: RStr<'_>);
    /// Creates the plugin's private directory where it does not exist, and returns its path. Since
    /// 1.1.
    fn data_dir(&self) -> RResult<RString, RString> {
        RResult::RErr(RString::from("this host provides no directories"))
    }
}

/// A running plugin. Dropped before its library is closed.
#[sabi_trait]
pub trait Instance: Send + Sync + 'static {
    fn call(&self, command: u32, request: RawRequest<'_>, sink: SinkObject<'_>);
    /// Returns whether `save` and `restore` carry state.
    fn saves(&self) -> bool;
    fn save(&self) -> RResult<ROption<RVec<u8>>, RString>;
    #[sabi(last_prefix_field)]
    fn restore(&self, saved: RSlice<'_, u8>) -> RResult<(), RString>;
    /// Stops the plugin's tracked threads and waits until they have ended. Since 1.1.
    fn stop(&self) {}
    /// Returns whether `configure` reads its text. Since 1.2.
    fn configures(&self) -> bool {
        false
    }
    /// Passes the text of the plugin's configuration, which is empty where there is no file. Since
    /// 1.2.
    fn configure(&self, _text: RStr<'_>) -> RResult<(), RString> {
        RResult::ROk(())
    }
    /// Returns whether the state travels as commands, by the three methods below, instead of by
    /// `save`. Since 1.4.
    fn streams(&self) -> bool {
        false
    }
    /// Begins a stream of the whole state. Since 1.4.
    fn stream_begin(&self) -> RResult<(), RString> {
        RResult::ROk(())
    }
    /// Returns the next commands of the stream, as [`crate::commands`] describes them; nothing if
    /// all has been sent that has changed so far. Since 1.4.
    fn stream_next(&self) -> RResult<ROption<RVec<u8>>, RString> {
        RResult::ROk(ROption::RNone)
    }
    /// Ends the stream. Since 1.4.
    fn stream_end(&self) {}
}

/// A lent [`Session`].
pub type SessionObject<'a> = Session_TO<'a, RRef<'a, ()>>;
/// A lent [`Sink`].
pub type SinkObject<'a> = Sink_TO<'a, RMut<'a, ()>>;
/// The host's [`Services`], shared with one plugin.
pub type HostObject = Services_TO<RArc<()>>;
/// A plugin's [`Instance`], owned by the host.
pub type InstanceObject = Instance_TO<RBox<()>>;
