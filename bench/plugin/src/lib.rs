//! Commands for measurements of the host. The Redis module beside this has the same.

use std::{thread, time::Duration};

use plugin_api::{Error, Request, Result, plugin};

#[path = "../../burn.rs"]
mod burn;

/// Maximum duration of one call.
const MOST: Duration = Duration::from_secs(10);

plugin! {
    name: "bench",
    commands: {
        "nop" "" => nop, "Replies OK.";
        "echo" "TEXT" => echo, "Replies TEXT.";
        "sleep" "MILLIS" => sleep, "Waits, then replies OK.";
        "burn" "MICROS" => burn_for, "Keeps a processor busy, then replies OK.";
    }
}

fn nop(_: &Request) {}

fn echo(request: &Request) -> &[u8] {
    request.get(0).unwrap_or_default()
}

fn sleep(request: &Request) -> Result<()> {
    thread::sleep(time(request, Duration::from_millis)?);
    Ok(())
}

fn burn_for(request: &Request) -> Result<()> {
    let micros = time(request, Duration::from_micros)?.as_micros();
    burn::burn(u64::try_from(micros).unwrap_or_default());
    Ok(())
}

fn time(request: &Request, unit: fn(u64) -> Duration) -> Result<Duration> {
    let count = u64::try_from(request.integer(0)?);
    count
        .map(unit)
        .ok()
        .filter(|time| *time <= MOST)
        .ok_or_else(|| Error::new("a time is 0 to 10 seconds"))
}

#[cfg(test)]
mod tests {
    use plugin_api::testing::Plugin;

    use super::*;

    #[test]
    fn commands_do_their_work() {
        let plugin = Plugin::start(&PLUGIN).expect("it starts");
        assert_eq!(plugin.call("nop", &[]), Ok(plugin_api::Value::Ok));
        assert_eq!(plugin.call("echo", &["a b"]), Ok("a b".into()));
        let asked = std::time::Instant::now();
        assert_eq!(plugin.call("sleep", &["20"]), Ok(plugin_api::Value::Ok));
        assert!(asked.elapsed() >= Duration::from_millis(20));
        assert_eq!(plugin.call("burn", &["1"]), Ok(plugin_api::Value::Ok));
        assert!(plugin.call("burn", &["10000001"]).is_err());
        assert!(plugin.call("sleep", &["-1"]).is_err());
    }
}
