//! File descriptors, when there are none left.

use std::{fs::File, io};

/// A descriptor in reserve: given up for a moment, it lets a newcomer be told that there are none.
#[derive(Debug)]
pub struct ReservedFd(Option<File>);

impl ReservedFd {
    /// Takes one into reserve, where the system gives one.
    #[must_use]
    pub fn take() -> Self {
        Self(if cfg!(unix) { File::open("/dev/null").ok() } else { None })
    }

    /// Does something with the descriptor free, and takes one again. `None`, with nothing done, where
    /// there was none to lend.
    pub fn lend<T>(&mut self, act: impl FnOnce() -> T) -> Option<T> {
        let lent = self.0.take().map(|reserved_fd| {
            drop(reserved_fd);
            act()
        });
        self.restock();
        lent
    }

    /// Takes one into reserve again, unless there is one. Returns whether there is one now.
    pub fn restock(&mut self) -> bool {
        if self.0.is_none() {
            *self = Self::take();
        }
        self.0.is_some()
    }
}

/// Lets this process open as many files as its owner may allow it: common defaults are for programs
/// with few clients.
pub fn raise_descriptor_limit() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            log::debug!("the limit on open files stays as it is: {error}");
        }
    }
}

/// How many files this process may have open at once; `None` where there is no such limit.
#[must_use]
pub fn descriptor_limit() -> Option<u64> {
    #[cfg(unix)]
    {
        rustix::process::getrlimit(rustix::process::Resource::Nofile).current
    }
    #[cfg(not(unix))]
    {
        None
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
    #[cfg(windows)]
    {
        use windows_sys::Win32::{Foundation::ERROR_TOO_MANY_OPEN_FILES, Networking::WinSock};
        let code = error.raw_os_error();
        code == Some(WinSock::WSAEMFILE)
            || code.map(i32::cast_unsigned) == Some(ERROR_TOO_MANY_OPEN_FILES)
    }
}
