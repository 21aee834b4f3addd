//! The time, and a command that sleeps without blocking other sessions.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use jiff::{Timestamp, Zoned, fmt::strtime, tz::TimeZone};
use plugin_api::{Configured, Error, Host, Request, Result, State, plugin, serde::Deserialize};

plugin! {
    state: Clock,
    commands: {
        "time" "[ZONE]" => time, "The time of day here, or in a ZONE such as Europe/Oslo.";
        "date" "[ZONE]" => date, "The date here, or in a ZONE such as Europe/Oslo.";
        "uptime" "" => uptime, "The seconds since the host was started.";
        "sleep" "MS" => sleep, "Waits MS milliseconds and replies how many it has waited.";
    }
}

/// Interval between two progress reports of a long sleep.
const STEP: Duration = Duration::from_millis(250);

/// The content of `clock.toml`.
#[derive(Deserialize)]
#[serde(crate = "plugin_api::serde", default, deny_unknown_fields)]
struct Config {
    /// The zone of a request without one; the system's zone where this is absent too.
    zone: Option<String>,
    /// The format of `time` and `date`, in the notation of `strftime`.
    time: String,
    date: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { zone: None, time: "%H:%M:%S".into(), date: "%Y-%m-%d".into() }
    }
}

struct Clock {
    settings: RwLock<Arc<Settings>>,
}

/// The parsed configuration.
struct Settings {
    zone: TimeZone,
    time: String,
    date: String,
}

impl State for Clock {
    fn create(_: &Host) -> Result<Self> {
        Ok(Self { settings: RwLock::new(Arc::new(Settings::new(Config::default())?)) })
    }
}

impl Configured for Clock {
    type Config = Config;

    fn configure(&self, config: Config) -> Result<()> {
        // Parsed before anything changes.
        let settings = Arc::new(Settings::new(config)?);
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
        Ok(())
    }
}

impl Settings {
    fn new(config: Config) -> Result<Self> {
        let Config { zone, time, date } = config;
        let zone = match zone {
            Some(zone) => {
                TimeZone::get(&zone).map_err(|error| Error::new(format!("`zone`: {error}")))?
            }
            None => TimeZone::system(),
        };
        for (key, format) in [("time", &time), ("date", &date)] {
            strtime::format(format, &now(zone.clone()))
                .map_err(|error| Error::new(format!("`{key}`: {error}")))?;
        }
        Ok(Self { zone, time, date })
    }
}

fn time(clock: &Clock, request: &Request) -> Result<String> {
    formatted(clock, request, |settings| &settings.time)
}

fn date(clock: &Clock, request: &Request) -> Result<String> {
    formatted(clock, request, |settings| &settings.date)
}

fn uptime(_: &Clock, request: &Request) -> u64 {
    request.host().uptime().as_secs()
}

/// Sleeps by [`Request::wait`], which ends early once the request is cancelled.
fn sleep(_: &Clock, request: &Request) -> Result<u64> {
    let millis =
        u64::try_from(request.integer(0)?).map_err(|_| Error::new("MS must not be negative"))?;
    let (started, whole) = (Instant::now(), Duration::from_millis(millis));
    loop {
        let left = whole.saturating_sub(started.elapsed());
        if request.wait(left.min(STEP)) {
            return Err(Error::cancelled("the sleep was cut short"));
        }
        let slept = u64::try_from(started.elapsed().as_millis())?;
        if slept >= millis {
            return Ok(slept);
        }
        request.progress(slept, millis, "milliseconds slept");
    }
}

fn formatted(clock: &Clock, request: &Request, format: fn(&Settings) -> &str) -> Result<String> {
    // A zone is read from files, so the lock must not be held.
    let settings = Arc::clone(&clock.settings.read().unwrap_or_else(PoisonError::into_inner));
    let zone = match request.get(0) {
        Some(_) => TimeZone::get(request.text(0)?)?,
        None => settings.zone.clone(),
    };
    Ok(strtime::format(format(&settings), &now(zone))?)
}

