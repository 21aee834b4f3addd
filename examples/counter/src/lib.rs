//! A counter that goes on over reloads and restarts: state, and its hand-over to the next version.

use std::sync::{Mutex, MutexGuard, PoisonError};

use plugin_api::{Error, Host, Request, Result, Saved, State, Value, plugin};

plugin! {
    state: Counter,
    commands: {
        "counter.add" "[BY]" => add, "Adds BY, or 1; replies the total and the plugin's version.";
        "counter.total" "" => total, "The total.";
    }
}

/// All sessions share it, and call at the same time.
#[derive(Default)]
struct Counter {
    total: Mutex<i64>,
}

impl Counter {
    fn total(&self) -> MutexGuard<'_, i64> {
        self.total.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State for Counter {
    fn create(_: &Host) -> Result<Self> {
        Ok(Self::default())
    }
}

// The host saves the old version's state and restores it in the new version, while calls wait.
// The two may be years apart: read what older versions wrote.
impl Saved for Counter {
    fn save(&self) -> Result<Vec<u8>> {
        Ok(self.total().to_string().into_bytes())
    }

    fn restore(&self, saved: &[u8]) -> Result<()> {
        *self.total() = std::str::from_utf8(saved)?.parse()?;
        Ok(())
    }
}

fn add(counter: &Counter, request: &Request) -> Result<Value> {
    let by = if request.is_empty() { 1 } else { request.integer(0)? };
    let mut total = counter.total();
    *total = total.checked_add(by).ok_or_else(|| Error::new("the total would overflow"))?;
    Ok(Value::map([("total", (*total).into()), ("version", env!("CARGO_PKG_VERSION").into())]))
}

fn total(counter: &Counter, _: &Request) -> i64 {
    *counter.total()
}

#[cfg(test)]
mod tests {
    use plugin_api::testing::Plugin;

    use super::*;

    #[test]
    fn total_grows_by_what_is_added() {
        let plugin = Plugin::start(&PLUGIN).unwrap();
        plugin.call("counter.add", &[]).unwrap();
        plugin.call("counter.add", &["41"]).unwrap();
        assert_eq!(plugin.call("counter.total", &[]), Ok(42.into()));
        assert!(plugin.call("counter.add", &["many"]).is_err());
    }

    #[test]
    fn overflow_is_an_error_and_changes_nothing() {
        let plugin = Plugin::start(&PLUGIN).unwrap();
        plugin.call("counter.add", &["9223372036854775807"]).unwrap();
        assert!(plugin.call("counter.add", &[]).is_err());
        assert_eq!(plugin.call("counter.total", &[]), Ok(i64::MAX.into()));
    }

    #[test]
    fn next_version_goes_on_with_the_total() {
        let old = Plugin::start(&PLUGIN).unwrap();
        old.call("counter.add", &["7"]).unwrap();
        let next = Plugin::start(&PLUGIN).unwrap();
        next.restore(&old.save().unwrap().unwrap()).unwrap();
        assert_eq!(next.call("counter.total", &[]), Ok(7.into()));
    }
}
