//! The binary contract between host and plugin: `abi_stable` types and nothing else.
//!
//! Everything here is checked by layout when a library is probed, so a change of any plain struct
//! below is a new major [`API_VERSION`]. What may grow in a minor version are the prefix type
//! [`Root`] and the traits (their method tables are prefix types too): new fields and methods go
//! at the end, with a default. New facts about a plugin or a command that are only text go into
//! their `attributes`, which need no change of layout at all.

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

/// The version of this contract, `major.minor.patch`. A host loads plugins of its own major
/// version, whatever their minor version is.
pub const API_VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a plugin library exports: the one symbol that the host looks for leads here.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = RootRef)))]
#[sabi(missing_field(panic))]
pub struct Root {
    /// [`API_VERSION`] as it was when the plugin was built.
    pub api_version: RStr<'static>,
    /// What the plugin is and which commands it answers.
    pub manifest: extern "C" fn() -> Manifest,
    /// Makes the plugin's one instance. The error is for people.
    #[sabi(last_prefix_field)]
    pub create: extern "C" fn(HostObject) -> RResult<InstanceObject, RString>,
}

impl RootModule for RootRef {
    abi_stable::declare_root_module_statics! {RootRef}
    const BASE_NAME: &'static str = "dropin_plugin";
    const NAME: &'static str = "dropin_plugin";
    const VERSION_STRINGS: VersionStrings = package_version_strings!();
}

/// What a plugin says of itself. All of it lies in the library's own memory.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct Manifest {
    pub name: RStr<'static>,
    pub version: RStr<'static>,
    pub commands: RSlice<'static, Command>,
    /// Further facts, by name. Known: `threads` = `untracked` (never unload this library).
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
    /// Further facts, by name. None is known yet.
    pub attributes: RSlice<'static, Tuple2<RStr<'static>, RStr<'static>>>,
}

/// One piece of [`RawRequest::input`], in bytes.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub start: u32,
    pub length: u32,
}

/// A request as it crosses the boundary. Spans instead of slices, so that the host reuses one
/// list for every request of a session.
#[repr(C)]
#[derive(StableAbi)]
pub struct RawRequest<'a> {
    pub input: RSlice<'a, u8>,
    /// The command's name first, then the arguments; each lies inside `input`.
    pub spans: RSlice<'a, Span>,
    pub session: SessionObject<'a>,
}

/// Where a session's client is.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct RawPeer {
    /// In network order; an IPv4 address takes the first four.
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

/// A command in the host's table.
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

/// The session that asks, and what it may see. Lent for one call.
#[sabi_trait]
pub trait Session: Send + Sync {
    fn id(&self) -> u64;
    fn peer(&self) -> RawPeer;
    fn name(&self) -> RString;
    fn cancelled(&self) -> bool;
    /// Returns true as soon as the request is cancelled, false after `millis`.
    fn wait(&self, millis: u64) -> bool;
    fn commands(&self) -> RVec<RawCommand>;
    #[sabi(last_prefix_field)]
    fn sessions(&self) -> RVec<RawSession>;
    /// Since 1.1.
    fn plugins(&self) -> RVec<RawPlugin> {
        RVec::new()
    }
    /// `total` is 0 where it is not known. Since 1.2.
    fn progress(&self, _done: u64, _total: u64, _text: RStr<'_>) {}
    /// The name of the key that let the session in; empty where none did. Since 1.3.
    fn key(&self) -> RString {
        RString::new()
    }
    /// `user` or `admin`. Since 1.3.
    fn role(&self) -> RString {
        RString::new()
    }
}

/// Where a reply goes. Pieces arrive in order: a list or a map first says how many items or pairs
/// follow.
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
    /// Takes back what this reply has written.
    #[sabi(last_prefix_field)]
    fn reset(&mut self);
}

/// What the host does for one plugin. The plugin holds it while it lives.
#[sabi_trait]
pub trait Services: Send + Sync + 'static {
    fn version(&self) -> RString;
    fn uptime_millis(&self) -> u64;
    /// `level` as in the `log` crate: 1 error to 5 trace.
    fn log_enabled(&self, level: u32) -> bool;
    #[sabi(last_prefix_field)]
    fn log(&self, level: u32, target: RStr<'_>, message: RStr<'_>);
    /// Makes the plugin's private directory, unless it is there, and gives its path. Since 1.1.
    fn data_dir(&self) -> RResult<RString, RString> {
        RResult::RErr(RString::from("this host gives no directories"))
    }
}

/// One living plugin. Dropped before its library is closed.
#[sabi_trait]
pub trait Instance: Send + Sync + 'static {
    fn call(&self, command: u32, request: RawRequest<'_>, sink: SinkObject<'_>);
    /// Whether `save` and `restore` carry state.
    fn saves(&self) -> bool;
    fn save(&self) -> RResult<ROption<RVec<u8>>, RString>;
    #[sabi(last_prefix_field)]
    fn restore(&self, saved: RSlice<'_, u8>) -> RResult<(), RString>;
    /// Tells the plugin's tracked threads to stop and waits for their end. Since 1.1.
    fn stop(&self) {}
    /// Whether `configure` takes anything. Since 1.2.
    fn configures(&self) -> bool {
        false
    }
    /// Hands over the text of the plugin's configuration, which is empty where there is none.
    /// Since 1.2.
    fn configure(&self, _text: RStr<'_>) -> RResult<(), RString> {
        RResult::ROk(())
    }
}

/// A lent [`Session`].
pub type SessionObject<'a> = Session_TO<'a, RRef<'a, ()>>;
/// A lent [`Sink`].
pub type SinkObject<'a> = Sink_TO<'a, RMut<'a, ()>>;
/// The host's [`Services`], shared with one plugin.
pub type HostObject = Services_TO<RArc<()>>;
/// A plugin's [`Instance`], owned by the host.
pub type InstanceObject = Instance_TO<RBox<()>>;
