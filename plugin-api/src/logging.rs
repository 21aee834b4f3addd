//! Forwards a plugin's `log` macros and panics to the host's log.
//!
//! A library has its own copy of the `log` crate and of the panic hook. Both are set once for each
//! loaded version, and drop their reference to the host together with the instance.

use std::{
    any::Any,
    panic,
    sync::{PoisonError, RwLock},
};

use crate::host::Host;

static HOST: RwLock<Option<Host>> = RwLock::new(None);

struct ToHost;

pub(crate) fn start(host: Host) {
    *HOST.write().unwrap_or_else(PoisonError::into_inner) = Some(host);
    if log::set_logger(&ToHost).is_ok() {
        log::set_max_level(log::LevelFilter::Trace);
        // The hook captures nothing, so its box is empty and nothing leaks when the library is
        // closed.
        panic::set_hook(Box::new(|info| {
            let place = info.location().map_or_else(String::new, |at| format!(" at {at}"));
            log::error!("panic{place}: {}", panic_message(info.payload()));
        }));
    }
}

pub(crate) fn stop() {
    let host = HOST.write().unwrap_or_else(PoisonError::into_inner).take();
    drop(host);
}

fn with_host<T: Default>(act: impl FnOnce(&Host) -> T) -> T {
    let host = HOST.read().unwrap_or_else(PoisonError::into_inner).clone();
    host.map(|host| act(&host)).unwrap_or_default()
}

/// Returns the message of a panic.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

impl log::Log for ToHost {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        with_host(|host| host.log_enabled(metadata.level()))
    }

    fn log(&self, record: &log::Record<'_>) {
        with_host(|host| host.log(record));
    }

    fn flush(&self) {}
}
