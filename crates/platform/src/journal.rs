//! Detects systemd's journal behind standard error.

/// Returns true if standard error goes to systemd's journal. The variable alone does not prove
/// that: programs inherit it although their output goes elsewhere.
#[must_use]
pub fn logs_to_journal() -> bool {
    #[cfg(unix)]
    {
        let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
        rustix::fs::fstat(std::io::stderr())
            .is_ok_and(|data| format!("{}:{}", data.st_dev, data.st_ino) == stream)
    }
    #[cfg(not(unix))]
    false
}
