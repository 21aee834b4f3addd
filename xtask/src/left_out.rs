//! Tests that a run leaves out, by reason, compared with the numbers in `tests/left-out.toml`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::PathBuf,
};

use toml_edit::DocumentMut;

use crate::{error::TaskError, workspace};

/// The reason of a test whose reason the output omits, as with `--quiet`.
const UNNAMED: &str = "no reason in the output";

/// Counts by name.
pub type Numbers = BTreeMap<String, usize>;

/// Tests that were left out, from the output of test programs.
#[derive(Default)]
pub struct LeftOut {
    by_reason: Numbers,
    /// The number that the programs report themselves.
    total: usize,
    /// The number that a filter has left out.
    filtered: usize,
}

/// The recorded numbers.
pub struct Kept {
    /// Reasons for which a machine without some tool or right may leave out any number of tests.
    may_be_missing: BTreeSet<String>,
    /// The tests that are left out under Linux if no tool or right is missing.
    linux: Numbers,
    /// The tests that are left out under Wine.
    wine: Numbers,
    /// The tests that run under Wine, by program.
    wine_ran: Numbers,
}

impl LeftOut {
    /// Counts the tests in a line of a test program's output.
    pub fn read(&mut self, line: &str) {
        if let Some(summary) = line.trim_end().strip_prefix("test result: ") {
            let number = |of: &str| {
                let mut parts = summary.split(';').filter_map(|part| part.trim().strip_suffix(of));
                parts.next().and_then(|number| number.parse().ok()).unwrap_or(0)
            };
            self.total += number(" ignored");
            self.filtered += number(" filtered out");
            return;
        }
        let Some((_, reason)) = line.trim_end().rsplit_once(" ... ignored") else { return };
        let reason = match reason.strip_prefix(", ") {
            Some(reason) => reason,
            None if reason.is_empty() => "no reason",
            None => return,
        };
        *self.by_reason.entry(reason.to_owned()).or_default() += 1;
    }

    /// Counts the tests that a filter has left out under this reason.
    pub fn count_filtered(&mut self, reason: &str) {
        if self.filtered > 0 {
            self.by_reason.insert(reason.to_owned(), self.filtered);
            self.total += self.filtered;
        }
    }

    /// Returns the numbers by reason, for all tests that the programs have counted.
    fn numbers(&self) -> Numbers {
        let mut numbers = self.by_reason.clone();
        let unnamed = self.total.saturating_sub(numbers.values().sum());
        if unnamed > 0 {
            numbers.insert(UNNAMED.into(), unnamed);
        }
        numbers
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers = self.numbers();
        write!(out, "{} tests left out", numbers.values().sum::<usize>())?;
        for (place, (reason, number)) in numbers.iter().enumerate() {
            write!(out, "{} {reason} ({number})", if place == 0 { ":" } else { "," })?;
        }
        Ok(())
    }
}

impl Kept {
    /// Reads the file.
    ///
    /// # Errors
    /// The file cannot be read, or has the wrong form.
    pub fn read() -> Result<Self, TaskError> {
        Self::parse(&text()?).map_err(|why| malformed(&why))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let document: DocumentMut = text.parse().map_err(|error| format!("{error}"))?;
        let numbers = |name: &str| {
            let table = document.get(name).and_then(|item| item.as_table());
            let table = table.ok_or(format!("there is no table '{name}'"))?;
            let number = |(key, item): (&str, &toml_edit::Item)| {
                let number = item.as_integer().and_then(|number| usize::try_from(number).ok());
                Ok((key.to_owned(), number.ok_or(format!("'{key}' is not a number"))?))
            };
            table.iter().map(number).collect::<Result<Numbers, String>>()
        };
        let reasons = document.get("may-be-missing").and_then(|item| item.as_array());
        let reasons = reasons.ok_or("there is no array 'may-be-missing'")?;
        Ok(Self {
            may_be_missing: reasons.iter().flat_map(|item| item.as_str()).map(Into::into).collect(),
            linux: numbers("linux")?,
            wine: numbers("wine")?,
            wine_ran: numbers("wine-ran")?,
        })
    }

