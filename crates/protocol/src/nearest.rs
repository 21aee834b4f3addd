//! The search for the name that was probably meant by one that does not exist.

/// Returns the candidate that is nearest to a word; `None` if none is near enough. A word of 3 to 5
/// bytes may have one mistake, a longer one two, a shorter one none.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let most = match word.len() {
        0..=2 => return None,
        3..=5 => 1,
        _ => 2,
    };
    let distances = candidates.map(|candidate| (strsim::osa_distance(word, candidate), candidate));
    distances.filter(|(distance, _)| *distance <= most).min().map(|(_, nearest)| nearest)
}
