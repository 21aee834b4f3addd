//! The client's environment variables.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    path::PathBuf,
};

use protocol::nearest::nearest;

use crate::error::Error;

/// The prefix of all variables.
const PREFIX: &str = "DROPIN_";

/// The variables that the client reads.
const VARIABLES: [&str; 7] = [
    "DROPIN_ADDRESS",
    "DROPIN_CONFIG",
    "DROPIN_HISTORY",
    "DROPIN_INTERNET_ADDRESS",
    "DROPIN_KEY",
    "DROPIN_LAN_ADDRESS",
    "DROPIN_PORT",
];

/// The environment at the start of the process.
#[derive(Debug, Default)]
pub struct Environment {
    pub(super) variables: HashMap<String, OsString>,
    pub(super) config_dir: Option<PathBuf>,
}

impl Environment {
    /// Reads the client's variables and finds the user's configuration directory.
    pub fn read() -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, _)| name.starts_with(PREFIX))
            .collect();
        Self { variables, config_dir: platform::config_dir() }
    }

    /// Returns a warning for each variable that is probably misspelt.
    ///
    /// The variables of the host are not near to any of the client's.
    pub fn misspelt(&self) -> Vec<String> {
        let mut names: Vec<_> = self.variables.keys().map(String::as_str).collect();
        names.sort_unstable();
        let unknown = names
            .into_iter()
            .filter(|name| !VARIABLES.contains(name) && !name.starts_with("DROPIN_TEST_"));
        let warnings = unknown.filter_map(|name| {
            let rest = name.strip_prefix(PREFIX)?.to_ascii_uppercase();
            let known = VARIABLES.iter().filter_map(|known| known.strip_prefix(PREFIX));
            let nearest = nearest(&rest, known)?;
            Some(format!("{name} means nothing to the client, did you mean {PREFIX}{nearest}?"))
        });
        warnings.collect()
    }

    /// Returns the value of a variable; an empty one counts as not set.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        debug_assert!(VARIABLES.contains(&name), "{name} is a variable");
        self.variables.get(name).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// Returns the value of a variable that must be UTF-8.
    pub fn text(&self, name: &str) -> Result<Option<&str>, Error> {
        let invalid =
            || Error::Usage(format!("{name} is not valid UTF-8; set it anew, or unset it"));
        let value = self.get(name);
        value.map(|value| value.to_str().ok_or_else(invalid)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn misspelt(name: &str) -> Vec<String> {
        let variables = HashMap::from([(name.to_owned(), "x".into())]);
        Environment { variables, config_dir: None }.misspelt()
    }

    #[test]
    fn misspelt_variable_is_reported_with_the_nearest() {
        for (name, nearest) in [
            ("DROPIN_PROT", "DROPIN_PORT"),
            ("DROPIN_ADRESS", "DROPIN_ADDRESS"),
            ("DROPIN_Port", "DROPIN_PORT"),
        ] {
            let expected = format!("{name} means nothing to the client, did you mean {nearest}?");
            assert_eq!(misspelt(name), [expected]);
        }
        let hosts =
            ["DROPIN_PLUGINS", "DROPIN_LOG", "DROPIN_TRUST", "DROPIN_BIND", "DROPIN_HOST_CONFIG"];
        for name in
            hosts.into_iter().chain(["DROPIN_TEST_PORT", "DROPIN_TEST_ALL"]).chain(VARIABLES)
        {
            assert!(misspelt(name).is_empty(), "{name}");
        }
    }
}
