//! Threads of the client.

use std::thread;

use crate::error::Error;

/// Starts a thread that nobody joins; it ends with its work or with the process.
pub fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.map(drop).map_err(|source| Error::Io { operation: "start a thread", source })
}
