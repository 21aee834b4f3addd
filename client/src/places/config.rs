//! Where to connect: flags before environment before settings file.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    num::NonZeroU16,
    path::PathBuf,
};

use crate::{
    cli::args::Connection,
    error::Error,
    places::{
        access::Access,
        folders,
        kind::{Kind, RESERVED, nearest},
        settings::{Entry, Settings},
    },
};

/// The port of a host that was told nothing else.
const DEFAULT_PORT: u16 = 5000;

/// How the names of all variables begin.
const PREFIX: &str = "DROPIN_";

/// The variables that mean something to the client.
const VARIABLES: [&str; 7] = [
    "DROPIN_ADDRESS",
    "DROPIN_CONFIG",
    "DROPIN_HISTORY",
    "DROPIN_INTERNET_ADDRESS",
    "DROPIN_KEY",
    "DROPIN_LAN_ADDRESS",
    "DROPIN_PORT",
];

/// The hosts to try, in this order, and their port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Host names or IP addresses, without brackets.
    pub hosts: Vec<String>,
    /// The port, never 0.
    pub port: u16,
}

/// What the process was started with, read once.
#[derive(Debug, Default)]
pub struct Environment {
    variables: HashMap<String, OsString>,
    config_dir: Option<PathBuf>,
}

impl Environment {
    /// Reads the variables that concern the client and finds the user's configuration directory.
    pub fn read() -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, _)| name.starts_with(PREFIX))
            .collect();
        Self { variables, config_dir: folders::config_dir() }
    }

    /// What to say about variables that are probably misspelt, one line each. Those of the host are
    /// not near to any of the client's.
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

    /// A variable's value; an empty one counts as not set.
    fn get(&self, name: &str) -> Option<&OsStr> {
        debug_assert!(VARIABLES.contains(&name), "{name} is a variable");
        self.variables.get(name).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    fn text(&self, name: &str) -> Result<Option<&str>, Error> {
        let value = self.get(name);
        value.map(|value| value.to_str().ok_or_else(|| not_text(name))).transpose()
    }
}

fn not_text(name: &str) -> Error {
    Error::Usage(format!("{name} is not valid UTF-8; set it anew, or unset it"))
}

/// The settings file, and whether somebody asked for exactly this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsFile {
    /// Where it is, or would be.
    pub path: PathBuf,
    wanted: bool,
}

impl SettingsFile {
    /// The file that flags or environment name, else the usual one; `None` where there is no
    /// configuration directory.
    pub fn find(connection: &Connection, environment: &Environment) -> Option<Self> {
        let variable = environment.get("DROPIN_CONFIG").map(PathBuf::from);
        match connection.config.clone().or(variable) {
            Some(path) => Some(Self { path, wanted: true }),
            None => environment
                .config_dir
                .as_ref()
                .map(|dir| Self { path: dir.join("dropin/client.toml"), wanted: false }),
        }
    }

    /// What it says.
    pub fn load(&self) -> Result<Settings, Error> {
        Settings::load(&self.path, self.wanted)
    }
}

/// A host that the first word of the command line means, and what the settings say of it.
#[derive(Debug)]
pub struct Place<'a> {
    kind: Kind,
    /// `None` for a connection type.
    name: Option<&'a str>,
    entry: &'a Entry,
}

impl<'a> Place<'a> {
    /// Finds the place of a name or a connection type.
    pub fn find(word: &'a str, settings: &'a Settings) -> Result<Self, Error> {
        if let Some(kind) = Kind::from_word(word) {
            return Ok(Self { kind, name: None, entry: settings.of_kind(kind) });
        }
        match settings.place(word) {
            Some((kind, entry)) => Ok(Self { kind, name: Some(word), entry }),
            None => {
                let places: Vec<_> = settings.places().map(|(name, ..)| name).collect();
                let nearest = nearest(word, places.iter().copied().chain(RESERVED));
                Err(Error::UnknownPlace {
                    word: word.to_owned(),
                    nearest: nearest.map(str::to_owned),
                    places: places.into_iter().map(str::to_owned).collect(),
                })
            }
        }
    }

