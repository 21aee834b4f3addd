//! File descriptors, when there are none left.

use std::{fs::File, io};

/// A descriptor in reserve: given up for a moment, it lets a newcomer be told that there are none.
#[derive(Debug)]
pub struct Spare(Option<File>);

impl Spare {
    /// Takes one into reserve, where the system gives one.
    #[must_use]
    pub fn take() -> Self {
        Self(if cfg!(unix) { File::open("/dev/null").ok() } else { None })
    }

    /// Does something with the descriptor free.
    pub fn lend(&mut self, act: impl FnOnce()) {
        if self.0.take().is_some() {
            act();
        }
        *self = Self::take();
    }
}

/// Whether the system has run out of descriptors.
#[must_use]
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        let code = error.raw_os_error();
        code == Some(rustix::io::Errno::MFILE.raw_os_error())
            || code == Some(rustix::io::Errno::NFILE.raw_os_error())
    }
    #[cfg(not(unix))]
    {
        let _ = error;
        false
    }
}
