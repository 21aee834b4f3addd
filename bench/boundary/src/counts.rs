//! The instructions of each piece, kept in a file and compared.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path, process::Command};

use clap::ValueEnum as _;
use serde::{Deserialize, Serialize};

use crate::{error::BoundaryError, pieces::Piece, valgrind};

/// A count may be so much larger than the one in the file.
const TOLERANCE: f64 = 0.05;

/// So many instructions more are no growth: a small piece would else fail for one.
const SLACK: f64 = 2.0;

/// How often a piece is counted that seems to have grown, or has not been counted before.
const TRIES: usize = 3;

const HEADER: &str = "\
# Instructions for one request, piece by piece, as valgrind counts them. `cargo xtask instructions`
# fails where one grows by more than 5 %; `cargo xtask instructions --bless` writes this file.
";

/// What the file holds.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Counts {
    /// The compiler that built what was counted.
    compiler: String,
    instructions: BTreeMap<String, f64>,
}

/// Counts, tells, and compares with what the file holds, or writes it.
pub fn check(plugin: &Path, file: &Path, bless: bool) -> Result<(), BoundaryError> {
    let before = match fs::read_to_string(file) {
        Ok(text) => toml::from_str(&text)
            .map_err(|error| BoundaryError::Counts(file.to_owned(), error.to_string()))?,
        Err(_) if bless => Counts::default(),
        Err(error) => return Err(BoundaryError::Io("read", file.to_owned(), error)),
    };
    let mut now = Counts { compiler: compiler(), instructions: BTreeMap::new() };
    println!("{:<15}{:>12}{:>12}", "instructions", "kept", "now");
    for piece in Piece::value_variants() {
        let name = piece.name();
        let kept = before.instructions.get(&name).copied();
        let count = count(*piece, plugin, kept)?;
        let shown = kept.map_or_else(|| "-".into(), |kept| kept.to_string());
        println!("{name:<15}{shown:>12}{count:>12}");
        now.instructions.insert(name, count);
    }
    if bless {
        let text = toml::to_string(&now)
            .map_err(|error| BoundaryError::Counts(file.to_owned(), error.to_string()))?;
        return fs::write(file, format!("{HEADER}{text}"))
            .map_err(|error| BoundaryError::Io("write", file.to_owned(), error));
    }
    match growth(&before, &now) {
        None => Ok(()),
        Some(what) => Err(BoundaryError::Grown(what)),
    }
}

/// Counts a piece, more than once where it seems to have grown: where memory happens to lie costs
/// functions of the C library a few instructions more, so that the least is the true count.
fn count(piece: Piece, plugin: &Path, kept: Option<f64>) -> Result<f64, BoundaryError> {
    let mut least = f64::INFINITY;
    for try_number in 0..TRIES {
        least = least.min(round(valgrind::count(piece, plugin, try_number)?));
        if kept.is_some_and(|kept| !has_grown(kept, least)) {
            break;
        }
    }
    Ok(least)
}

fn has_grown(kept: f64, count: f64) -> bool {
    count > kept * (1.0 + TOLERANCE) + SLACK
}

/// What has grown, in words.
fn growth(before: &Counts, now: &Counts) -> Option<String> {
    let mut said = String::new();
    for (name, count) in &now.instructions {
        match before.instructions.get(name) {
            Some(kept) if !has_grown(*kept, *count) => {}
            Some(kept) => {
                let percent = (count / kept - 1.0) * 100.0;
                let _ = write!(said, "\n  {name}: {kept} -> {count}, {percent:+.1} %");
            }
            None => {
                let _ = write!(said, "\n  {name}: {count}, and the file has no count of it");
            }
        }
    }
    if said.is_empty() {
        return None;
    }
    if before.compiler != now.compiler {
        let _ = write!(said, "\nthe counts are of {}, this is {}", before.compiler, now.compiler);
    }
    Some(format!(
        "a request takes more instructions than it did:{said}\nwhere that is meant: cargo xtask \
         instructions --bless"
    ))
}

fn round(count: f64) -> f64 {
    (count * 10.0).round() / 10.0
}

fn compiler() -> String {
    let version = Command::new("rustc").arg("--version").output();
    version.map_or_else(|_| "?".into(), |said| String::from_utf8_lossy(&said.stdout).trim().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(compiler: &str, pieces: &[(&str, f64)]) -> Counts {
        let pieces = pieces.iter().map(|(name, count)| ((*name).to_owned(), *count));
        Counts { compiler: compiler.into(), instructions: pieces.collect() }
    }

    #[test]
    fn only_growth_beyond_the_tolerance_is_told() {
        let before = counts("a", &[("parse", 100.0), ("tiny", 3.0)]);
        for (parse, tiny, grown) in
            [(100.0, 3.0, false), (50.0, 5.0, false), (107.0, 3.0, false), (107.5, 3.0, true)]
        {
            let now = counts("a", &[("parse", parse), ("tiny", tiny)]);
            assert_eq!(growth(&before, &now).is_some(), grown, "{parse} {tiny}");
        }
    }

    #[test]
    fn growth_names_the_piece_and_another_compiler() {
        let before = counts("rustc 1", &[("parse", 100.0)]);
        let said = growth(&before, &counts("rustc 2", &[("parse", 200.0), ("new", 1.0)]));
        let said = said.expect("it has grown");
        for part in ["parse: 100 -> 200, +100.0 %", "new: 1", "rustc 1", "rustc 2", "--bless"] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}