fn now(zone: TimeZone) -> Zoned {
    Timestamp::now().to_zoned(zone)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use jiff::civil;
    use plugin_api::{
        Value,
        testing::{Plugin, call_once},
    };

    use super::*;

    /// Returns the command's reply as text.
    fn text(command: &str, arguments: &[&str]) -> String {
        match call_once(&PLUGIN, command, arguments) {
            Ok(Value::Text(text)) => String::from_utf8(text).unwrap(),
            other => panic!("{command}: {other:?}"),
        }
    }

    /// Returns whether `shown` lies between two readings of the clock of `zone`.
    fn is_now<T: PartialOrd>(
        zone: &TimeZone,
        read: fn(&Zoned) -> T,
        shown: impl Fn() -> T,
    ) -> bool {
        let read_now = || read(&Timestamp::now().to_zoned(zone.clone()));
        let (before, shown, after) = (read_now(), shown(), read_now());
        // If midnight falls between the two readings, the day starts again.
        (before <= shown && shown <= after) || before > after
    }

    #[test]
    fn time_and_date_are_those_of_the_zone() {
        let zones = [
            (vec![], TimeZone::system()),
            (vec!["UTC"], TimeZone::UTC),
            (vec!["Pacific/Kiritimati"], TimeZone::get("Pacific/Kiritimati").unwrap()),
            (vec!["pacific/pago_pago"], TimeZone::get("Pacific/Pago_Pago").unwrap()),
        ];
        for (arguments, zone) in zones {
            let time = || text("time", &arguments).parse().unwrap();
            let second = |now: &Zoned| now.time().with().subsec_nanosecond(0).build().unwrap();
            assert!(is_now::<civil::Time>(&zone, second, time), "{arguments:?}");
            let date = || text("date", &arguments).parse().unwrap();
            assert!(is_now::<civil::Date>(&zone, Zoned::date, date), "{arguments:?}");
        }
    }

    #[test]
    fn time_and_date_follow_iso_8601() {
        let shape = |text: String| text.replace(|c: char| c.is_ascii_digit(), "0");
        assert_eq!(shape(text("time", &[])), "00:00:00");
        assert_eq!(shape(text("date", &[])), "0000-00-00");
    }

    #[test]
    fn zone_and_form_are_as_configured() {
        let toml = "zone = 'Pacific/Kiritimati'\ntime = '%Z, %:z'\ndate = 'day'";
        let plugin = Plugin::start_with(&PLUGIN, toml).unwrap();
        assert_eq!(plugin.call("time", &[]), Ok("+14, +14:00".into()));
        assert_eq!(plugin.call("time", &["UTC"]), Ok("UTC, +00:00".into()));
        assert_eq!(plugin.call("date", &[]), Ok("day".into()));
        for (toml, why) in [
            ("zone = 'Middle/Earth'", "Middle/Earth"),
            ("time = '%Y-%'", "`time`: "),
            ("date = '%Q-%+'", "`date`: "),
            ("zoom = 'UTC'", "unknown field `zoom`"),
            ("zone = 1", "in `zone`"),
        ] {
            let error = plugin.configure(toml).unwrap_err();
            assert!(error.message().contains(why), "{toml}: {error}");
            assert_eq!(plugin.call("time", &[]), Ok("+14, +14:00".into()), "{toml}");
        }
        plugin.configure("").unwrap();
        assert_ne!(plugin.call("date", &[]), Ok("day".into()));
    }

    #[test]
    fn a_zone_that_is_none_is_an_error() {
        let plugin = Plugin::start(&PLUGIN).unwrap();
        for zone in [&b"Middle/Earth"[..], b"", b"../../etc/passwd", b"\xff"] {
            for command in ["time", "date"] {
                assert!(plugin.call_bytes(command, &[zone]).is_err(), "{command} {zone:?}");
            }
        }
    }

    #[test]
    fn uptime_is_the_hosts() {
        // The fake host of a test has just started.
        let uptime = call_once(&PLUGIN, "uptime", &[]);
        assert!(matches!(uptime, Ok(Value::Integer(0..60))), "{uptime:?}");
    }

    #[test]
    fn sleep_replies_how_long_it_was() {
        let plugin = Plugin::start(&PLUGIN).unwrap();
        let Ok(Value::Integer(millis)) = plugin.call("sleep", &["3"]) else { panic!() };
        assert!(millis >= 3, "{millis}");
        assert!(matches!(plugin.call("sleep", &["0"]), Ok(Value::Integer(0..))));
    }

    #[test]
    fn a_long_sleep_tells_how_far_it_is() {
        let plugin = Plugin::start(&PLUGIN).unwrap();
        assert!(plugin.call("sleep", &["600"]).is_ok());
        let reports = plugin.progress();
        assert_eq!(reports.len(), 2, "{reports:?}");
        assert!(
            reports.iter().all(|(done, total, _)| *done >= 250 && done < total && *total == 600)
        );
    }

    #[test]
    fn sleep_ends_when_the_client_has_gone() {
        let plugin = Plugin::start(&PLUGIN).unwrap();
        thread::scope(|scope| {
            let sleeper = scope.spawn(|| plugin.call("sleep", &["9223372036854775807"]));
            plugin.cancel();
            assert_eq!(sleeper.join().unwrap().unwrap_err().kind(), "CANCELLED");
        });
    }

    #[test]
    fn sleep_wants_a_whole_number_of_milliseconds() {
        let plugin = Plugin::start(&PLUGIN).unwrap();
        for millis in ["-1", "1.5", "soon", "", "9223372036854775808"] {
            assert!(plugin.call("sleep", &[millis]).is_err(), "{millis}");
        }
        assert!(plugin.call_bytes("sleep", &[b"\xff"]).is_err());
    }
}
