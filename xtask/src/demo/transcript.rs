//! The lines that the demonstration prints, and a picture of them.

use std::{
    fs, iter,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use anstyle::{AnsiColor, Style};
use anstyle_svg::Term;

use super::{Counted, Generation};
use crate::error::TaskError;

const BOLD: Style = Style::new().bold();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();

/// The beginning of a line in the picture.
const LINE: &str = "<tspan x=\"10px\" ";

/// Each line of the picture appears after as long as it took to be printed. Programs that know no
/// animations show all of them.
const APPEARS: &str = "<style>
    @keyframes appear { from { visibility: hidden } }
    @media (prefers-reduced-motion) { tspan { animation: none !important } }";

/// The lines that have been printed.
pub struct Transcript {
    began: Instant,
    lines: Vec<(Duration, String)>,
}

impl Transcript {
    /// Begins, and says what is about to be done.
    pub fn begin(address: SocketAddr, versions: usize) -> Self {
        let mut begun = Self { began: Instant::now(), lines: Vec::new() };
        begun.introduce(address, versions);
        begun
    }

    fn introduce(&mut self, address: SocketAddr, versions: usize) {
        self.line(format!("the host on {address} serves version 1.0.0 of {versions}"));
        self.line(
            "one client sends counter.add, and each reply must be the last one plus 1".into(),
        );
        self.line(String::new());
        let columns = "time    generation  version   requests  failures  slowest request";
        self.line(format!("  {BOLD}{columns}{BOLD:#}"));
    }

    /// The requests that one generation answered.
    pub fn generation(&mut self, generation: &Generation, counted: &Counted) {
        let Some(tally) = counted.tallies.get(generation.index) else { return };
        self.line(format!(
            "{:4.1} s {:13}  {:>7} {:>10}  {}  {:>15}",
            generation.until.as_secs_f64(),
            generation.number,
            tally.version,
            tally.requests,
            failures(tally.failures, 8),
            millis(tally.slowest),
        ));
    }

    /// The sum of it.
    pub fn end(&mut self, counted: &Counted, total: i64) {
        self.line(String::new());
        let replaced = counted.tallies.len().saturating_sub(1);
        self.line(format!(
            "{replaced} replacement{}, {} requests, {} failures, slowest request {}",
            if replaced == 1 { "" } else { "s" },
            counted.requests(),
            failures(counted.failures(), 0),
            millis(counted.slowest()),
        ));
        let verdict = if total == counted.requests() { "no request" } else { "a request" };
        self.line(format!("counter.total is {total}: {verdict} was lost or answered twice"));
    }

    /// Draws the lines into an SVG file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn draw(&self, file: &Path) -> Result<(), TaskError> {
        let written = fs::write(file, self.picture());
        written.map_err(|error| TaskError::Io("write", file.to_owned(), error))
    }

    fn picture(&self) -> String {
        let lines: String = self.lines.iter().map(|(_, line)| format!("{line}\n")).collect();
        let picture = Term::new().render_svg(&format!("$ cargo xtask demo\n{lines}"));
        let mut parts = picture.split(LINE);
        let mut animated = parts.next().unwrap_or_default().replace("<style>", APPEARS);
        let times = iter::once(Duration::ZERO).chain(self.lines.iter().map(|(time, _)| *time));
        for (part, time) in parts.zip(times.chain(iter::repeat(Duration::ZERO))) {
            let seconds = time.as_secs_f64();
            animated += &format!(
                "<tspan style=\"animation: appear {seconds:.1}s step-end\" {}{part}",
                &LINE[7..]
            );
        }
        animated
    }

    fn line(&mut self, line: String) {
        anstream::println!("{line}");
        self.lines.push((self.began.elapsed(), line));
    }
}

fn failures(count: u64, width: usize) -> String {
    let style = if count == 0 { GOOD } else { BAD };
    format!("{style}{count:>width$}{style:#}")
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_of_picture_appears_in_time() {
        let lines = vec![
            (Duration::from_millis(500), "one".into()),
            (Duration::from_secs(2), "two".into()),
        ];
        let picture = Transcript { began: Instant::now(), lines }.picture();
        for (seconds, text) in [("0.0", "$ cargo xtask demo"), ("0.5", "one"), ("2.0", "two")] {
            let line =
                picture.lines().find(|line| line.contains(&format!("<tspan>{text}</tspan>")));
            let animation = format!("style=\"animation: appear {seconds}s step-end\"");
            assert!(line.is_some_and(|line| line.contains(&animation)), "{text}: {picture}");
        }
        assert!(picture.contains("@keyframes appear"), "{picture}");
    }
}
