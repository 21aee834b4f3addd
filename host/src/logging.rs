//! The host's log, on standard error.

use std::io::Write;

/// Starts logging. Nothing happens where a logger is there already.
pub fn start(level: log::LevelFilter) {
    let started = env_logger::Builder::new()
        .filter_level(level)
        .format(|out, record| {
            let (style, time) = (out.default_level_style(record.level()), out.timestamp_millis());
            let target =
                record.target().strip_prefix("dropin_host").map_or(record.target(), |_| "host");
            writeln!(
                out,
                "{time} {style}{:<5}{style:#} {target}: {}",
                record.level(),
                record.args()
            )
        })
        .try_init();
    // A test that runs the host in its own process may have set one.
    let _ = started;
}
