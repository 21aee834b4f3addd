//! State: what a plugin keeps between calls, and how it outlives a change of code.

use crate::{error::Result, host::Host};

/// What a plugin keeps between calls. There is one for each loaded version of the plugin; every
/// session's thread works on it at once.
pub trait State: Sized + Send + Sync + 'static {
    /// Makes the state when the plugin is loaded.
    ///
    /// The host also calls it once for trial, in a process of its own, before a library is taken.
    /// There the state is dropped and the library unloaded again, which the process must survive.
    ///
    /// # Errors
    /// An error refuses the library; its message goes into the host's log.
    fn create(host: &Host) -> Result<Self>;
}

/// State that is handed over: to a new version of the plugin while the host runs, and through the
/// state directory over a restart.
///
/// While it is handed over no worker of the plugin runs.
pub trait Saved: State {
    /// Everything that [`restore`](Self::restore) needs, in a format that also later versions of
    /// the plugin understand.
    ///
    /// # Errors
    /// An error keeps this version in service.
    fn save(&self) -> Result<Vec<u8>>;

    /// Takes over what another version saved. Called once, before the first worker.
    ///
    /// # Errors
    /// An error keeps the other version in service, and this one is dropped.
    fn restore(&self, saved: &[u8]) -> Result<()>;
}

impl State for () {
    fn create(_: &Host) -> Result<Self> {
        Ok(())
    }
}
