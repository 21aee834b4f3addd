//! Keys: who may come in from where trust does not reach, and what they may run.
//!
//! A key is 256 random bits, shown once when it is made; the file keeps a hash of it. A key that is
//! that long cannot be guessed, so that a plain cryptographic hash is as good as a slow one.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::pattern;

/// The length of a key in bytes; as text it is twice as many hexadecimal digits.
const LENGTH: usize = 32;

/// The longest name of a key, in bytes.
const MAX_NAME: usize = 64;

/// What the holder of a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Run plugins' commands.
    User,
    /// Also look after the host: `ks`, `plugin`, `stats`, `loglevel`, `clients` of others.
    Admin,
}

impl Role {
    /// The role's name, for people and clients.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Admin => "admin",
        }
    }
}

/// One key, as the file keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// What it is called; there is one of a name.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// Which commands it may run, by patterns; all where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<String>,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// When it stops to be valid, in seconds since 1970; never where it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// The BLAKE3 hash of the key's text, in hexadecimal digits.
    hash: String,
}

/// All keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    #[serde(default, rename = "key")]
    list: Vec<Key>,
}

/// Why a key cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// The name is not one.
    BadName(String),
    /// The pattern is not one.
    BadPattern(String),
    /// There is none of that name.
    Missing(String),
    /// There is one of that name.
    Exists(String),
    /// The system has no random numbers to give.
    NoRandom(String),
}

impl Keys {
    /// Reads a key file's text.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// Writes a key file's text.
    ///
    /// # Errors
    /// Never for keys that were made or parsed here.
    pub fn to_text(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    /// The keys, in the order in which they were made.
    #[must_use]
    pub fn list(&self) -> &[Key] {
        &self.list
    }

    /// Makes a key and gives its text, which is nowhere else.
    ///
    /// # Errors
    /// Where the name is taken or not one.
    pub fn add(
        &mut self,
        name: &str,
        role: Role,
        commands: Vec<String>,
        expires: Option<u64>,
    ) -> Result<String, KeyError> {
        if !is_name(name) {
            return Err(KeyError::BadName(name.to_owned()));
        }
        if self.list.iter().any(|key| key.name == name) {
            return Err(KeyError::Exists(name.to_owned()));
        }
        if let Some(bad) = commands.iter().find(|pattern| !pattern::is_pattern(pattern)) {
            return Err(KeyError::BadPattern(bad.clone()));
        }
        let mut bits = [0; LENGTH];
        getrandom::fill(&mut bits).map_err(|error| KeyError::NoRandom(error.to_string()))?;
        let text: String = bits.iter().map(|byte| format!("{byte:02x}")).collect();
        let (created, hash) = (now(), blake3::hash(text.as_bytes()).to_hex().to_string());
        let name = name.to_owned();
        self.list.push(Key { name, role, commands, created, expires, hash });
        Ok(text)
    }

    /// Takes a key away.
    ///
    /// # Errors
    /// Where there is none of that name.
    pub fn revoke(&mut self, name: &str) -> Result<(), KeyError> {
        let before = self.list.len();
        self.list.retain(|key| key.name != name);
        if self.list.len() < before { Ok(()) } else { Err(KeyError::Missing(name.to_owned())) }
    }

    /// The valid key of this text, and of this name where one is given. Every key is compared,
    /// each in constant time, so that the time tells nothing of which one was nearly right.
    #[must_use]
    pub fn find(&self, name: Option<&str>, text: &[u8]) -> Option<&Key> {
        let (hash, now) = (blake3::hash(text), now());
        let mut found = None;
        for key in &self.list {
            let same = key.matches(&hash) && name.is_none_or(|name| name == key.name);
            if same && key.is_valid(now) {
                found = Some(key);
            }
        }
        found
    }

    /// Whether this very key is there still, unchanged and valid.
    #[must_use]
    pub fn holds(&self, key: &Key) -> bool {
        key.is_valid(now()) && self.list.contains(key)
    }
}

impl Key {
    /// Whether it has not expired at this time, in seconds since 1970.
    #[must_use]
    pub fn is_valid(&self, now: u64) -> bool {
        self.expires.is_none_or(|end| now < end)
    }

