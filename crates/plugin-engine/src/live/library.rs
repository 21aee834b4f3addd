//! Opens dynamic libraries; it has the only unsafe code around plugins.
//!
//! Data from a library is valid only while the library is open. Plain data is copied here
//! before it leaves this module. The plugin's instance cannot be copied: it stays inside [`Live`],
//! which also owns the library and drops it last.
#![allow(unsafe_code, reason = "see above")]

use std::{
    cell::UnsafeCell,
    error::Error,
    mem::ManuallyDrop,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use abi_stable::{
    StableAbi,
    abi_stability::abi_checking::check_layout_compatibility,
    erased_types::TD_Opaque,
    library::{AbiHeader, AbiHeaderRef, LibHeader, LibraryError, ROOT_MODULE_LOADER_NAME_WITH_NUL},
    sabi_types::{RMut, RRef},
    std_types::{RArc, ROption},
};
use plugin_api::abi::{
    API_VERSION, InstanceObject, RawRequest, RootRef, Services, Services_TO, Session, Session_TO,
    Sink, Sink_TO, Span,
};
use protocol::Encoder;

use super::{
    gate::{Gate, Inside},
    generation::Generation,
    host_services::ContractSession,
    manifest::Manifest,
    plugin::Plugin,
};
use crate::{
    call::{Answer, Call, Worker},
    load_error::Refusal,
};

/// An open plugin library whose root is known to have the expected layout.
pub struct Library {
    // Dangles once the handle is closed; both are dropped together.
    root: RootRef,
    handle: ManuallyDrop<libloading::Library>,
    /// True if it has, or may have, threads that nobody else knows of: it is never closed then.
    untracked_threads: bool,
}

/// The way in which the layout of the library's types is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Compares it. The comparison leaves pointers into the library in process-wide tables, so that
    /// nothing may be compared again once it is closed: only for the probe's process.
    Check,
    /// Skips the comparison, since a probe has compared the very same bytes.
    Approved,
}

impl Library {
    /// Opens a library. Its constructors run.
    ///
    /// # Errors
    /// The reason for which it is refused. [`Layout::Approved`] also returns the reasons that a
    /// probe finds, except for a different layout.
    pub fn open(path: &Path, layout: Layout) -> Result<Self, Refusal> {
        // SAFETY: opening runs the library's own constructors, and nothing can prove that they are
        // sound. The person who puts a file into the plugins folder vouches for it, and the host
        // opens only bytes that have been opened in a probe before.
        let open = || unsafe { open_now(path) };
        let handle = platform::retry_while_in_use(|| match open() {
            // The loader's error hides its code; opening the file returns the same error.
            Err(error) => match platform::open_complete(path) {
                Err(held) if platform::is_in_use(&held) => Err(held),
                _ => Ok(Err(error)),
            },
            opened => Ok(opened),
        });
        let handle = handle
            .map_err(|_| Refusal::InUse)?
            .map_err(|error| Refusal::NotALibrary { error: describe(&error, path) })?;
        // SAFETY: the name is that of a static `LibHeader`, by abi_stable's convention, of which
        // `AbiHeaderRef` is a pointer to the first field. A library that uses this very unlikely
        // name for something else breaks this; its header then fails the check of the magic string
        // below, unless the symbol is smaller than the string.
        let header: AbiHeaderRef = *unsafe {
            handle
                .get::<AbiHeaderRef>(ROOT_MODULE_LOADER_NAME_WITH_NUL.as_bytes())
                .map_err(|_| Refusal::NoPlugin)?
        };
        if !header.is_valid() {
            let show = |header: &AbiHeader| format!("{}.{}", header.abi_major, header.abi_minor);
            return Err(Refusal::AbiStable { versions: [show(&header), show(&AbiHeader::VALUE)] });
        }
        let header =
            header.upgrade().map_err(|error| Refusal::Layout { report: copy_text(error) })?;
        check_version(header)?;
        if layout == Layout::Check {
            check_layout(header)?;
        }
        // SAFETY: the layout of the root module has been compared just above, or by a probe on a
        // file of the same content.
        let root = unsafe { header.unchecked_layout::<RootRef>() }
            .map_err(|error| Refusal::Manifest { problem: error.to_string() })?;
        let handle = ManuallyDrop::new(handle);
        let mut library = Self { root, handle, untracked_threads: false };
        library.untracked_threads = library.manifest().untracked_threads;
        Ok(library)
    }

