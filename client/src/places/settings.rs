//! The content of the settings file, `client.toml`.

use std::{
    collections::BTreeMap,
    io,
    num::NonZeroU16,
    ops::Range,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use toml::Spanned;

use crate::{
    error::Error,
    places::{connection_type::ConnectionType, place_name::check_name},
};

/// The checked content of the settings file; empty where there is no file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The port of hosts without one of their own.
    pub port: Option<NonZeroU16>,
    #[serde(default)]
    same: HostSettings,
    #[serde(default)]
    lan: HostSettings,
    #[serde(default)]
    internet: HostSettings,
    #[serde(default)]
    places: BTreeMap<Spanned<String>, Spanned<HostSettings>>,
}

/// The settings of one host. Relative paths start at the folder of the settings file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HostSettings {
    /// The connection type; required for a named place, and forbidden elsewhere.
    #[serde(rename = "type")]
    connection_type: Option<Spanned<ConnectionType>>,
    /// Host name or IP address.
    pub address: Option<String>,
    /// The port.
    pub port: Option<NonZeroU16>,
    /// Switches TLS on or off, against the default of the connection type.
    pub tls: Option<bool>,
    /// The fingerprint that the certificate must have.
    pub fingerprint: Option<String>,
    /// A file with the certificate, or with that of the authority that signed it.
    pub ca: Option<PathBuf>,
    /// The key to log in with.
    pub key: Option<String>,
    /// A file with the key.
    pub key_file: Option<PathBuf>,
}

/// A place in the settings file.
#[derive(Clone, Copy, Debug)]
pub struct NamedPlace<'a> {
    /// The name.
    pub name: &'a str,
    /// The connection type.
    pub connection_type: ConnectionType,
    /// The settings of the host.
    pub host: &'a HostSettings,
}

impl Settings {
    /// Reads the file; unless `is_required`, a missing file is an empty one.
    pub fn load(path: &Path, is_required: bool) -> Result<Self, Error> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, path),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !is_required => {
                Ok(Self::default())
            }
            Err(source) => Err(Error::ReadFile {
                content: "the settings",
                option: "--config",
                file: path.to_owned(),
                source,
            }),
        }
    }

    /// Parses the text of the file at `path`.
    pub fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        let invalid = |span: Option<Range<usize>>, message: &str| {
            let offset = span.map_or(0, |span| span.start);
            let line = 1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count();
            let message = message.trim().replace('\n', ", ");
            Error::InvalidSettings { file: path.to_owned(), line, message }
        };
        let mut settings: Self =
            toml::from_str(text).map_err(|error| invalid(error.span(), error.message()))?;
        settings.check().map_err(|(span, message)| invalid(Some(span), &message))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let fixed = [&mut settings.same, &mut settings.lan, &mut settings.internet];
        for host in fixed.into_iter().chain(settings.places.values_mut().map(Spanned::get_mut)) {
            for file in [&mut host.ca, &mut host.key_file].into_iter().flatten() {
                *file = folder.join(&*file);
            }
        }
        Ok(settings)
    }

    /// Returns the settings of a connection type.
    pub fn of_type(&self, connection_type: ConnectionType) -> &HostSettings {
        match connection_type {
            ConnectionType::Same => &self.same,
            ConnectionType::Lan => &self.lan,
            ConnectionType::Internet => &self.internet,
        }
    }

    /// Returns the named places in the order of their names.
    pub fn places(&self) -> impl Iterator<Item = NamedPlace<'_>> {
        self.places.iter().filter_map(|(name, host)| {
            let host = host.get_ref();
            // `check` has rejected places without a type.
            let connection_type = *host.connection_type.as_ref()?.get_ref();
            Some(NamedPlace { name: name.get_ref(), connection_type, host })
        })
    }

    /// Returns the place of this name.
    pub fn place(&self, name: &str) -> Option<NamedPlace<'_>> {
        self.places().find(|place| place.name == name)
    }

    /// Checks the rules that the types of the fields cannot express.
    fn check(&self) -> Result<(), (Range<usize>, String)> {
        for host in ConnectionType::ALL.map(|one| self.of_type(one)) {
            if let Some(connection_type) = &host.connection_type {
                let message = "only a table [places.NAME] has a type; remove it here";
                return Err((connection_type.span(), message.to_owned()));
            }
        }
        for (name, host) in &self.places {
            check_name(name.get_ref()).map_err(|message| (name.span(), message))?;
            let message = match host.get_ref() {
                HostSettings { connection_type: None, .. } => {
                    "the place has no type; give it type = \"same\", \"lan\" or \"internet\""
                }
                HostSettings { address: None, connection_type: Some(one), .. }
                    if *one.get_ref() != ConnectionType::Same =>
                {
                    "the place has no address; give it address = \"HOST\""
                }
                HostSettings { key: Some(_), key_file: Some(_), .. } => {
                    "the place has a key and a key-file; remove one of them"
                }
                _ => continue,
            };
            return Err((name.span(), message.to_owned()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Settings, Error> {
        Settings::parse(text, Path::new("folder/client.toml"))
    }

    #[test]
    fn places_are_listed_by_name() {
        let settings = parse(
            "[places.b]\ntype = 'lan'\naddress = 'x'\nkey-file = 'k'\nca = '/c'\n\
             [places]\na = { type = 'same' }\n",
        )
        .unwrap();
        let listed: Vec<_> =
            settings.places().map(|place| (place.name, place.connection_type)).collect();
        assert_eq!(listed, [("a", ConnectionType::Same), ("b", ConnectionType::Lan)]);
        let place = settings.place("b").unwrap();
        assert_eq!(place.connection_type, ConnectionType::Lan);
        assert_eq!(place.host.address.as_deref(), Some("x"));
        assert_eq!(place.host.key_file.as_deref(), Some(Path::new("folder/k")), "beside the file");
        assert_eq!(place.host.ca.as_deref(), Some(Path::new("/c")));
        assert!(settings.place("c").is_none());
    }

    #[test]
    fn mistakes_are_reported_with_their_line() {
        for (text, line, part) in [
            ("\n[lan]\naddress = 'x'\ntype = 'lan'\n", 4, "[places.NAME]"),
            ("[places.home]\naddress = 'x'\n", 1, "no type"),
            ("port = 1\n[places.home]\ntype = 'lan'\n", 2, "no address"),
            ("[places.add]\ntype = 'same'\n", 1, "another name"),
            ("[places.'a b']\ntype = 'same'\n", 1, "letters"),
            ("[places.a]\ntype = 'wan'\n", 2, "wan"),
            ("[places.a]\ntype = 'same'\nkey = 'k'\nkey-file = 'f'\n", 1, "remove one"),
            ("[places.a]\ntype = 'same'\nkey_file = 'f'\n", 3, "key_file"),
        ] {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.contains(&format!("line {line}:")), "{message}");
            assert!(message.contains(part), "{message}");
        }
    }
}
