//! Notes for each thread which code of a plugin it runs outside of any session.

use std::{cell::Cell, ptr};

/// Code of a plugin: the plugin's name, valid while its thread is inside [`in_plugin`], and the
/// operation.
pub type PluginCode = (*const str, &'static str);

thread_local! {
    // Constant and without a destructor, so that a signal handler may read it.
    static PLACE: Cell<Option<PluginCode>> = const { Cell::new(None) };
}

/// Returns the code of a plugin that this thread runs outside of any session.
#[must_use]
pub fn here() -> Option<PluginCode> {
    PLACE.try_with(Cell::get).unwrap_or_default()
}

/// Runs code of a plugin outside of any session.
pub fn in_plugin<R>(plugin: &str, operation: &'static str, run: impl FnOnce() -> R) -> R {
    /// Restores the note when it drops, also after a panic in `run`.
    struct Restore(Option<PluginCode>);

    impl Drop for Restore {
        fn drop(&mut self) {
            PLACE.set(self.0);
        }
    }

    let _restore = Restore(PLACE.replace(Some((ptr::from_ref(plugin), operation))));
    run()
}
