//! How long the host takes to answer, measured by PING.

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
    script::batch::Pace,
};

/// How long between two pings, where nothing else is asked for.
pub const INTERVAL: Duration = Duration::from_millis(10);
/// How often the figures on a terminal change.
const REDRAW: Duration = Duration::from_millis(100);
/// The longest time that is told of, in nanoseconds; what takes longer counts as this.
const LONGEST: u64 = 3_600_000_000_000;
/// Digits of a time that are kept.
const DIGITS: u8 = 3;
/// The percentiles that are told, and what they are called.
const PERCENTILES: [(&str, f64); 3] = [("p50", 50.0), ("p99", 99.0), ("p99.9", 99.9)];

/// Pings until Ctrl-C, or as often as asked for, and tells what that took; the result is the exit
/// code.
pub fn measure(mut session: Session, screen: Screen, pace: Pace) -> Result<u8, Error> {
    let _signals = Signals::watch(session.sender())?;
    let mut times = Times::new()?;
    let live = screen.is_terminal() && screen.format() == Format::Text;
    let ended = ping(&mut session, screen, pace, |took| {
        times.record(took);
        if live && times.redraw_is_due() {
            // The last line is what counts; that one is checked.
            let _ = screen.overwrite(&times.line());
        }
    });
    if live {
        let _ = screen.overwrite("");
    }
    let code = match ended {
        Ok(code) => code,
        Err(Error::Interrupted) => 0,
        Err(error) => {
            if times.any() {
                times.show(screen)?;
            }
            return Err(error);
        }
    };
    if code == 0 {
        times.show(screen)?;
    }
    Ok(code)
}

fn ping(
    session: &mut Session,
    screen: Screen,
    pace: Pace,
    mut took: impl FnMut(Duration),
) -> Result<u8, Error> {
    let command = [b"PING".to_vec()];
    let mut left = Some(pace.repeat);
    while let Some(repeat) = left {
        let started = Instant::now();
        let reply = session.ask(&command, &mut |values| screen.push(values))?;
        took(started.elapsed());
        if reply.is_error() {
            screen.reply(&reply).map_err(stdout)?;
            return Ok(1);
        }
        left = repeat.next();
        if left.is_some() {
            session.pause(pace.interval, &mut |values| screen.push(values))?;
        }
    }
    Ok(0)
}

/// All that was measured.
struct Times {
    /// Nanoseconds.
    histogram: Histogram<u64>,
    drawn: Option<Instant>,
}

impl Times {
    fn new() -> Result<Self, Error> {
        let histogram = Histogram::new_with_max(LONGEST, DIGITS).map_err(|error| Error::Local {
            doing: "count times",
            source: io::Error::other(error.to_string()),
        })?;
        Ok(Self { histogram, drawn: None })
    }

    fn record(&mut self, took: Duration) {
        self.histogram.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(LONGEST));
    }

    fn any(&self) -> bool {
        !self.histogram.is_empty()
    }

    fn redraw_is_due(&mut self) -> bool {
        let due = self.drawn.is_none_or(|drawn| drawn.elapsed() >= REDRAW);
        if due {
            self.drawn = Some(Instant::now());
        }
        due
    }

    /// The figures and their names, in milliseconds.
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
            // Writing to memory cannot fail.
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
        match screen.reply(&reply) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            shown => shown.map_err(stdout),
        }
    }
}

/// Rounded to the microsecond.
fn milliseconds(nanos: f64) -> f64 {
    (nanos / 1000.0).round() / 1000.0
}

fn stdout(source: io::Error) -> Error {
    Error::Local { doing: "write to stdout", source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_of_what_was_measured() {
        let mut times = Times::new().unwrap();
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
    fn nothing_measured_is_no_trouble() {
        let times = Times::new().unwrap();
        assert!(!times.any());
        assert!(times.line().starts_with("0 pings"), "{}", times.line());
    }
}
