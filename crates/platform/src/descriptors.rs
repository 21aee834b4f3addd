//! Raises the limit on file descriptors, and keeps one in reserve.

use std::{fs::File, io};

/// A file descriptor in reserve: closed for a moment, it makes room to reject a new client with a
/// reason.
#[derive(Debug)]
pub struct ReservedFd(Option<File>);

impl ReservedFd {
    /// Reserves a descriptor, if the system provides one.
    #[must_use]
    pub fn take() -> Self {
        Self(if cfg!(unix) { File::open("/dev/null").ok() } else { None })
    }

    /// Frees the descriptor, runs `act`, and reserves one again. Returns `None`, without running
    /// `act`, if none was in reserve.
    pub fn lend<T>(&mut self, act: impl FnOnce() -> T) -> Option<T> {
        let lent = self.0.take().map(|reserved_fd| {
            drop(reserved_fd);
            act()
        });
        self.restock();
        lent
    }

    /// Reserves a descriptor again, unless there is one. Returns true if there is one now.
    pub fn restock(&mut self) -> bool {
        if self.0.is_none() {
            *self = Self::take();
        }
        self.0.is_some()
    }
}

/// Raises this process's limit on open files to its hard limit: common defaults suit programs with
/// few clients.
pub fn raise_descriptor_limit() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            log::debug!("cannot raise the limit on open files: {error}");
        }
    }
}

/// Returns the limit on open files of this process; `None` if there is none.
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

/// Returns true if the process or the system has run out of descriptors.
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
