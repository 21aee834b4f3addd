//! The settings file, `client.toml`: what it says, checked.

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
    places::kind::{Kind, check_name},
};

/// All that the file says; nothing where there is no file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The port of hosts that have no other.
    pub port: Option<NonZeroU16>,
    #[serde(default)]
    same: Entry,
    #[serde(default)]
    lan: Entry,
    #[serde(default)]
    internet: Entry,
    #[serde(default)]
    places: BTreeMap<Spanned<String>, Spanned<Entry>>,
}

/// What the file says of one host. Files that it names are relative to its own folder.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Entry {
    /// Its connection type; a named place has one, and nothing else has.
    #[serde(rename = "type")]
    kind: Option<Spanned<Kind>>,
    /// Host name or IP address.
    pub address: Option<String>,
    /// Its port.
    pub port: Option<NonZeroU16>,
    /// Whether to use TLS, instead of what the connection type does.
    pub tls: Option<bool>,
    /// The fingerprint that its certificate must have.
    pub fingerprint: Option<String>,
    /// A file with the certificate that vouches for its own.
    pub ca: Option<PathBuf>,
    /// The key that lets in.
    pub key: Option<String>,
    /// A file with that key.
    pub key_file: Option<PathBuf>,
}

impl Settings {
    /// Reads the file; one that nobody asked for by name (`wanted`) may be missing.
    pub fn load(path: &Path, wanted: bool) -> Result<Self, Error> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, path),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !wanted => Ok(Self::default()),
            Err(source) => Err(Error::ReadFile {
                what: "the settings",
                option: "--config",
                file: path.to_owned(),
                source,
            }),
        }
    }

    /// Reads what the file at `path` has as its text.
    pub fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        let bad = |span: Option<Range<usize>>, message: &str| {
            let offset = span.map_or(0, |span| span.start);
            let line = 1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count();
            let message = message.trim().replace('\n', ", ");
            Error::BadFile { file: path.to_owned(), line, message }
        };
        let mut settings: Self =
            toml::from_str(text).map_err(|error| bad(error.span(), error.message()))?;
        settings.check().map_err(|(span, message)| bad(Some(span), &message))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let fixed = [&mut settings.same, &mut settings.lan, &mut settings.internet];
        for entry in fixed.into_iter().chain(settings.places.values_mut().map(Spanned::get_mut)) {
            for file in [&mut entry.ca, &mut entry.key_file].into_iter().flatten() {
                *file = folder.join(&*file);
            }
        }
        Ok(settings)
    }

    /// What is said of a connection type.
    pub fn of_kind(&self, kind: Kind) -> &Entry {
        match kind {
            Kind::Same => &self.same,
            Kind::Lan => &self.lan,
            Kind::Internet => &self.internet,
        }
    }

    /// The named places, by name.
    pub fn places(&self) -> impl Iterator<Item = (&str, Kind, &Entry)> {
        self.places.iter().filter_map(|(name, entry)| {
            let entry = entry.get_ref();
            // The check has seen that every place has a type.
            let kind = entry.kind.as_ref()?.get_ref();
            Some((name.get_ref().as_str(), *kind, entry))
        })
    }

    /// The named place of this name.
    pub fn place(&self, name: &str) -> Option<(Kind, &Entry)> {
        self.places().find(|(known, ..)| *known == name).map(|(_, kind, entry)| (kind, entry))
    }

    /// What the types of the fields cannot say.
    fn check(&self) -> Result<(), (Range<usize>, String)> {
        for entry in Kind::ALL.map(|kind| self.of_kind(kind)) {
            if let Some(kind) = &entry.kind {
                let message = "only a table [places.NAME] has a type; remove it here";
                return Err((kind.span(), message.to_owned()));
            }
        }
        for (name, entry) in &self.places {
            check_name(name.get_ref()).map_err(|message| (name.span(), message))?;
            let message = match entry.get_ref() {
                Entry { kind: None, .. } => {
                    "the place has no type; give it type = \"same\", \"lan\" or \"internet\""
                }
                Entry { address: None, kind: Some(kind), .. } if *kind.get_ref() != Kind::Same => {
                    "the place has no address; give it address = \"HOST\""
                }
                Entry { key: Some(_), key_file: Some(_), .. } => {
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
        let listed: Vec<_> = settings.places().map(|(name, kind, _)| (name, kind)).collect();
        assert_eq!(listed, [("a", Kind::Same), ("b", Kind::Lan)]);
        let (kind, entry) = settings.place("b").unwrap();
        assert_eq!((kind, entry.address.as_deref()), (Kind::Lan, Some("x")));
        assert_eq!(entry.key_file.as_deref(), Some(Path::new("folder/k")), "beside the file");
        assert_eq!(entry.ca.as_deref(), Some(Path::new("/c")));
        assert!(settings.place("c").is_none());
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
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
            let told = parse(text).unwrap_err().to_string();
            assert!(told.contains(&format!("line {line}:")) && told.contains(part), "{told}");
        }
    }
}