    /// Whether its patterns let it run this command.
    #[must_use]
    pub fn lists(&self, name: &str, plugin: Option<&str>) -> bool {
        self.commands.is_empty()
            || self.commands.iter().any(|pattern| pattern::covers(pattern, name, plugin))
    }

    fn matches(&self, hash: &blake3::Hash) -> bool {
        // Two hashes are compared in constant time. What cannot be read matches nothing.
        blake3::Hash::from_hex(&self.hash).is_ok_and(|own| own == *hash)
    }
}

/// Seconds since 1970.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

fn is_name(name: &str) -> bool {
    let legal = |c: u8| c.is_ascii_alphanumeric() || b"-_.@".contains(&c);
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(legal)
}

impl std::fmt::Display for KeyError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BadName(name) => write!(
                out,
                "'{}' is no name for a key: 1 to {MAX_NAME} of letters, digits and - _ . @",
                name.escape_debug()
            ),
            Self::BadPattern(text) => write!(
                out,
                "'{}' is no pattern of commands: give names such as get, plugin.name or plugin.*",
                text.escape_debug()
            ),
            Self::Missing(name) => write!(
                out,
                "there is no key '{}'; `{} key list` shows those that there are",
                name.escape_debug(),
                program::own()
            ),
            Self::Exists(name) => write!(
                out,
                "there is a key '{name}' already; revoke it first, or choose another name"
            ),
            Self::NoRandom(error) => write!(out, "the system gives no random numbers: {error}"),
        }
    }
}

impl std::error::Error for KeyError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_found_by_text_until_revoked() {
        let mut keys = Keys::default();
        let alice = keys.add("alice", Role::User, vec!["get".into()], None).unwrap();
        let bob = keys.add("bob", Role::Admin, Vec::new(), None).unwrap();
        assert_eq!((alice.len(), alice == bob), (2 * LENGTH, false));
        let found = |keys: &Keys, name: Option<&str>, text: &str| {
            keys.find(name, text.as_bytes()).map(|key| key.name.clone())
        };
        assert_eq!(found(&keys, None, &alice), Some("alice".into()));
        assert_eq!(found(&keys, Some("bob"), &bob), Some("bob".into()));
        assert_eq!(found(&keys, Some("alice"), &bob), None);
        for wrong in ["", "x", &alice[1..], &alice.to_uppercase(), &format!("{alice} ")] {
            assert_eq!(found(&keys, None, wrong), None, "{wrong}");
        }
        let held = keys.find(None, alice.as_bytes()).unwrap().clone();
        assert!(keys.holds(&held));
        assert_eq!(keys.revoke("alice"), Ok(()));
        assert_eq!(keys.revoke("alice"), Err(KeyError::Missing("alice".into())));
        assert_eq!(found(&keys, None, &alice), None);
        assert!(!keys.holds(&held));
    }

    #[test]
    fn the_file_keeps_all_but_the_key_itself() {
        let mut keys = Keys::default();
        let text = keys.add("alice", Role::User, vec!["text.*".into()], Some(7)).unwrap();
        let file = keys.to_text().unwrap();
        assert!(!file.contains(&text));
        assert_eq!(Keys::parse(&file), Ok(keys));
        assert_eq!(Keys::parse(""), Ok(Keys::default()));
        for broken in ["key", "[[key]]\nname='x'", "other = 1", "[[key]]\nrole='king'"] {
            assert!(Keys::parse(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn an_expired_key_is_none() {
        let mut keys = Keys::default();
        let old = keys.add("old", Role::User, Vec::new(), Some(now())).unwrap();
        let new = keys.add("new", Role::User, Vec::new(), Some(now() + 1000)).unwrap();
        assert!(keys.find(None, old.as_bytes()).is_none());
        assert!(keys.find(None, new.as_bytes()).is_some());
    }

    #[test]
    fn a_name_is_short_plain_and_its_own() {
        let mut keys = Keys::default();
        keys.add("a.b@c-d_1", Role::User, Vec::new(), None).unwrap();
        let long = "x".repeat(MAX_NAME + 1);
        for name in ["", "a b", "é", "a\n", long.as_str(), "a.b@c-d_1"] {
            assert!(keys.add(name, Role::User, Vec::new(), None).is_err(), "{name}");
        }
    }
}
