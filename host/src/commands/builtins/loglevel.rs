//! `loglevel`: what is logged, now and from now on.

use std::{sync::LazyLock, time::Instant};

use log::LevelFilter;
use plugin_engine::call::Call;
use protocol::Encoder;
use telemetry::log_throttle::NamedThrottle;

use crate::{
    commands::{caller::Caller, flow::Flow},
    runtime::logging,
};

/// The log's lines about changes of its level, by the new level.
static CHANGES: LazyLock<NamedThrottle> = LazyLock::new(NamedThrottle::default);

pub(super) fn run(call: &Call<'_>, caller: &Caller<'_>, reply: &mut Encoder) -> Flow {
    let Some(wanted) = call.argument(0) else {
        reply.text(name(logging::level()).as_bytes());
        return Flow::Next;
    };
    let wanted = String::from_utf8_lossy(wanted.get(..128).unwrap_or(wanted));
    match wanted.parse::<LevelFilter>() {
        Ok(level) => {
            // On the old level and on the new one, so that it is seen on whichever shows more.
            let tell = || {
                let peer = caller.session.peer;
                CHANGES.info(level.as_str(), Instant::now(), || {
                    format!("{peer} set the log level to {}", name(level))
                });
            };
            let before = logging::level();
            if before > level {
                tell();
            }
            logging::set_level(level);
            if before <= level {
                tell();
            }
            reply.ok();
        }
        Err(_) => {
            let levels: Vec<String> = LevelFilter::iter().map(name).collect();
            let message = format!("unknown log level '{wanted}', there are: {}", levels.join(", "));
            reply.error("ERR", message.as_bytes());
        }
    }
    Flow::Next
}

fn name(level: LevelFilter) -> String {
    level.as_str().to_ascii_lowercase()
}