    /// Returns a copy of the plugin's manifest.
    #[must_use]
    pub fn manifest(&self) -> Manifest {
        let raw = self.root.manifest()();
        Manifest::copy(&raw, self.root.api_version().as_str())
    }

    /// Makes the plugin's instance.
    ///
    /// # Errors
    /// The error that the plugin's `create` returned.
    pub fn create(self, services: impl Services + 'static) -> Result<Live, Refusal> {
        let services = Services_TO::from_ptr(RArc::new(services), TD_Opaque);
        match self.root.create()(services).into_result() {
            Ok(object) => Ok(Live::new(Instance { object, library: self })),
            // Copied, since the error's memory is the library's.
            Err(error) => Err(Refusal::Create { error: error.as_str().to_owned() }),
        }
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        if !self.untracked_threads {
            // SAFETY: the field is dropped here alone, once. Pointers into the library are `root`,
            // which is dropped with it, and the instance, which `Instance` drops before.
            unsafe { ManuallyDrop::drop(&mut self.handle) }
        }
    }
}

/// A plugin's instance together with its library.
struct Instance {
    // Fields drop in this order: the object's code and memory are the library's.
    object: InstanceObject,
    library: Library,
}

/// A plugin's instance behind its gate. It can be ended, and its library closed, while others still
/// hold a reference: they find the gate retired.
pub struct Live {
    gate: Gate,
    /// Empty once the plugin is ended.
    instance: UnsafeCell<Option<Instance>>,
    /// True once the plugin is ended; its lock makes sure that this happens once.
    ended: Mutex<bool>,
}

// SAFETY: of the fields only the cell is not `Sync` by itself. `inside` reads it under a guard of
// the gate, or a keep-alive; `end` writes it after `Gate::is_drained`, when neither is out nor ever
// given again, and under the lock of `ended`. So a read and a write never meet. What is read is
// shared between threads as `Instance`, and ended by whichever thread, so that it has to be `Sync`
// and `Send`: `InstanceObject` is by its trait's bounds, `libloading::Library` by its own
// implementation, and `RootRef` is a pointer to constants.
unsafe impl Sync for Live where Instance: Send + Sync {}

impl Live {
    fn new(instance: Instance) -> Self {
        Self {
            gate: Gate::default(),
            instance: UnsafeCell::new(Some(instance)),
            ended: Mutex::new(false),
        }
    }

    /// Drops the plugin's instance; its library stays open.
    ///
    /// # Errors
    /// The plugin has been ended.
    pub fn into_library(self) -> Result<Library, Refusal> {
        let instance = self.instance.into_inner();
        let ended = || Refusal::Create { error: ENDED.into() };
        let Instance { object, library } = instance.ok_or_else(ended)?;
        drop(object);
        Ok(library)
    }

    /// Calls a worker, which writes the reply; waits while the gate is closed.
    fn call(&self, command: u32, call: &Call<'_>, reply: &mut Encoder) -> Answer {
        let Some(guard) = self.gate.enter() else { return Answer::Retired };
        let Some(instance) = self.inside(&guard) else { return Answer::Retired };
        let session = ContractSession { context: call.context };
        let request = RawRequest {
            input: call.input.into(),
            spans: call.spans.into(),
            session: Session_TO::from_ptr(RRef::new(&session), TD_Opaque),
        };
        let sink = Sink_TO::from_ptr(RMut::new(reply), TD_Opaque);
        instance.object.call(command, request, sink);
        Answer::Written
    }

