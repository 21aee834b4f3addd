//! State: data that a plugin keeps between calls and over a change of its code.

use crate::{error::Result, host::Host};

/// The state of a plugin between calls. There is one value for each loaded version of the plugin;
/// the threads of all sessions use it concurrently.
pub trait State: Sized + Send + Sync + 'static {
    /// Creates the state when the plugin is loaded.
    ///
    /// The host also calls it in the probe, a separate process that tries a library before it is
    /// loaded. There the state is dropped and the library unloaded again, which the process must
    /// survive.
    ///
    /// # Errors
    /// An error rejects the library; its message goes into the host's log.
    fn create(host: &Host) -> Result<Self>;
}

/// State that is handed over: to a new version of the plugin while the host runs, and through the
/// state directory over a restart.
///
/// No worker of the plugin runs during the handover.
pub trait Saved: State {
    /// Returns everything that [`restore`](Self::restore) needs, in a format that other versions of
    /// the plugin can read too.
    ///
    /// # Errors
    /// An error keeps this version in service.
    fn save(&self) -> Result<Vec<u8>>;

    /// Takes over the state that another version saved. Called once, before the first worker runs.
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
