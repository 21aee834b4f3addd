//! What the first word of the command line can be: a connection type, a named place or a task.

use serde::Deserialize;

/// Where a host is, seen from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Same machine
    Same,
    /// Same LAN
    Lan,
    /// Internet
    Internet,
}

/// First words that mean something else than a named place.
pub const RESERVED: [&str; 12] = [
    "s",
    "l",
    "i",
    "same",
    "lan",
    "internet",
    "add",
    "remove",
    "places",
    "completion",
    "man",
    "help",
];

/// The longest name of a place, in bytes.
const MAX_NAME: usize = 64;

impl Kind {
    /// All of them, in the order in which they are offered.
    pub const ALL: [Self; 3] = [Self::Same, Self::Lan, Self::Internet];

    /// The type that this word names, by its letter or in full.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| word == kind.name() || word == kind.letter())
    }

    /// Its letter on the command line.
    pub fn letter(self) -> &'static str {
        match self {
            Self::Same => "s",
            Self::Lan => "l",
            Self::Internet => "i",
        }
    }

    /// Its name in full, which is also that of its table in the settings file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Lan => "lan",
            Self::Internet => "internet",
        }
    }
}

/// Whether a place can have this name; if not, why, and what to do.
pub fn check_name(name: &str) -> Result<(), String> {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let starts = name.starts_with(|first: char| first.is_ascii_alphanumeric());
    if !starts || name.len() > MAX_NAME || !name.bytes().all(sound) {
        return Err(format!(
            "'{}' cannot name a place: take up to {MAX_NAME} letters, digits, '-', '_' and '.', and \
             begin with a letter or a digit",
            name.escape_debug()
        ));
    }
    match RESERVED.iter().any(|word| word.eq_ignore_ascii_case(name)) {
        true => Err(format!(
            "'{name}' cannot name a place, since it means something else to the client; take \
             another name"
        )),
        false => Ok(()),
    }
}

/// The candidate that a mistyped word probably means.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let most = match word.len() {
        0..=2 => return None,
        3..=5 => 1,
        _ => 2,
    };
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, nearest)| nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_two_names() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_word(kind.letter()), Some(kind));
            assert_eq!(Kind::from_word(kind.name()), Some(kind));
        }
        assert_eq!(Kind::from_word("S"), None);
    }

    #[test]
    fn names_of_places() {
        for name in ["home", "Home-2", "a.b_c", "1", "sl"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        let long = "x".repeat(MAX_NAME + 1);
        for name in ["", "-x", ".x", "a b", "é", "a\n", "a/b", &long] {
            assert!(check_name(name).unwrap_err().contains("letters"), "{name}");
        }
        for name in RESERVED.into_iter().chain(["S", "Add"]) {
            assert!(check_name(name).unwrap_err().contains("another name"), "{name}");
        }
    }

    #[test]
    fn the_nearest_is_near() {
        assert_eq!(nearest("hmoe", ["office", "home"]), Some("home"));
        assert_eq!(nearest("hose", ["office", "home"]), Some("home"));
        assert_eq!(nearest("echo", ["office", "home"]), None);
        assert_eq!(nearest("x", ["y"]), None);
    }
}