    /// Calls a worker with a session and a sink of the caller's own. Returns false if the plugin
    /// has been ended.
    pub fn call_raw<'a>(
        &self,
        command: u32,
        input: (&'a [u8], &'a [Span]),
        session: &'a impl Session,
        sink: &'a mut impl Sink,
    ) -> bool {
        let Some(guard) = self.gate.enter() else { return false };
        let Some(instance) = self.inside(&guard) else { return false };
        let request = RawRequest {
            input: input.0.into(),
            spans: input.1.into(),
            session: Session_TO::from_ptr(RRef::new(session), TD_Opaque),
        };
        instance.object.call(command, request, Sink_TO::from_ptr(RMut::new(sink), TD_Opaque));
        true
    }

    /// Stops the plugin's tracked threads and waits for their end.
    pub fn stop(&self) {
        let Some(guard) = self.gate.enter_closed() else { return };
        if let Some(instance) = self.inside(&guard) {
            instance.object.stop();
        }
    }

    fn inside<'a>(&'a self, _: &'a impl Inside) -> Option<&'a Instance> {
        // SAFETY: the guard or keep-alive, which the reference cannot outlive, keeps the gate from
        // being over, and the cell is written only after that. That it is of this very gate is for
        // the callers to see to, all of which are in this `impl`.
        unsafe { (*self.instance.get()).as_ref() }
    }
}

impl Plugin for Live {
    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn worker(self: Arc<Self>, generation: Arc<Generation>, index: u32) -> Box<dyn Worker> {
        Box::new(LibraryWorker { plugin: self, generation, index })
    }

    fn saves(&self) -> bool {
        let Some(guard) = self.gate.enter_closed() else { return false };
        self.inside(&guard).is_some_and(|instance| instance.object.saves())
    }

    fn save(&self) -> Result<Option<Vec<u8>>, String> {
        let Some(guard) = self.gate.enter_closed() else { return Err(ENDED.into()) };
        let Some(instance) = self.inside(&guard) else { return Err(ENDED.into()) };
        match instance.object.save().into_result() {
            // Copied, since the memory is the library's.
            Ok(ROption::RSome(state)) => Ok(Some(state.as_slice().to_vec())),
            Ok(ROption::RNone) => Ok(None),
            Err(error) => Err(error.as_str().to_owned()),
        }
    }

    fn restore(&self, state: &[u8]) -> Result<(), String> {
        let Some(guard) = self.gate.enter_closed() else { return Err(ENDED.into()) };
        let Some(instance) = self.inside(&guard) else { return Err(ENDED.into()) };
        let restored = instance.object.restore(state.into()).into_result();
        restored.map_err(|error| error.as_str().to_owned())
    }

    fn streams(&self) -> bool {
        let Some(guard) = self.gate.enter_closed() else { return false };
        self.inside(&guard).is_some_and(|instance| instance.object.streams())
    }

    fn stream_begin(&self) -> Result<(), String> {
        let Some(guard) = self.gate.enter_closed() else { return Err(ENDED.into()) };
        let Some(instance) = self.inside(&guard) else { return Err(ENDED.into()) };
        let begun = instance.object.stream_begin().into_result();
        begun.map_err(|error| error.as_str().to_owned())
    }

    fn stream_next(&self) -> Result<Option<Vec<u8>>, String> {
        // Not as a call: a hand-over does not wait for it.
        let Some(keep_alive) = self.gate.keep_alive() else { return Err(ENDED.into()) };
        let Some(instance) = self.inside(&keep_alive) else { return Err(ENDED.into()) };
        match instance.object.stream_next().into_result() {
            // Copied, since the memory is the library's.
            Ok(ROption::RSome(commands)) => Ok(Some(commands.as_slice().to_vec())),
            Ok(ROption::RNone) => Ok(None),
            Err(error) => Err(error.as_str().to_owned()),
        }
    }

    fn stream_end(&self) {
        let Some(keep_alive) = self.gate.keep_alive() else { return };
        if let Some(instance) = self.inside(&keep_alive) {
            instance.object.stream_end();
        }
    }

    fn configures(&self) -> bool {
        let Some(guard) = self.gate.enter_closed() else { return false };
        self.inside(&guard).is_some_and(|instance| instance.object.configures())
    }

    fn configure(&self, text: &str) -> Result<(), String> {
        // Not as a call: one that never returns would keep a new version from taking over.
        let Some(keep_alive) = self.gate.keep_alive() else { return Err(ENDED.into()) };
        let Some(instance) = self.inside(&keep_alive) else { return Err(ENDED.into()) };
        let configured = instance.object.configure(text.into()).into_result();
        // Copied, since the error's memory is the library's.
        configured.map_err(|error| error.as_str().to_owned())
    }

