//! A running plugin behind its gate, wherever its code runs.

use std::sync::Arc;

use super::{gate::Gate, generation::Generation, manifest::CommandFacts};
use crate::{call::Worker, process::status::ProcessStatus};

/// A running plugin behind its gate: in the host, or in processes of its own.
///
/// It can be ended while others still hold a reference: they find the gate retired.
pub trait Plugin: Send + Sync {
    /// Returns the gate that every call passes.
    fn gate(&self) -> &Gate;

    /// Makes the worker of a command, by the command's index in the manifest.
    fn worker(self: Arc<Self>, generation: Arc<Generation>, index: u32) -> Box<dyn Worker>;

    /// Returns true if the plugin hands its state over.
    fn saves(&self) -> bool;

    /// Returns the plugin's state; `None` if it keeps none. The gate should be closed.
    ///
    /// # Errors
    /// The message that the plugin returned, or the reason for which it cannot be asked.
    fn save(&self) -> Result<Option<Vec<u8>>, String>;

    /// Hands state to the plugin, before its first call.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    fn restore(&self, state: &[u8]) -> Result<(), String>;

    /// Returns true if the state travels as commands, by the three methods below, instead of by
    /// [`save`](Self::save).
    fn streams(&self) -> bool {
        false
    }

    /// Begins a stream of the whole state.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    fn stream_begin(&self) -> Result<(), String> {
        Ok(())
    }

    /// Returns the next commands of the stream; `None` if all has been sent that has changed so
    /// far. The gate may be open.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    fn stream_next(&self) -> Result<Option<Vec<u8>>, String> {
        Ok(None)
    }

    /// Ends the stream.
    fn stream_end(&self) {}

    /// Returns true if the plugin accepts a configuration.
    fn configures(&self) -> bool;

    /// Hands the plugin the text of its configuration, which is empty if there is none. The gate
    /// may be open, and may be closed meanwhile.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    fn configure(&self, text: &str) -> Result<(), String>;

    /// Ends the plugin if the gate is drained. Returns true if the plugin is ended now.
    fn end(&self) -> bool;

    /// Returns true if its code is unmapped by the end of its process, whatever threads it has.
    fn is_process(&self) -> bool {
        false
    }

    /// Returns true if its memory is lost: it is in a process, and that has ended.
    fn has_lost_state(&self) -> bool {
        false
    }

    /// Takes the list of commands that its process has sent last, if that is new.
    fn new_commands(&self) -> Option<Vec<CommandFacts>> {
        None
    }

    /// Returns true if commands may join its list while it serves.
    fn changes_commands(&self) -> bool {
        false
    }

    /// Returns a worker that runs a recorded command again which is not in its first list; `None`
    /// if its list does not change, or its process does not serve.
    fn late_worker(&self, _name: &str) -> Option<Box<dyn Worker>> {
        None
    }

    /// Starts its processes again now, and ends a quarantine. Returns false if it has none.
    fn restart(&self) -> bool {
        false
    }

    /// Describes its processes; `None` if it runs in the host.
    fn status(&self) -> Option<ProcessStatus> {
        None
    }
}
