//! State: data that a plugin keeps between calls and over a change of its code.

use crate::{
    commands::Commands,
    error::{Error, Result},
    host::Host,
};

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
/// No worker of the plugin runs during the handover. See [`Streamed`] for a large state.
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

/// State that is handed over as a list of commands, in pieces, while calls go on. For states that
/// are too large to be copied while callers wait; a type implements either this or [`Saved`].
///
/// The host calls [`begin`](Self::begin), then [`next`](Self::next) until it returns false, then
/// [`end`](Self::end). It keeps the commands of each piece in a file, or runs them on the next
/// version at once. Commands that change the state run meanwhile; for the last calls of `next` the
/// host holds them back, so that these return the rest of the changes.
///
/// A restart, and the next version, run the commands in order by the plugin's own workers. They
/// must make the same state, whatever the state was when `begin` was called: a command that adds
/// to a value does not belong here, one that sets it does.
pub trait Streamed: State {
    /// Begins a stream of the whole state. A stream that has not ended is given up.
    ///
    /// # Errors
    /// An error ends the hand-over or the snapshot: the state and its version stay.
    fn begin(&self) -> Result<()>;

    /// Appends the next commands, at best some 100 KiB: what the stream has not had yet, and then
    /// what has changed since. Returns false if there is nothing to send now.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    fn next(&self, commands: &mut Commands) -> Result<bool>;

    /// Ends the stream, also before all was sent: changes need not be noted any longer.
    fn end(&self);

    /// Takes over state that an earlier version of the plugin has saved by [`Saved`].
    ///
    /// # Errors
    /// An error rejects this version. Without an implementation there is always one.
    fn restore(&self, _saved: &[u8]) -> Result<()> {
        Err(Error::new("this version does not read state that an earlier version has saved"))
    }
}

impl State for () {
    fn create(_: &Host) -> Result<Self> {
        Ok(())
    }
}