    // A plugin with untracked threads keeps its code mapped.
    fn end(&self) -> bool {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if *ended {
            return true;
        }
        if !self.gate.is_drained() {
            return false;
        }
        *ended = true;
        // SAFETY: the gate is drained, so no guard or keep-alive is out and none will be given, and
        // reads happen under one alone; the lock keeps a second `end` away.
        let instance = unsafe { (*self.instance.get()).take() };
        drop(instance);
        true
    }
}

/// Calls a command of a library in this process.
struct LibraryWorker {
    plugin: Arc<Live>,
    generation: Arc<Generation>,
    index: u32,
}

impl Worker for LibraryWorker {
    fn call(&self, call: &Call<'_>, reply: &mut Encoder) -> Answer {
        let answer = self.plugin.call(self.index, call, reply);
        if reply.failed() {
            self.generation.count_error();
        }
        answer
    }
}

/// The error for a caller that still holds a reference to an ended plugin.
const ENDED: &str = "the plugin has been ended";

/// Makes a crash end this process at once, without a dialog that a person has to close and without
/// a report to wait for.
pub fn disable_crash_dialogs() {
    #[cfg(windows)]
    {
        use windows_sys::Win32::System::Diagnostics::Debug::{
            SEM_FAILCRITICALERRORS, SEM_NOGPFAULTERRORBOX, SEM_NOOPENFILEERRORBOX, SetErrorMode,
        };
        let mode = SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX | SEM_NOOPENFILEERRORBOX;
        // SAFETY: it takes a number, by value, and sets a setting of the process.
        unsafe { SetErrorMode(mode) };
    }
}

/// Opens a library and binds all its symbols at once: a missing symbol must show in the probe and
/// not at a call.
///
/// # Safety
/// The library's constructors run.
unsafe fn open_now(path: &Path) -> Result<libloading::Library, libloading::Error> {
    #[cfg(unix)]
    {
        use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
        // SAFETY: passed on to the caller.
        unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }.map(Into::into)
    }
    #[cfg(not(unix))]
    // SAFETY: passed on to the caller.
    unsafe {
        libloading::Library::new(path)
    }
}

/// Compares the layout of the library's types with the host's, recursively.
///
/// abi_stable accepts an implementation that has more than the interface asks for. For a plugin
/// built for an older minor version the host has more: the plugin ignores that, and the method
/// tables tell the host at run time which methods the plugin lacks.
fn check_layout(header: &LibHeader) -> Result<(), Refusal> {
    let refuse = |report: String| Err(Refusal::Layout { report });
    let Some(plugin) = header.layout() else {
        return refuse("it was built without a description of its types".into());
    };
    let (host, minor) = (RootRef::LAYOUT, |version: &str| -> Option<u64> {
        version.split('.').nth(1)?.parse().ok()
    });
    let older = minor(header.version_strings().version.as_str()) < minor(API_VERSION);
    let (interface, implementation) = if older { (plugin, host) } else { (host, plugin) };
    match check_layout_compatibility(interface, implementation) {
        Ok(()) => Ok(()),
        Err(errors) => refuse(differences(&errors.to_string())),
    }
}

/// Returns the essential part of a long report: the errors with the expected and the found types.
fn differences(report: &str) -> String {
    /// The length of the result, in bytes.
    const SHOWN: usize = 600;
    let lines = report.lines().skip_while(|line| !line.trim_start().starts_with("Error:"));
    let mut text = lines.map(str::trim).collect::<Vec<_>>().join(" ");
    if text.len() > SHOWN {
        let cut = (0..=SHOWN).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
        text.truncate(cut);
        text.push_str(" ...");
    }
    text
}

fn check_version(header: &LibHeader) -> Result<(), Refusal> {
    let plugin = header.version_strings().version.as_str();
    let major = |version: &str| version.split('.').next().map(str::to_owned);
    if major(plugin) == major(API_VERSION) {
        return Ok(());
    }
    Err(Refusal::ApiVersion { versions: [plugin.to_owned(), API_VERSION.to_owned()] })
}

/// Copies the error's text, since the error may point into the library.
fn copy_text(error: LibraryError) -> String {
    differences(&format!("Error: {error}"))
}

/// Returns the loader's own message, which the error keeps in its source. A message of Windows has
/// a placeholder for the file's name.
fn describe(error: &libloading::Error, path: &Path) -> String {
    let message = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    if cfg!(windows) { message.replace("%1", &path.to_string_lossy()) } else { message }
}
