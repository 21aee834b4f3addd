//! Where to connect: flags before environment before settings file.

use crate::access::Access;
use crate::args::{Args, Place};
use crate::error::Error;
use serde::Deserialize;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};

/// The port of a host that was told nothing else.
const DEFAULT_PORT: u16 = 5000;

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
            .filter(|(name, _)| name.starts_with("DROPIN_"))
            .collect();
        Self { variables, config_dir: dirs::config_dir() }
    }

    /// A variable's value; an empty one counts as not set.
    fn get(&self, name: &str) -> Option<&OsStr> {
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

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    port: Option<NonZeroU16>,
    #[serde(default)]
    same: Entry,
    #[serde(default)]
    lan: Entry,
    #[serde(default)]
    internet: Entry,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    address: Option<String>,
    port: Option<NonZeroU16>,
    key: Option<String>,
}

/// Finds the target for a connection type; [`Error::NoAddress`] when nothing gives an address.
pub fn resolve(place: Place, args: &Args, environment: &Environment) -> Result<Target, Error> {
    let file = settings_file(args, environment);
    let settings = match &file {
        Some((path, wanted)) => load(path, *wanted)?,
        None => Settings::default(),
    };
    let (table, variable, entry) = match place {
        Place::Same => ("same", None, &settings.same),
        Place::Lan => ("lan", Some("DROPIN_LAN_ADDRESS"), &settings.lan),
        Place::Internet => ("internet", Some("DROPIN_INTERNET_ADDRESS"), &settings.internet),
    };
    let port = match (args.port, environment.text("DROPIN_PORT")?) {
        (Some(port), _) => port,
        (None, Some(text)) => parse_port(text)?,
        (None, None) => entry.port.or(settings.port).map_or(DEFAULT_PORT, NonZeroU16::get),
    };
    let mut address = args.address.as_deref();
    if let Some(variable) = variable {
        for name in [variable, "DROPIN_ADDRESS"] {
            address = address.or(environment.text(name)?);
        }
    }
    let address = address.or(entry.address.as_deref().filter(|address| !address.is_empty()));
    let hosts = match (address, variable) {
        (Some(address), _) => vec![parse_host(address)?],
        (None, None) => vec!["127.0.0.1".to_owned(), "::1".to_owned()],
        (None, Some(variable)) => {
            let path = file.map(|(path, _)| path.display().to_string());
            let path = path.unwrap_or_else(|| "a file named with --config".to_owned());
            return Err(Error::NoAddress {
                hint: format!(
                    "no address for the {table} connection: give --address HOST, or set {variable} \
                     or DROPIN_ADDRESS, or write address = \"HOST\" under [{table}] in {path}"
                ),
            });
        }
    };
    Ok(Target { hosts, port })
}

/// Finds out how to connect safely for a connection type.
pub fn access(place: Place, args: &Args, environment: &Environment) -> Result<Access, Error> {
    let file = settings_file(args, environment);
    let settings = match &file {
        Some((path, wanted)) => load(path, *wanted)?,
        None => Settings::default(),
    };
    let entry = match place {
        Place::Same => &settings.same,
        Place::Lan => &settings.lan,
        Place::Internet => &settings.internet,
    };
    let known = file.map(|(path, _)| path.with_file_name("known_hosts"));
    Access::new(place, args, environment.text("DROPIN_KEY")?, entry.key.as_deref(), known)
}

/// The settings file, and whether somebody asked for exactly this one.
fn settings_file(args: &Args, environment: &Environment) -> Option<(PathBuf, bool)> {
    let named = args.config.clone().or(environment.get("DROPIN_CONFIG").map(PathBuf::from));
    let usual = || environment.config_dir.as_ref().map(|dir| dir.join("dropin/client.toml"));
    match named {
        Some(path) => Some((path, true)),
        None => usual().map(|path| (path, false)),
    }
}

fn load(path: &Path, wanted: bool) -> Result<Settings, Error> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !wanted => {
            return Ok(Settings::default());
        }
        Err(source) => return Err(Error::ReadFile { file: path.to_owned(), source }),
    };
    toml::from_str(&text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        let line = 1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count();
        let message = error.message().trim().replace('\n', ", ");
        Error::BadFile { file: path.to_owned(), line, message }
    })
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
#[path = "config_tests.rs"]
mod tests;