    /// Finds the target; [`Error::NoAddress`] when nothing gives an address.
    ///
    /// The name of a place is given with the command, and so what the settings say of it wins over
    /// the environment.
    pub fn target(
        &self,
        settings: &Settings,
        file: Option<&SettingsFile>,
        connection: &Connection,
        environment: &Environment,
    ) -> Result<Target, Error> {
        let own_port = self.entry.port.map(NonZeroU16::get);
        let port = match (connection.port, environment.text("DROPIN_PORT")?) {
            (Some(port), _) => port,
            (None, _) if self.name.is_some() && own_port.is_some() => own_port.unwrap_or_default(),
            (None, Some(text)) => parse_port(text)?,
            (None, None) => own_port.or(settings.port.map(NonZeroU16::get)).unwrap_or(DEFAULT_PORT),
        };
        let variable = match (self.name, self.kind) {
            (Some(_), _) | (None, Kind::Same) => None,
            (None, Kind::Lan) => Some("DROPIN_LAN_ADDRESS"),
            (None, Kind::Internet) => Some("DROPIN_INTERNET_ADDRESS"),
        };
        let mut address = connection.address.as_deref();
        if let Some(variable) = variable {
            for name in [variable, "DROPIN_ADDRESS"] {
                address = address.or(environment.text(name)?);
            }
        }
        let address =
            address.or(self.entry.address.as_deref().filter(|address| !address.is_empty()));
        let hosts = match (address, variable) {
            (Some(address), _) => vec![parse_host(address)?],
            (None, None) => vec!["127.0.0.1".to_owned(), "::1".to_owned()],
            (None, Some(variable)) => {
                let table = self.kind.name();
                let path = file.map(|file| file.path.display().to_string());
                let path = path.unwrap_or_else(|| "a file named with --config".to_owned());
                return Err(Error::NoAddress {
                    hint: format!(
                        "no address for the {table} connection: give --address HOST, or set \
                         {variable} or DROPIN_ADDRESS, or write address = \"HOST\" under [{table}] \
                         in {path}"
                    ),
                });
            }
        };
        Ok(Target { hosts, port })
    }

    /// Finds out how to connect safely.
    pub fn access(
        &self,
        file: Option<&SettingsFile>,
        connection: &Connection,
        environment: &Environment,
        person: bool,
    ) -> Result<Access, Error> {
        let known = file.map(|file| file.path.with_file_name("known_hosts"));
        let key = environment.text("DROPIN_KEY")?;
        Access::new(self.kind, self.entry, connection, key, known, self.name.is_some(), person)
    }
}

fn parse_port(text: &str) -> Result<u16, Error> {
    text.trim().parse::<NonZeroU16>().map(NonZeroU16::get).map_err(|_| {
        Error::Usage(format!(
            "DROPIN_PORT is '{text}', which is no port; set it to a number from 1 to 65535"
        ))
    })
}

/// Takes a host name, an IPv4 or an IPv6 address, the last with or without brackets.
pub fn parse_host(text: &str) -> Result<String, Error> {
    let text = text.trim();
    let no_address = || {
        Error::Usage(format!(
            "'{}' is no address: give a host name or an IP address, such as 192.168.1.20",
            text.escape_debug()
        ))
    };
    if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '/') {
        return Err(no_address());
    }
    let (host, rest) = match text.strip_prefix('[') {
        Some(inner) => inner.split_once(']').unwrap_or(("", "")),
        None => match text.split_once(':') {
            // More colons than one make an IPv6 address.
            Some((host, port)) if !port.contains(':') => (host, port),
            _ => (text, ""),
        },
    };
    if host.is_empty() {
        return Err(no_address());
    }
    if !rest.is_empty() {
        return Err(Error::Usage(format!(
            "the address '{text}' holds a port: give '{host}' as the address and the port with \
             --port, DROPIN_PORT or the settings file"
        )));
    }
    Ok(host.to_owned())
}

#[cfg(test)]
mod tests;
