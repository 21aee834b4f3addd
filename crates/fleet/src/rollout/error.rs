//! The reasons for which a request about a rollout fails.

use std::time::Duration;

use plugin_engine::trust::signature::BadSignature;

/// The reason for which a request about a rollout fails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RolloutError {
    /// This host takes no plugins from the fleet.
    #[error(
        "cannot roll out a plugin from this host: it runs without --plugin-key, and only hosts \
         that require signatures take part in rollouts; start it with --plugin-key FILE"
    )]
    NoKey,
    /// JetStream is not there, or not now.
    #[error("cannot use the fleet's JetStream, which rollouts need (nats-server -js): {0}")]
    Away(String),
    /// A file is no plugin.
    #[error("cannot roll out '{file}': {problem}")]
    File {
        /// The file's name.
        file: String,
        /// The cause and the remedy.
        problem: String,
    },
    /// A file is too large.
    #[error(
        "cannot roll out '{file}': it has {size} bytes, and the limit is {}",
        super::version::LARGEST
    )]
    TooLarge {
        /// The file's name.
        file: String,
        /// Its size in bytes.
        size: usize,
    },
    /// A file has no good signature.
    #[error("cannot roll out '{file}': {cause}")]
    Signature {
        /// The file's name.
        file: String,
        /// The cause.
        cause: BadSignature,
    },
    /// An object cannot be stored, read or trusted.
    #[error("cannot {operation} '{object}': {cause}")]
    Object {
        /// The operation.
        operation: &'static str,
        /// The object's name.
        object: String,
        /// The cause.
        cause: String,
    },
    /// A file cannot be written into the plugins folder.
    #[error("cannot {operation} {path}: {cause}")]
    Folder {
        /// The operation.
        operation: &'static str,
        /// The file.
        path: String,
        /// The cause.
        cause: String,
    },
    /// An upload cannot begin, go on or end.
    #[error("cannot push '{file}': {problem}")]
    Upload {
        /// The file's name, or the upload's id.
        file: String,
        /// The cause and the remedy.
        problem: String,
    },
    /// The hosts have this content already, or are about to.
    #[error("the fleet has '{0}' with this very content already; nothing changes")]
    Same(String),
    /// A file that was offered later has been stored sooner.
    #[error("'{0}' is not rolled out: a file that was offered later has taken its place")]
    Overtaken(String),
    /// No plugin of this name has been rolled out.
    #[error("no plugin '{0}' has been rolled out; `fleet rollout` lists those that have")]
    Unknown(String),
    /// There is nothing to roll back to.
    #[error(
        "cannot roll back plugin '{0}': the fleet has no version before this one; push the \
         wanted file, or `fleet forget {0}` and remove its file on the hosts"
    )]
    NothingBefore(String),
    /// Other hosts change the same entry all the time.
    #[error("cannot change the rollout of plugin '{0}': other hosts change it; try again")]
    Contended(String),
    /// The fleet did not answer in time.
    #[error("no answer of the fleet within {} s; `fleet rollout` shows its state", .0.as_secs())]
    TimedOut(Duration),
}
