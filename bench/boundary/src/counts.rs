//! The instructions of each piece, recorded in a file and compared.

use std::{
    cmp::Ordering, collections::BTreeMap, fmt::Write as _, fs, path::Path, process::Command,
};

use clap::ValueEnum as _;
use serde::{Deserialize, Serialize};

use crate::{error::BoundaryError, pieces::Piece, valgrind};

/// The relative tolerance of a count.
const TOLERANCE: f64 = 0.02;

/// The absolute tolerance of a count: 2 % of a small piece would be less than one instruction.
const SLACK: f64 = 2.0;

/// Number of counts of a piece that seems to have grown.
const TRIES: usize = 3;

const HEADER: &str = "\
# Instructions for one request, piece by piece, as valgrind counts them. `cargo xtask instructions`
# fails if a count is more than 2 % above or below the one here, so that every change is noticed;
# `cargo xtask instructions --bless` writes this file.
";

/// The content of the file.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Counts {
    /// The compiler of the counted code.
    compiler: String,
    instructions: BTreeMap<String, f64>,
}

/// Counts the instructions of each piece, and compares them with the file or writes it.
///
/// # Errors
/// A count differs from the file, the file cannot be read or written, or valgrind cannot count.
pub fn check(plugin: &Path, file: &Path, bless: bool) -> Result<(), BoundaryError> {
    let before = match fs::read_to_string(file) {
        Ok(text) => toml::from_str(&text)
            .map_err(|error| BoundaryError::Counts(file.to_owned(), error.into()))?,
        Err(_) if bless => Counts::default(),
        Err(error) => return Err(BoundaryError::Io("read", file.to_owned(), error)),
    };
    let mut now = Counts { compiler: compiler(), instructions: BTreeMap::new() };
    println!("{:<15}{:>12}{:>12}", "instructions", "kept", "now");
    for piece in Piece::value_variants() {
        let name = piece.name();
        let kept = before.instructions.get(&name).copied();
        let count = count(*piece, plugin, kept.filter(|_| !bless))?;
        let shown = kept.map_or_else(|| "-".into(), |kept| kept.to_string());
        println!("{name:<15}{shown:>12}{count:>12}");
        now.instructions.insert(name, count);
    }
    if bless {
        let text = toml::to_string(&now)
            .map_err(|error| BoundaryError::Counts(file.to_owned(), error.into()))?;
        return fs::write(file, format!("{HEADER}{text}"))
            .map_err(|error| BoundaryError::Io("write", file.to_owned(), error));
    }
    match difference(&before, &now) {
        None => Ok(()),
        Some(text) => Err(BoundaryError::Changed(text)),
    }
}

/// Counts a piece, repeatedly while it seems to have grown or where no count is recorded. The
/// address of its memory costs functions of the C library a few instructions, so the smallest count
/// is the true one.
fn count(piece: Piece, plugin: &Path, kept: Option<f64>) -> Result<f64, BoundaryError> {
    let mut least = f64::INFINITY;
    for try_number in 0..TRIES {
        least = least.min(round(valgrind::count(piece, plugin, try_number)?));
        if kept.is_some_and(|kept| compare(kept, least).is_le()) {
            break;
        }
    }
    Ok(least)
}

/// Compares a count with the recorded one; within the tolerance they are equal.
fn compare(kept: f64, count: f64) -> Ordering {
    let margin = SLACK.max(kept * TOLERANCE);
    match count - kept {
        more if more > margin => Ordering::Greater,
        less if less < -margin => Ordering::Less,
        _ => Ordering::Equal,
    }
}

