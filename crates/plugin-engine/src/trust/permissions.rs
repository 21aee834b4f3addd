//! Libraries, and folders of them, that other users could have changed.

use std::{
    fmt,
    fs::Metadata,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// What others need to be able to do to change a file, or what is in a folder: bits as in `chmod`.
const WRITE: u32 = 0o022;

/// How other users could have changed a library or what is in a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Insecure {
    /// Its group or everybody may write to it.
    Writable {
        /// The file or folder.
        path: PathBuf,
        /// What others may do, as in `chmod`.
        mode: u32,
    },
    /// It is neither this user's nor the system's own.
    Foreign {
        /// The file or folder.
        path: PathBuf,
    },
}

impl Insecure {
    /// Looks at a file or folder as it has been opened, or as its path leads to it. Where the
    /// system tells nothing of rights and owners, all is well.
    ///
    /// # Errors
    /// How others could have changed it.
    pub fn check(path: &Path, opened: &Metadata) -> Result<(), Self> {
        // A sticky folder keeps others from replacing what is there, not from adding to it.
        let mode = platform::mode_for_others(opened);
        if mode & WRITE != 0 {
            return Err(Self::Writable { path: path.to_owned(), mode });
        }
        if platform::is_own(opened) { Ok(()) } else { Err(Self::Foreign { path: path.to_owned() }) }
    }
}

impl fmt::Display for Insecure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Writable { path, mode } => write!(
                out,
                "other users can write to {} (mode bits {mode:03o}); run: chmod go-w {}",
                path.display(),
                path.display()
            )?,
            Self::Foreign { path } => write!(
                out,
                "{} belongs to another user, who could change it; make it the host's user's or \
                 root's",
                path.display()
            )?,
        }
        out.write_str(", or start the host with --allow-insecure-plugins")
    }
}

impl std::error::Error for Insecure {}
