//! A request of a session about the rollouts of a fleet.

/// A request of a session about the rollouts of a fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolloutRequest<'a> {
    /// Begins to push a file.
    Begin {
        /// The session's number.
        session: u64,
        /// The file's name.
        file: &'a [u8],
        /// Its size in bytes, as text.
        size: &'a [u8],
        /// The text of its signature file; empty if there is none.
        signature: &'a [u8],
    },
    /// Pushes a piece of a file.
    Part {
        /// The session's number.
        session: u64,
        /// The upload's number, as text.
        upload: &'a [u8],
        /// The piece.
        piece: &'a [u8],
    },
    /// Ends the push of a file, and offers the file to the fleet.
    End {
        /// The session's number.
        session: u64,
        /// The upload's number, as text.
        upload: &'a [u8],
    },
    /// Lists the rollouts.
    List,
    /// Puts the version of this plugin before back.
    RollBack(&'a [u8]),
    /// Ends the rollout of this plugin.
    Forget(&'a [u8]),
}
