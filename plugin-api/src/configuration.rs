//! Configuration: values that the operator of the host sets for a plugin, in a file beside its
//! library.

use serde::de::DeserializeOwned;

use crate::{
    error::{Error, Result},
    state::State,
};

/// State that is configured by `NAME.toml` in the plugins folder, where NAME is the plugin's name.
///
/// The whole file is the plugin's table. Without a file the table is empty, so optional keys need a
/// default. The host reads the file when the plugin is loaded, and again whenever it has changed.
/// [`guide::configuration`](crate::guide::configuration) has an example.
pub trait Configured: State {
    /// The content of the file: a type that derives `serde::Deserialize`; see
    /// [`serde`](crate::serde). With `#[serde(deny_unknown_fields)]` a misspelt key is an error and
    /// is not ignored.
    type Config: DeserializeOwned;

    /// Applies new values.
    ///
    /// The host calls it once after [`create`](State::create), before a saved state is restored and
    /// before the first worker runs. It calls it again each time the file has changed, while
    /// workers run. Two calls never overlap. The host waits at most `--handover-timeout` for it.
    ///
    /// # Errors
    /// An error rejects the values. At the first call the library is rejected, and the version that
    /// was serving continues. At a later call the old values must stay in force, so check
    /// everything before you change anything. The message goes into the host's log.
    fn configure(&self, config: Self::Config) -> Result<()>;
}

/// Parses a plugin's table.
///
/// # Errors
/// The message names the line, the column and the key.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T> {
    toml::from_str(text).map_err(|mut error| {
        let place = error.span().and_then(|span| text.get(..span.start)).map(|before| {
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            format!("line {line}, column {column}: ")
        });
        // Without the input the error's text has no excerpt of several lines.
        error.set_input(None);
        let words = error.to_string();
        let words: Vec<_> = words.lines().filter(|line| !line.is_empty()).collect();
        Error::new(place.unwrap_or_default() + &words.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields, default)]
    struct Config {
        zone: String,
        limits: Limits,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields, default)]
    struct Limits {
        most: u8,
    }

    #[test]
    fn an_empty_table_is_all_defaults() {
        for text in ["", "# nothing\n", "\u{feff}"] {
            assert_eq!(parse(text), Ok(Config::default()), "{text:?}");
        }
    }

    #[test]
    fn error_is_one_line_with_position_and_key() {
        let said = |text| parse::<Config>(text).unwrap_err().message().to_owned();
        for (text, place, words) in [
            ("zone = 5", "line 1, column 8: ", &["integer `5`", "`zone`"][..]),
            ("\n[limits]\nmost = 256\n", "line 3, column 8: ", &["256", "`limits.most`"]),
            ("# æ\nzon = 'x'", "line 2, column 1: ", &["unknown field `zon`"]),
            ("zone = 'æø' 7", "line 1, column 13: ", &["expected"]),
            ("zone = ", "line 1, column 8: ", &[]),
            ("zone = 'a'\nzone = 'b'", "line 2, column 1: ", &["duplicate"]),
        ] {
            let said = said(text);
            assert!(said.starts_with(place), "{text:?}: {said}");
            assert!(words.iter().all(|word| said.contains(word)), "{text:?}: {said}");
            assert!(!said.contains('\n'), "{text:?}: {said}");
        }
    }
}