    /// Judges a run of `cargo test`. `is_strict`: no tool or right may be missing. `is_whole`: all
    /// tests were selected.
    ///
    /// # Errors
    /// The reasons whose numbers differ from the recorded ones.
    pub fn judge(&self, out: &LeftOut, is_strict: bool, is_whole: bool) -> Result<(), TaskError> {
        let mut numbers = out.numbers();
        if !is_strict {
            numbers.retain(|reason, _| !self.may_be_missing.contains(reason));
        }
        refuse(compare(&numbers, &self.linux, is_strict && is_whole))
    }

    /// Judges a whole run under Wine: the tests that were left out, and the number that ran by
    /// program.
    ///
    /// # Errors
    /// The reasons and programs whose numbers differ from the recorded ones.
    pub fn judge_wine(&self, out: &LeftOut, ran: &Numbers) -> Result<(), TaskError> {
        let mut wrong = compare(&out.numbers(), &self.wine, true);
        wrong.extend(missing_runs(ran, &self.wine_ran));
        refuse(wrong)
    }

    /// Judges a run of some tests under Wine, which may leave out no more than a whole run.
    ///
    /// # Errors
    /// The reasons whose numbers are too large.
    pub fn judge_part_of_wine(&self, out: &LeftOut) -> Result<(), TaskError> {
        refuse(compare(&out.numbers(), &self.wine, false))
    }
}

/// Records the numbers of a whole run under Wine, unchecked.
///
/// # Errors
/// The file cannot be read or written, or is no TOML.
pub fn keep_wine(out: &LeftOut, ran: &Numbers) -> Result<(), TaskError> {
    let kept = with_wine(&text()?, &out.numbers(), ran).map_err(|why| malformed(&why))?;
    fs::write(path(), kept).map_err(|error| TaskError::Io("write", path(), error))
}

/// Returns the file's text with these numbers under Wine.
fn with_wine(text: &str, out: &Numbers, ran: &Numbers) -> Result<String, String> {
    let mut document: DocumentMut = text.parse().map_err(|error| format!("{error}"))?;
    for (name, numbers) in [("wine", out), ("wine-ran", ran)] {
        let table = document.get_mut(name).and_then(|item| item.as_table_mut());
        let table = table.ok_or(format!("there is no table '{name}'"))?;
        table.clear();
        for (key, number) in numbers {
            let number = i64::try_from(*number).map_err(|error| format!("{error}"))?;
            table.insert(key, toml_edit::value(number));
        }
    }
    Ok(document.to_string())
}

fn path() -> PathBuf {
    workspace::root().join("tests").join("left-out.toml")
}

fn text() -> Result<String, TaskError> {
    fs::read_to_string(path()).map_err(|error| TaskError::Io("read", path(), error))
}

fn malformed(why: &str) -> TaskError {
    TaskError::Refused(format!("cannot read the numbers in {}: {why}", path().display()))
}

/// Returns the reasons that leave out more tests than recorded, and with `is_exact` those that
/// leave out fewer.
fn compare(found: &Numbers, kept: &Numbers, is_exact: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    for reason in found.keys().chain(kept.keys()).collect::<BTreeSet<_>>() {
        let [found, kept] = [found, kept].map(|numbers| numbers.get(reason).copied().unwrap_or(0));
        if found > kept {
            wrong.push(format!(
                "'{reason}' leaves out {found} tests, but at most {kept} are allowed"
            ));
        } else if found < kept && is_exact {
            wrong.push(format!("'{reason}' leaves out {found} tests: lower its {kept}"));
        }
    }
    wrong
}

/// Returns the programs that have run fewer tests than recorded.
fn missing_runs(ran: &Numbers, kept: &Numbers) -> Vec<String> {
    let mut wrong = Vec::new();
    for program in ran.keys().chain(kept.keys()).collect::<BTreeSet<_>>() {
        match (ran.get(program).copied().unwrap_or(0), kept.get(program)) {
            (ran, None) => wrong.push(format!("'{program}' ran {ran} tests and has no number")),
            (ran, Some(kept)) if ran < *kept => {
                wrong
                    .push(format!("'{program}' ran {ran} tests, but at least {kept} are required"));
            }
            (ran, Some(kept)) if ran > *kept => {
                println!("'{program}' ran {ran} tests: raise its {kept} in tests/left-out.toml");
            }
            _ => {}
        }
    }
    wrong
}

fn refuse(wrong: Vec<String>) -> Result<(), TaskError> {
    if wrong.is_empty() { Ok(()) } else { Err(TaskError::LeftOut(wrong)) }
}

#[cfg(test)]
#[path = "left_out_tests.rs"]
mod tests;
