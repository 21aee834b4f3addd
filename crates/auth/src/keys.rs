//! The keys of clients that are not trusted by their address.
//!
//! A key is 256 random bits, shown only once, when it is made. The file keeps a hash of it. A key
//! of that length cannot be guessed, so a plain cryptographic hash is as good as a slow one.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::pattern;

/// The length of a key in bytes; as text it is twice as many hexadecimal digits.
const LENGTH: usize = 32;

/// The longest name of a key, in bytes.
const MAX_NAME: usize = 64;

/// The role of a key's holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// May run plugins' commands.
    User,
    /// May also manage the host: `ks`, `plugin`, `stats`, `loglevel`, and other sessions.
    Admin,
}

impl Role {
    /// Returns the role's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Admin => "admin",
        }
    }
}

/// A key, as the file keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The key's name, which is unique.
    pub name: String,
    /// The role of its holder.
    pub role: Role,
    /// The patterns of the commands that it may run; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<String>,
    /// The time at which it was made, in seconds since 1970.
    pub created: u64,
    /// The time at which it expires, in seconds since 1970; `None` for never.
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

/// The reason for which a key cannot be added or revoked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The name is not valid.
    #[error(
        "'{}' is not a valid key name: use 1 to {MAX_NAME} of letters, digits and - _ . @",
        .0.escape_debug()
    )]
    BadName(String),
    /// The pattern is not valid.
    #[error(
        "'{}' is not a valid pattern: use names such as get, plugin.name or plugin.*",
        .0.escape_debug()
    )]
    BadPattern(String),
    /// There is no key of that name.
    #[error(
        "there is no key '{}'; `{} key list` shows all keys",
        .0.escape_debug(),
        program::own()
    )]
    Missing(String),
    /// There is a key of that name.
    #[error("there is a key '{0}' already; revoke it first, or choose another name")]
    Exists(String),
    /// The system's random number generator failed.
    #[error("cannot generate a key: {0}")]
    NoRandom(#[from] getrandom::Error),
}

impl Key {
    /// Returns a key of this name that nobody can log in with: the key of a client of another host,
    /// which has checked it.
    #[must_use]
    pub fn of_other_host(name: &str, role: Role) -> Self {
        let (name, hash) = (name.to_owned(), String::new());
        Self { name, role, commands: Vec::new(), created: 0, expires: None, hash }
    }
}

impl Keys {
    /// Parses a key file's text.
    ///
    /// # Errors
    /// The text is not TOML, or has a missing, unknown or invalid field.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// Formats a key file's text.
    ///
    /// # Errors
    /// Never for keys that were made or parsed here.
    pub fn to_text(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    /// Returns the keys, in the order in which they were made.
    #[must_use]
    pub fn list(&self) -> &[Key] {
        &self.list
    }

    /// Adds a key, and returns its text, which is stored nowhere.
    ///
    /// # Errors
    /// The name exists or is not valid, a pattern is not valid, or there are no random numbers.
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
        getrandom::fill(&mut bits)?;
        let text: String = bits.iter().map(|byte| format!("{byte:02x}")).collect();
        let (created, hash) = (now(), blake3::hash(text.as_bytes()).to_hex().to_string());
        let name = name.to_owned();
        self.list.push(Key { name, role, commands, created, expires, hash });
        Ok(text)
    }

    /// Removes a key.
    ///
    /// # Errors
    /// There is no key of that name.
    pub fn revoke(&mut self, name: &str) -> Result<(), KeyError> {
        let before = self.list.len();
        self.list.retain(|key| key.name != name);
        if self.list.len() < before { Ok(()) } else { Err(KeyError::Missing(name.to_owned())) }
    }

    /// Returns the valid key of this text, and of this name if there is one. Every key is compared,
    /// each in constant time, so that the time does not reveal which one was nearly right.
    #[must_use]
    pub fn find(&self, name: Option<&str>, text: &[u8]) -> Option<&Key> {
        let (hash, now) = (blake3::hash(text), now());
        let mut found = None;
        for key in &self.list {
            let same = key.has_hash(&hash) && name.is_none_or(|name| name == key.name);
            if same && key.is_valid(now) {
                found = Some(key);
            }
        }
        found
    }

    /// Returns whether this key still exists, is unchanged, and is valid.
    #[must_use]
    pub fn holds(&self, key: &Key) -> bool {
        key.is_valid(now()) && self.list.contains(key)
    }
}

impl Key {
    /// Returns whether it has not expired at this time, in seconds since 1970.
    #[must_use]
    pub fn is_valid(&self, now: u64) -> bool {
        self.expires.is_none_or(|end| now < end)
    }

    /// Returns whether its patterns match this command, or it has none.
    #[must_use]
    pub fn lists(&self, name: &str, plugin: Option<&str>) -> bool {
        self.commands.is_empty()
            || self.commands.iter().any(|pattern| pattern::covers(pattern, name, plugin))
    }

    fn has_hash(&self, hash: &blake3::Hash) -> bool {
        // Hashes compare in constant time. A hash that cannot be parsed matches nothing.
        blake3::Hash::from_hex(&self.hash).is_ok_and(|own| own == *hash)
    }
}

/// Returns the seconds since 1970.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

fn is_name(name: &str) -> bool {
    let legal = |c: u8| c.is_ascii_alphanumeric() || b"-_.@".contains(&c);
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(legal)
}

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