/// Returns a text about each piece whose count differs from the file.
fn difference(before: &Counts, now: &Counts) -> Option<String> {
    let (mut grown, mut text) = (false, String::new());
    for (name, count) in &now.instructions {
        let Some(kept) = before.instructions.get(name) else {
            let _ = write!(text, "\n  {name}: {count}, which has no count in the file");
            continue;
        };
        let order = compare(*kept, *count);
        if order.is_ne() {
            let percent = (count / kept - 1.0) * 100.0;
            let _ = write!(text, "\n  {name}: {kept} -> {count}, {percent:+.1} %");
        }
        grown |= order.is_gt();
    }
    for (name, kept) in &before.instructions {
        if !now.instructions.contains_key(name) {
            let _ = write!(text, "\n  {name}: {kept} in the file, but no such piece exists");
        }
    }
    if text.is_empty() {
        return None;
    }
    if before.compiler != now.compiler {
        let _ = write!(text, "\nthe counts are of {}, this is {}", before.compiler, now.compiler);
    }
    let advice = if grown { "if the growth is intended" } else { "to keep the gain or the list" };
    Some(format!(
        "a request takes other instructions than the file says:{text}\n{advice}: cargo xtask \
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
    use std::{error::Error as _, io};

    use super::*;

    #[test]
    fn unreadable_counts_have_their_cause_as_source() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("counts.toml");
        let missing = check(Path::new(""), &file, false).unwrap_err();
        assert!(missing.source().is_some_and(|cause| cause.is::<io::Error>()), "{missing:?}");
        fs::write(&file, "compiler = 1").unwrap();
        let bad = check(Path::new(""), &file, false).unwrap_err();
        assert!(bad.source().is_some_and(|cause| cause.is::<toml::de::Error>()), "{bad:?}");
    }

    fn counts(compiler: &str, pieces: &[(&str, f64)]) -> Counts {
        let pieces = pieces.iter().map(|(name, count)| ((*name).to_owned(), *count));
        Counts { compiler: compiler.into(), instructions: pieces.collect() }
    }

    #[test]
    fn counts_within_the_tolerance_are_equal() {
        use Ordering::{Equal, Greater, Less};
        for (kept, count, order) in [
            (1000.0, 1000.0, Equal),
            (1000.0, 1020.0, Equal),
            (1000.0, 1020.1, Greater),
            (1000.0, 980.0, Equal),
            (1000.0, 979.9, Less),
            (3.0, 5.0, Equal),
            (3.0, 5.1, Greater),
            (3.0, 0.9, Less),
        ] {
            assert_eq!(compare(kept, count), order, "{kept} -> {count}");
        }
    }

    #[test]
    fn growth_fails_and_names_piece_and_compiler() {
        let before = counts("rustc 1", &[("parse", 100.0), ("same", 7.0)]);
        let now = counts("rustc 2", &[("parse", 200.0), ("same", 7.0)]);
        let text = difference(&before, &now).expect("it has grown");
        for part in ["parse: 100 -> 200, +100.0 %", "rustc 1", "rustc 2", "the growth", "--bless"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("same"), "{text}");
    }

    #[test]
    fn unkept_gain_fails_and_asks_for_bless() {
        let before = counts("a", &[("parse", 100.0), ("same", 7.0)]);
        let now = counts("a", &[("parse", 50.0), ("same", 7.0)]);
        let text = difference(&before, &now).expect("it has shrunk");
        for part in ["parse: 100 -> 50, -50.0 %", "to keep the gain", "--bless"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("rustc") && !text.contains("same"), "{text}");
    }

    #[test]
    fn growth_beside_a_gain_is_named_growth() {
        let before = counts("a", &[("encode", 100.0), ("parse", 100.0)]);
        let now = counts("a", &[("encode", 50.0), ("parse", 200.0)]);
        let text = difference(&before, &now).expect("both differ");
        assert!(text.contains("if the growth is intended"), "{text}");
    }

    #[test]
    fn pieces_in_only_one_place_are_named() {
        let (before, now) = (counts("a", &[("old", 1.0)]), counts("a", &[("new", 1.0)]));
        let text = difference(&before, &now).expect("both differ");
        assert!(text.contains("new: 1, which") && text.contains("old: 1 in"), "{text}");
    }

    #[test]
    fn equal_counts_pass() {
        let same = counts("a", &[("parse", 1000.0)]);
        assert_eq!(difference(&same, &counts("b", &[("parse", 1019.0)])), None);
    }
}
