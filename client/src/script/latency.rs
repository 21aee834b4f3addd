//! Measures the round-trip time of PING.

use std::{
    io,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

use crate::{
    conversation::{session::Session, signals::Signals},
    error::Error,
    output::{format::Format, screen::Screen},
    reply::Reply,
    script::repeat::Pace,
};

/// The default pause between two pings.
pub const DEFAULT_INTERVAL: Duration = Duration::from_millis(10);
/// The time between two updates of the figures on a terminal.
const REDRAW_INTERVAL: Duration = Duration::from_millis(100);
/// The longest time, in nanoseconds; longer times count as this one.
const LONGEST: u64 = 3_600_000_000_000;
/// The significant digits of a time.
const DIGITS: u8 = 3;
/// The reported percentiles and their names.
const PERCENTILES: [(&str, f64); 3] = [("p50", 50.0), ("p99", 99.0), ("p99.9", 99.9)];

/// Pings at this pace or until Ctrl-C, shows the times and returns the exit code.
pub fn measure(mut session: Session, screen: Screen, pace: Pace) -> Result<u8, Error> {
    let _signals = Signals::watch(session.sender())?;
    let mut times = PingTimes::new()?;
    let is_live = screen.is_terminal() && screen.format() == Format::Text;
    let ended = ping(&mut session, screen, pace, |took| {
        times.record(took);
        if is_live && times.is_redraw_due() {
            // Only the final figures must be written.
            let _ = screen.replace_line(&times.line());
        }
    });
    if is_live {
        let _ = screen.replace_line("");
    }
    let result = match ended {
        Err(Error::Interrupted) => Ok(0),
        result => result,
    };
    let is_worth_showing = match result {
        Ok(code) => code == 0,
        Err(_) => !times.is_empty(),
    };
    if is_worth_showing {
        times.show(screen)?;
    }
    result
}

fn ping(
    session: &mut Session,
    screen: Screen,
    pace: Pace,
    mut record: impl FnMut(Duration),
) -> Result<u8, Error> {
    let command = [b"PING".to_vec()];
    let mut left = Some(pace.repeat);
    while let Some(repeat) = left {
        let started = Instant::now();
        let reply = session.call(&command, &mut |values| screen.show_push(values))?;
        record(started.elapsed());
        if reply.is_error() {
            screen.show_reply(&reply).map_err(stdout_error)?;
            return Ok(1);
        }
        left = repeat.after_one();
        if left.is_some() {
            session.pause(pace.interval, &mut |values| screen.show_push(values))?;
        }
    }
    Ok(0)
}

/// The measured times.
struct PingTimes {
    /// In nanoseconds.
    histogram: Histogram<u64>,
    last_drawn: Option<Instant>,
}

impl PingTimes {
    fn new() -> Result<Self, Error> {
        let histogram = Histogram::new_with_max(LONGEST, DIGITS).map_err(|error| Error::Io {
            operation: "count times",
            source: io::Error::other(error.to_string()),
        })?;
        Ok(Self { histogram, last_drawn: None })
    }

    fn record(&mut self, took: Duration) {
        self.histogram.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(LONGEST));
    }

    fn is_empty(&self) -> bool {
        self.histogram.is_empty()
    }

    /// Returns true when it is time to draw, which then counts as done.
    fn is_redraw_due(&mut self) -> bool {
        let is_due = self.last_drawn.is_none_or(|drawn| drawn.elapsed() >= REDRAW_INTERVAL);
        if is_due {
            self.last_drawn = Some(Instant::now());
        }
        is_due
    }

    /// Returns names and figures, in milliseconds.
    fn figures(&self) -> Vec<(&'static str, f64)> {
        let of = |nanos: u64| milliseconds(nanos as f64);
        let ends = [
            ("min", of(self.histogram.min())),
            ("avg", milliseconds(self.histogram.mean())),
            ("max", of(self.histogram.max())),
        ];
        let percentiles = PERCENTILES
            .map(|(name, percent)| (name, of(self.histogram.value_at_percentile(percent))));
        ends.into_iter().chain(percentiles).collect()
    }

    fn line(&self) -> String {
        use std::fmt::Write as _;
        let mut line = format!("{} pings, ms:", self.histogram.len());
        for (name, figure) in self.figures() {
            // Writing to a string cannot fail.
            let _ = write!(line, "  {name} {figure:.3}");
        }
        line
    }

    fn show(&self, screen: Screen) -> Result<(), Error> {
        let text = |text: &str| Reply::Text(text.as_bytes().to_vec().into());
        let reply = match screen.format() {
            Format::Text | Format::Raw => text(&self.line()),
            Format::Json | Format::Csv => {
                let pings = i64::try_from(self.histogram.len()).unwrap_or(i64::MAX);
                let figures = self.figures().into_iter();
                let figures =
                    figures.map(|(name, ms)| (text(&format!("{name}_ms")), Reply::Float(ms)));
                let pings = (text("pings"), Reply::Integer(pings));
                Reply::Map(std::iter::once(pings).chain(figures).collect())
            }
        };
        match screen.show_reply(&reply) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            shown => shown.map_err(stdout_error),
        }
    }
}

/// Converts nanoseconds to milliseconds, rounded to the microsecond.
fn milliseconds(nanos: f64) -> f64 {
    (nanos / 1000.0).round() / 1000.0
}

fn stdout_error(source: io::Error) -> Error {
    Error::Io { operation: "write to stdout", source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_describe_the_measured_times() {
        let mut times = PingTimes::new().unwrap();
        for microseconds in 1..=1000 {
            times.record(Duration::from_micros(microseconds));
        }
        let figures = times.figures();
        let near = |name: &str, expected: f64| {
            let (_, found) = figures.iter().find(|(known, _)| *known == name).unwrap();
            assert!((found - expected).abs() <= expected / 500.0, "{name}: {found}");
        };
        for (name, expected) in [
            ("min", 0.001),
            ("avg", 0.5005),
            ("max", 1.0),
            ("p50", 0.5),
            ("p99", 0.99),
            ("p99.9", 0.999),
        ] {
            near(name, expected);
        }
        assert!(
            times.line().starts_with("1000 pings, ms:  min 0.001  avg 0.5"),
            "{}",
            times.line()
        );
    }

    #[test]
    fn figures_without_pings_are_zero() {
        let times = PingTimes::new().unwrap();
        assert!(times.is_empty());
        assert!(times.line().starts_with("0 pings"), "{}", times.line());
    }
}
