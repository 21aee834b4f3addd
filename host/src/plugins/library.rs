//! Dynamic libraries: the only unsafe code in the host.
//!
//! What comes out of a library may be used only while the library is open. Two things see to that:
//! whatever is plain data is copied here before it leaves, and what is not, the plugin's
//! [`Instance`], owns the library that it came from and drops it last.
#![allow(unsafe_code, reason = "see above")]

use std::{fmt, mem, path::Path};

use abi_stable::{
    erased_types::TD_Opaque,
    library::{AbiHeader, AbiHeaderRef, LibHeader, LibraryError, ROOT_MODULE_LOADER_NAME_WITH_NUL},
    sabi_types::{RMut, RRef},
    std_types::{RArc, ROption},
};
use plugin_api::abi::{
    API_VERSION, InstanceObject, RawRequest, RootRef, Services, Services_TO, Session_TO, Sink_TO,
};

use super::{boundary::Asking, manifest::Manifest, refusal::Refusal};
use crate::{table::Call, wire::Encoder};

/// An open plugin library whose root is known to have the expected layout.
pub struct Library {
    root: RootRef,
    // Closed when this drops, after which `root` dangles; both go together.
    _handle: libloading::Library,
}

/// Whether the layout of the library's types is compared with the host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Compare it. The comparison leaves pointers into the library in tables of the process, so
    /// that it must never be closed: only for the probe's process.
    Check,
    /// A probe has compared the very same bytes.
    Approved,
}

impl Library {
    /// Opens a library. Its constructors run.
    ///
    /// # Errors
    /// Why it is not taken. With [`Layout::Approved`] the reasons that a probe would find are
    /// still looked for, but for the layout.
    pub fn open(path: &Path, layout: Layout) -> Result<Self, Refusal> {
        // SAFETY: opening runs the library's own constructors, and nothing can prove of them that
        // they are sound. Who puts a file into the plugins folder vouches for it, and the host
        // opens only bytes that have been opened in a probe before.
        let handle = unsafe { libloading::Library::new(path) }
            .map_err(|error| Refusal::NotALibrary { error: describe(&error) })?;
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
        let header = header.upgrade().map_err(|error| Refusal::Layout { report: say(error) })?;
        check_version(header)?;
        if layout == Layout::Check {
            header
                .ensure_layout::<RootRef>()
                .map_err(|error| Refusal::Layout { report: say(error) })?;
        }
        // SAFETY: the layout of the root module has been compared just above, or by a probe on a
        // file of the same content.
        let root = unsafe { header.unchecked_layout::<RootRef>() }
            .map_err(|error| Refusal::Manifest { problem: error.to_string() })?;
        Ok(Self { root, _handle: handle })
    }

    /// What the plugin says of itself.
    #[must_use]
    pub fn manifest(&self) -> Manifest {
        let raw = self.root.manifest()();
        Manifest::copy(&raw, self.root.api_version().as_str())
    }

    /// Makes the plugin's instance.
    ///
    /// # Errors
    /// What the plugin's `create` returns.
    pub fn create(self, services: impl Services + 'static) -> Result<Instance, Refusal> {
        let services = Services_TO::from_ptr(RArc::new(services), TD_Opaque);
        match self.root.create()(services).into_result() {
            Ok(object) => Ok(Instance { object, library: self }),
            // Copied, since the error's memory is the library's.
            Err(error) => Err(Refusal::Create { error: error.as_str().to_owned() }),
        }
    }
}

/// A plugin's instance together with its library.
pub struct Instance {
    // Fields drop in order: what the plugin made, whose code and memory are the library's, first.
    object: InstanceObject,
    library: Library,
}

impl Instance {
    /// Calls a worker; the reply is written.
    pub fn call(&self, command: u32, call: &Call<'_>, reply: &mut Encoder) {
        let asking = Asking { call };
        let request = RawRequest {
            input: call.input.into(),
            spans: call.spans.into(),
            session: Session_TO::from_ptr(RRef::new(&asking), TD_Opaque),
        };
        let sink = Sink_TO::from_ptr(RMut::new(reply), TD_Opaque);
        self.object.call(command, request, sink);
    }

    /// Whether the plugin hands its state over.
    #[must_use]
    pub fn saves(&self) -> bool {
        self.object.saves()
    }

    /// The plugin's state, where it hands it over.
    ///
    /// # Errors
    /// The plugin's own message.
    pub fn save(&self) -> Result<Option<Vec<u8>>, String> {
        match self.object.save().into_result() {
            Ok(ROption::RSome(state)) => Ok(Some(state.as_slice().to_vec())),
            Ok(ROption::RNone) => Ok(None),
            Err(error) => Err(error.as_str().to_owned()),
        }
    }

    /// Hands state to the plugin.
    ///
    /// # Errors
    /// The plugin's own message.
    pub fn restore(&self, state: &[u8]) -> Result<(), String> {
        let restored = self.object.restore(state.into()).into_result();
        restored.map_err(|error| error.as_str().to_owned())
    }

    /// Stops the plugin's tracked threads.
    pub fn stop(&self) {
        self.object.stop();
    }

    /// Drops what the plugin made, and leaves its code mapped for ever.
    pub fn keep_mapped(self) {
        let Self { object, library } = self;
        drop(object);
        mem::forget(library);
    }
}

fn check_version(header: &LibHeader) -> Result<(), Refusal> {
    let plugin = header.version_strings().version.as_str();
    let major = |version: &str| version.split('.').next().map(str::to_owned);
    if major(plugin) == major(API_VERSION) {
        return Ok(());
    }
    Err(Refusal::ApiVersion { versions: [plugin.to_owned(), API_VERSION.to_owned()] })
}

/// A copy of the error's text: the error may point into the library.
fn say(error: LibraryError) -> String {
    error.to_string()
}

fn describe(error: &dyn fmt::Display) -> String {
    error.to_string()
}
