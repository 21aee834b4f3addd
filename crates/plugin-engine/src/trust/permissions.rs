//! Detects libraries, and folders of libraries, that other users could have changed.

use std::{
    fs::Metadata,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// The permissions by which others could change a file or the entries of a folder: bits as in
/// `chmod`.
const WRITE: u32 = 0o022;

/// The way in which other users could have changed a library or the entries of a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Insecure {
    /// Its group or everybody may write to it.
    #[error(
        "other users can write to {} (mode bits {mode:03o}); run: chmod go-w {}, or start the host \
         with --allow-insecure-plugins",
        path.display(),
        path.display()
    )]
    Writable {
        /// The file or folder.
        path: PathBuf,
        /// The permissions of others, as bits in `chmod`.
        mode: u32,
    },
    /// It belongs neither to this user nor to the system.
    #[error(
        "{} belongs to another user, who could change it; make it the host's user's or root's, or \
         start the host with --allow-insecure-plugins",
        path.display()
    )]
    Foreign {
        /// The file or folder.
        path: PathBuf,
    },
}

impl Insecure {
    /// Checks the metadata of an opened file, or of the folder at a path. Systems that report no
    /// permissions and owners pass.
    ///
    /// # Errors
    /// Other users may write to it, or it belongs to another user.
    pub fn check(path: &Path, opened: &Metadata) -> Result<(), Self> {
        // A sticky folder prevents others from replacing entries, not from adding them.
        let mode = platform::mode_for_others(opened);
        if mode & WRITE != 0 {
            return Err(Self::Writable { path: path.to_owned(), mode });
        }
        if platform::is_own(opened) { Ok(()) } else { Err(Self::Foreign { path: path.to_owned() }) }
    }
}
