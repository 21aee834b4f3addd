//! The export: connects an author's functions to the one symbol that the host looks up.
//!
//! The shims here are the only place where a plugin's panics are caught. An unwind that reached an
//! `abi_stable` extern function would abort the host, so an author's code runs only inside
//! `guarded`.
#![allow(unsafe_code, reason = "a request is lent across the boundary, see `lend`")]

use std::{
    any::Any,
    marker::PhantomData,
    mem::{self, ManuallyDrop},
    panic::{self, AssertUnwindSafe},
};

use abi_stable::{
    erased_types::TD_Opaque,
    library::{CheckTypeLayout, LibHeader, RootModuleResult},
    prefix_type::WithMetadata,
    staticref,
    std_types::{RErr, ROk, ROption, RResult, RSlice, RStr, RString, RVec, Tuple2},
};

pub use crate::detect::{
    Configure, Detect, NotConfigured, NotSaved, NotStreamed, SavedFns, StreamedFns,
};
use crate::{
    abi::{
        API_VERSION, Command, HostObject, Instance, Instance_TO, InstanceObject, Manifest,
        RawRequest, Root, RootRef, SinkObject,
    },
    commands::Commands,
    error::{Error, Result},
    host::Host,
    logging::{self, panic_message},
    reply::Reply,
    request::Request,
    state::State,
    worker::Function,
};

/// The plugin that a library exports. Only [`plugin!`](crate::plugin!) implements it.
pub trait Exported: 'static {
    /// The plugin's state between calls.
    type State: State;
    /// The plugin's definition.
    const DEFINITION: &'static Definition<Self::State>;
}

/// Everything that [`plugin!`](crate::plugin!) knows about a plugin whose state is `S`.
pub struct Definition<S: 'static> {
    /// The plugin's name, version and commands.
    pub manifest: Manifest,
    /// The functions of the manifest's commands, in the same order.
    pub functions: &'static [Function<S>],
    /// Returns the functions that hand the state over, if it is saved.
    pub saved: fn() -> Option<SavedFns<S>>,
    /// Returns the functions that stream the state, if it is streamed.
    pub streamed: fn() -> Option<StreamedFns<S>>,
    /// Returns the function that configures the state, if it is configured.
    pub configured: fn() -> Option<Configure<S>>,
}

/// Creates one command of a [`Manifest`].
#[must_use]
pub const fn command(name: &'static str, usage: &'static str, help: &'static str) -> Command {
    command_with((name, usage, help), &[])
}

