//! A note on each thread of the plugin code that it may be running.

use std::{cell::Cell, ptr};

use crate::runtime::client_handle::ClientHandle;

/// Where a thread is. A pointer is valid while the thread is inside [`within`].
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// In no session, and in no plugin that the host knows of.
    Elsewhere,
    /// In a session, which has a note of its own of the command that it runs.
    Session(*const ClientHandle),
    /// In this plugin's code of this name.
    Plugin(*const str, &'static str),
}

thread_local! {
    // Constant and without a destructor, so that a signal handler may read it.
    static PLACE: Cell<Place> = const { Cell::new(Place::Elsewhere) };
}

/// Where this thread is.
pub(super) fn here() -> Place {
    PLACE.try_with(Cell::get).unwrap_or(Place::Elsewhere)
}

/// Runs a session.
pub fn in_session<R>(handle: &ClientHandle, run: impl FnOnce() -> R) -> R {
    within(Place::Session(ptr::from_ref(handle)), run)
}

/// Runs code of a plugin that no session has asked for.
pub fn in_plugin<R>(plugin: &str, operation: &'static str, run: impl FnOnce() -> R) -> R {
    within(Place::Plugin(ptr::from_ref(plugin), operation), run)
}

fn within<R>(place: Place, run: impl FnOnce() -> R) -> R {
    /// Takes the note back, also where `run` panics.
    struct Back(Place);

    impl Drop for Back {
        fn drop(&mut self) {
            PLACE.set(self.0);
        }
    }

    let _back = Back(PLACE.replace(place));
    run()
}
