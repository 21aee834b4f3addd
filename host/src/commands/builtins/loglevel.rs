//! The built-in `loglevel`, which shows or sets the log level.

use std::{sync::LazyLock, time::Instant};

use log::LevelFilter;
use plugin_engine::call::Call;
use protocol::Encoder;
use telemetry::log_throttle::NamedThrottle;

use crate::{
    commands::{caller::Caller, flow::Flow},
    runtime::logging,
};

/// Limits the log lines about a change of the level, for each new level.
static CHANGES: LazyLock<NamedThrottle> = LazyLock::new(NamedThrottle::default);

pub(super) fn run(call: &Call<'_>, caller: &Caller<'_>, reply: &mut Encoder) -> Flow {
    let Some(wanted) = call.argument(0) else {
        reply.text(level_name(logging::level()).as_bytes());
        return Flow::Next;
    };
    let wanted = String::from_utf8_lossy(wanted.get(..128).unwrap_or(wanted));
    match wanted.parse::<LevelFilter>() {
        Ok(level) => {
            // Logged while the more verbose of the two levels is in force, so that it is seen.
            let log_change = || {
                let peer = caller.session.peer;
                CHANGES.info(level.as_str(), Instant::now(), || {
                    format!("{peer} set the log level to {}", level_name(level))
                });
            };
            let before = logging::level();
            if before > level {
                log_change();
            }
            logging::set_level(level);
            if before <= level {
                log_change();
            }
            reply.ok();
        }
        Err(_) => {
            let levels: Vec<String> = LevelFilter::iter().map(level_name).collect();
            let message =
                format!("unknown log level '{wanted}', use one of: {}", levels.join(", "));
            reply.error("ERR", message.as_bytes());
        }
    }
    Flow::Next
}

fn level_name(level: LevelFilter) -> String {
    level.as_str().to_ascii_lowercase()
}
