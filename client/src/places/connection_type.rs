//! Connection types: the distance between client and host.

use serde::Deserialize;

/// The location of a host, as seen from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConnectionType {
    /// On the same machine.
    Same,
    /// On the same LAN.
    Lan,
    /// On the internet.
    Internet,
}

impl ConnectionType {
    /// All types, in the order in which help and questions name them.
    pub const ALL: [Self; 3] = [Self::Same, Self::Lan, Self::Internet];

    /// Returns the type of this letter or name.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| word == one.name() || word == one.letter())
    }

    /// Returns the letter on the command line.
    pub fn letter(self) -> &'static str {
        match self {
            Self::Same => "s",
            Self::Lan => "l",
            Self::Internet => "i",
        }
    }

    /// Returns the full name, which is also the name of the table in the settings file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Lan => "lan",
            Self::Internet => "internet",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_a_letter_and_a_name() {
        for one in ConnectionType::ALL {
            assert_eq!(ConnectionType::from_word(one.letter()), Some(one));
            assert_eq!(ConnectionType::from_word(one.name()), Some(one));
        }
        assert_eq!(ConnectionType::from_word("S"), None);
    }
}