/// Creates one command of a [`Manifest`] with attributes: its name, its usage line and its help.
#[must_use]
pub const fn command_with(
    (name, usage, help): (&'static str, &'static str, &'static str),
    attributes: &'static [Tuple2<RStr<'static>, RStr<'static>>],
) -> Command {
    let attributes = slice(attributes);
    Command { name: text(name), usage: text(usage), help: text(help), attributes }
}

/// Converts text for a [`Manifest`].
#[must_use]
pub const fn text(text: &'static str) -> RStr<'static> {
    RStr::from_str(text)
}

/// Converts a list for a [`Manifest`].
#[must_use]
pub const fn slice<T>(items: &'static [T]) -> RSlice<'static, T> {
    RSlice::from_slice(items)
}

/// Creates an attribute of a [`Manifest`].
#[must_use]
pub const fn pair(name: &'static str, value: &'static str) -> Tuple2<RStr<'static>, RStr<'static>> {
    Tuple2(text(name), text(value))
}

/// Returns the header behind the symbol that the host looks up.
#[must_use]
pub const fn header<E: Exported>() -> LibHeader {
    extern "C" fn construct<E: Exported>() -> RootModuleResult {
        abi_stable::library::__call_root_module_loader(|| RootRef(RootOf::<E>::ROOT.as_prefix()))
    }
    // SAFETY: `construct` returns a `RootRef`, the type that is named here.
    unsafe { LibHeader::from_constructor::<RootRef>(construct::<E>, CheckTypeLayout::Yes) }
}

struct RootOf<E>(PhantomData<E>);

impl<E: Exported> RootOf<E> {
    staticref!(const ROOT: WithMetadata<Root> = WithMetadata::new(Root {
        api_version: RStr::from_str(API_VERSION),
        manifest: Self::manifest,
        create: Self::create,
    }));

    extern "C" fn manifest() -> Manifest {
        E::DEFINITION.manifest
    }

    extern "C" fn create(host: HostObject) -> RResult<InstanceObject, RString> {
        match Running::start(E::DEFINITION, host) {
            Ok(running) => ROk(Instance_TO::from_value(running, TD_Opaque)),
            Err(error) => RErr(error.message().into()),
        }
    }
}

/// The running plugin behind an [`InstanceObject`].
pub(crate) struct Running<S: State> {
    /// Dropped by `Drop`, before the host, since its drop may still log.
    state: ManuallyDrop<S>,
    saved: Option<SavedFns<S>>,
    streamed: Option<StreamedFns<S>>,
    configured: Option<Configure<S>>,
    definition: &'static Definition<S>,
    host: Host,
}

impl<S: State> Running<S> {
    pub(crate) fn start(definition: &'static Definition<S>, object: HostObject) -> Result<Self> {
        let host = Host::new(object);
        logging::start(host.clone());
        match guarded("create", || S::create(&host)) {
            Ok(state) => {
                let (saved, streamed) = ((definition.saved)(), (definition.streamed)());
                let (state, configured) = (ManuallyDrop::new(state), (definition.configured)());
                Ok(Self { state, saved, streamed, configured, definition, host })
            }
            Err(error) => {
                host.stop_threads();
                logging::stop();
                Err(error)
            }
        }
    }
}

impl<S: State> Instance for Running<S> {
    fn call(&self, command: u32, request: RawRequest<'_>, sink: SinkObject<'_>) {
        let mut reply = Reply { sink };
        let Some(function) = self.definition.functions.get(command as usize) else {
            return reply.error(&Error::new("the plugin has no such command"));
        };
        let caught = panic::catch_unwind(AssertUnwindSafe(|| {
            lend(request, &self.host, |request| function(&self.state, request, &mut reply));
        }));
        if let Err(payload) = caught {
            let name = self.definition.manifest.commands.get(command as usize);
            reply.reset();
            reply.error(&panicked(name.map_or("", |command| command.name.as_str()), payload));
        }
    }

    fn saves(&self) -> bool {
        self.saved.is_some() || self.streamed.is_some()
    }

    fn save(&self) -> RResult<ROption<RVec<u8>>, RString> {
        if self.streamed.is_some() {
            return RErr("its state needs a host for plugin API 1.4".into());
        }
        let Some(saved) = &self.saved else { return ROk(ROption::RNone) };
        match guarded("save", || (saved.save)(&self.state)) {
            Ok(bytes) => ROk(ROption::RSome(bytes.into())),
            Err(error) => RErr(error.message().into()),
        }
    }

    fn restore(&self, bytes: RSlice<'_, u8>) -> RResult<(), RString> {
        let restore = self.saved.as_ref().map(|saved| saved.restore);
        let restore = restore.or(self.streamed.as_ref().map(|streamed| streamed.restore));
        let Some(restore) = restore else { return ROk(()) };
        match guarded("restore", || restore(&self.state, bytes.as_slice())) {
            Ok(()) => ROk(()),
            Err(error) => RErr(error.message().into()),
        }
    }

    fn stop(&self) {
        self.host.stop_threads();
    }

    fn configures(&self) -> bool {
        self.configured.is_some()
    }

    fn configure(&self, text: RStr<'_>) -> RResult<(), RString> {
        let Some(configure) = self.configured else { return ROk(()) };
        match guarded("configure", || configure(&self.state, text.as_str())) {
            Ok(()) => ROk(()),
            Err(error) => RErr(error.message().into()),
        }
    }

    fn streams(&self) -> bool {
        self.streamed.is_some()
    }

    fn stream_begin(&self) -> RResult<(), RString> {
        let Some(streamed) = &self.streamed else { return ROk(()) };
        match guarded("begin", || (streamed.begin)(&self.state)) {
            Ok(()) => ROk(()),
            Err(error) => RErr(error.message().into()),
        }
    }

    fn stream_next(&self) -> RResult<ROption<RVec<u8>>, RString> {
        let Some(streamed) = &self.streamed else { return ROk(ROption::RNone) };
        let mut commands = Commands::default();
        match guarded("next", || (streamed.next)(&self.state, &mut commands)) {
            Ok(true) => ROk(ROption::RSome(commands.into_bytes().into())),
            Ok(false) => ROk(ROption::RNone),
            Err(error) => RErr(error.message().into()),
        }
    }

    fn stream_end(&self) {
        let Some(streamed) = &self.streamed else { return };
        // The panic hook has logged a panic.
        let _ = guarded("end", || {
            (streamed.end)(&self.state);
            Ok(())
        });
    }
}

impl<S: State> Drop for Running<S> {
    fn drop(&mut self) {
        self.host.stop_threads();
        let state = &mut self.state;
        // SAFETY: nothing reads the field after this, and a value is dropped once.
        let dropped = guarded("drop", || unsafe {
            ManuallyDrop::drop(state);
            Ok(())
        });
        // The panic hook has logged the panic, and no caller is left to return it to.
        let _ = dropped;
        logging::stop();
    }
}

/// Lends a request to a worker.
fn lend<R>(raw: RawRequest<'_>, host: &Host, call: impl FnOnce(&Request) -> R) -> R {
    // SAFETY: both lifetimes are extended only inside `request`, which lives on this stack frame,
    // is handed out by shared reference alone, is neither `Clone` nor `Copy`, keeps its fields
    // inside this crate, and whose methods borrow from `&self`. So nothing reaches the worker that
    // outlives `raw` and `host`. `RawRequest` is covariant in its lifetime but for the session
    // object, which is only called through.
    let request = unsafe {
        Request {
            raw: mem::transmute::<RawRequest<'_>, RawRequest<'static>>(raw),
            host: mem::transmute::<&Host, &'static Host>(host),
        }
    };
    call(&request)
}

/// Runs an author's code and turns a panic into an error.
fn guarded<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    panic::catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|payload| Err(panicked(what, payload)))
}

fn panicked(what: &str, payload: Box<dyn Any + Send>) -> Error {
    let error = Error::new(format!("'{what}' panicked: {}", panic_message(&*payload)));
    // The drop of the payload may panic too; such a payload is leaked.
    if let Err(again) = panic::catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        mem::forget(again);
    }
    error
}

