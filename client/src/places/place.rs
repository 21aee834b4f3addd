//! The place that the command line names, and its address.

use std::num::NonZeroU16;

use protocol::nearest::nearest;

use crate::{
    error::Error,
    places::{
        address::parse_host,
        args::ConnectionArgs,
        connection_type::ConnectionType,
        environment::Environment,
        place_name::RESERVED,
        settings::{HostSettings, Settings},
        settings_file::SettingsFile,
    },
};

/// The default port.
const DEFAULT_PORT: u16 = 5000;

/// The host names or addresses to try in this order, and their port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Host names or IP addresses, without brackets.
    pub hosts: Vec<String>,
    /// The port, never 0.
    pub port: u16,
}

/// Everything that can describe a host: flags, then environment, then settings.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// The options of the command line.
    pub flags: &'a ConnectionArgs,
    /// The environment variables.
    pub environment: &'a Environment,
    /// The content of the settings file.
    pub settings: &'a Settings,
    /// The settings file.
    pub file: Option<&'a SettingsFile>,
}

/// A host, as a connection type or the name of a place selects it.
#[derive(Debug)]
pub struct Place<'a> {
    /// The connection type.
    pub connection_type: ConnectionType,
    /// The name; `None` for a connection type.
    pub name: Option<&'a str>,
    /// The host's settings.
    pub host: &'a HostSettings,
}

impl<'a> Place<'a> {
    /// Finds the place of a name or a connection type.
    pub fn find(word: &'a str, settings: &'a Settings) -> Result<Self, Error> {
        if let Some(connection_type) = ConnectionType::from_word(word) {
            let host = settings.of_type(connection_type);
            return Ok(Self { connection_type, name: None, host });
        }
        if let Some(place) = settings.place(word) {
            let (connection_type, host) = (place.connection_type, place.host);
            return Ok(Self { connection_type, name: Some(word), host });
        }
        let places: Vec<_> = settings.places().map(|place| place.name).collect();
        let nearest = nearest(word, places.iter().copied().chain(RESERVED));
        Err(Error::UnknownPlace {
            word: word.to_owned(),
            nearest: nearest.map(str::to_owned),
            places: places.into_iter().map(str::to_owned).collect(),
        })
    }

    /// Returns the target; [`Error::NoAddress`] when no source has an address.
    ///
    /// The command line names a place, so that the settings of that place win over the
    /// environment.
    pub fn target(&self, sources: Sources<'_>) -> Result<Target, Error> {
        Ok(Target { port: self.port(sources)?, hosts: self.hosts(sources)? })
    }

    fn port(&self, sources: Sources<'_>) -> Result<u16, Error> {
        let own = self.host.port.map(NonZeroU16::get);
        if let Some(port) = sources.flags.port.or(own.filter(|_| self.name.is_some())) {
            return Ok(port);
        }
        if let Some(text) = sources.environment.text("DROPIN_PORT")? {
            return parse_port(text);
        }
        let common = sources.settings.port.map(NonZeroU16::get);
        Ok(own.or(common).unwrap_or(DEFAULT_PORT))
    }

    fn hosts(&self, sources: Sources<'_>) -> Result<Vec<String>, Error> {
        let variable = match (self.name, self.connection_type) {
            (Some(_), _) | (None, ConnectionType::Same) => None,
            (None, ConnectionType::Lan) => Some("DROPIN_LAN_ADDRESS"),
            (None, ConnectionType::Internet) => Some("DROPIN_INTERNET_ADDRESS"),
        };
        let mut address = sources.flags.address.as_deref();
        if let Some(variable) = variable {
            for name in [variable, "DROPIN_ADDRESS"] {
                address = address.or(sources.environment.text(name)?);
            }
        }
        let own = self.host.address.as_deref().filter(|address| !address.is_empty());
        match (address.or(own), variable) {
            (Some(address), _) => Ok(vec![parse_host(address)?]),
            (None, None) => Ok(vec!["127.0.0.1".to_owned(), "::1".to_owned()]),
            (None, Some(variable)) => Err(self.without_address(variable, sources.file)),
        }
    }

    fn without_address(&self, variable: &str, file: Option<&SettingsFile>) -> Error {
        let table = self.connection_type.name();
        let path = file.map(|file| file.path.display().to_string());
        let path = path.unwrap_or_else(|| "a file named with --config".to_owned());
        Error::NoAddress {
            hint: format!(
                "no address for the {table} connection: give --address HOST, or set {variable} or \
                 DROPIN_ADDRESS, or write address = \"HOST\" under [{table}] in {path}"
            ),
        }
    }
}

fn parse_port(text: &str) -> Result<u16, Error> {
    text.trim().parse::<NonZeroU16>().map(NonZeroU16::get).map_err(|_| {
        Error::Usage(format!(
            "DROPIN_PORT is '{text}', which is no port; set it to a number from 1 to 65535"
        ))
    })
}

#[cfg(test)]
mod tests;
