//! Whether standard error is systemd's journal.

/// Whether what is written to standard error arrives in systemd's journal, by the word of systemd
/// and by that of the system: the variable alone is inherited by programs whose output goes elsewhere.
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