/// Exports a plugin: its name, its state and its commands.
///
/// ```
/// use plugin_api::{Request, Result, plugin};
///
/// plugin! {
///     commands: {
///         "shout" "TEXT.." => shout, "TEXT in capitals.";
///     }
/// }
///
/// fn shout(request: &Request) -> Result<String> {
///     Ok(request.joined_text()?.to_uppercase())
/// }
/// ```
///
/// A command consists of a name, a [usage line](crate::Usage), a function and one sentence of help.
/// The function's return value becomes the reply; see [`IntoReply`](crate::IntoReply). Attributes
/// may stand between the function and the help, each followed by a comma:
/// - `writes` if the command changes the plugin's state. The host runs such commands of a plugin
///   one at a time, and can keep a journal of them: see [`guide::state`](crate::guide::state);
/// - `idempotent` if running it twice is as good as running it once: a promise to those who repeat
///   a call whose reply was lost. The host itself repeats none.
///
/// These may precede `commands`, in this order:
/// - `name: "other",` if the plugin's name differs from its package's name;
/// - `state: Type,` whose [`State::create`](crate::State::create) creates the plugin's state. The
///   functions then take it first: `fn get(state: &Type, request: &Request) -> …`. If it also
///   implements [`Saved`](crate::Saved), the state is handed over to the plugin's next version; if
///   it implements [`Configured`](crate::Configured), a file beside the library configures it.
///   [`Streamed`](crate::Streamed) does the same as `Saved` for a large state;
/// - `threads: untracked,` if the plugin starts threads in other ways than by
///   [`Host::spawn`](crate::Host::spawn). Its library is then never unloaded.
///
/// The macro also defines a `static PLUGIN`, for [`testing`](crate::testing).
#[macro_export]
macro_rules! plugin {
    (name: $name:expr, state: $state:ty, $($rest:tt)*) => {
        $crate::__plugin! { ($name) ($state) stateful $($rest)* }
    };
    (name: $name:expr, $($rest:tt)*) => {
        $crate::__plugin! { ($name) (()) stateless $($rest)* }
    };
    (state: $state:ty, $($rest:tt)*) => {
        $crate::__plugin! { (::core::env!("CARGO_PKG_NAME")) ($state) stateful $($rest)* }
    };
    ($($rest:tt)*) => {
        $crate::__plugin! { (::core::env!("CARGO_PKG_NAME")) (()) stateless $($rest)* }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __plugin {
    (
        ($name:expr) ($state:ty) $kind:ident
        $(threads: $threads:ident,)?
        commands: {
            $($command:literal $usage:literal => $function:expr, $($attribute:ident,)*
                $help:literal;)*
        }
    ) => {
        /// The plugin that this library exports.
        pub static PLUGIN: $crate::export::Definition<$state> = $crate::export::Definition {
            manifest: $crate::abi::Manifest {
                name: $crate::export::text($name),
                version: $crate::export::text(::core::env!("CARGO_PKG_VERSION")),
                commands: $crate::export::slice(&[
                    $($crate::export::command_with(($command, $usage, $help), &[
                        $($crate::__attribute!($attribute),)*
                    ]),)*
                ]),
                attributes: $crate::export::slice(&[
                    $($crate::export::pair("threads", ::core::stringify!($threads)),)?
                ]),
            },
            functions: &[
                $(|_state, request, reply| $crate::IntoReply::write(
                    $crate::__call!($kind $function, _state, request),
                    reply,
                ),)*
            ],
            saved: || {
                #[allow(unused_imports)]
                use $crate::export::NotSaved as _;
                $crate::export::Detect::<$state>(::core::marker::PhantomData).saved()
            },
            streamed: || {
                #[allow(unused_imports)]
                use $crate::export::NotStreamed as _;
                $crate::export::Detect::<$state>(::core::marker::PhantomData).streamed()
            },
            configured: || {
                #[allow(unused_imports)]
                use $crate::export::NotConfigured as _;
                $crate::export::Detect::<$state>(::core::marker::PhantomData).configured()
            },
        };

        const _: () = {
            #[cfg(panic = "abort")]
            ::core::compile_error!(
                "a plugin must be built with `panic = \"unwind\"`, or its panics end the host: \
                 remove `panic = \"abort\"` from the profile in Cargo.toml"
            );

            struct Export;

            impl $crate::export::Exported for Export {
                type State = $state;
                const DEFINITION: &'static $crate::export::Definition<$state> = &PLUGIN;
            }

            // The name is that of `abi_stable::library::ROOT_MODULE_LOADER_NAME`.
            #[unsafe(export_name = "_1as_0lib_1header_0root_bmodule_bloader")]
            static HEADER: $crate::abi_stable::library::LibHeader =
                $crate::export::header::<Export>();
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __attribute {
    (writes) => {
        $crate::export::pair("writes", "true")
    };
    (idempotent) => {
        $crate::export::pair("idempotent", "true")
    };
    ($other:ident) => {
        ::core::compile_error!("the attributes of a command are `writes` and `idempotent`")
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __call {
    (stateful $function:expr, $state:ident, $request:ident) => {
        $function($state, $request)
    };
    (stateless $function:expr, $state:ident, $request:ident) => {
        $function($request)
    };
}
