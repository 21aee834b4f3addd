//! The named places in the settings file: list, add, remove.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use protocol::nearest::nearest;
use toml_edit::{Table, value};

use crate::{
    error::Error,
    places::{
        address::parse_host,
        args::{ConnectionArgs, NewPlace},
        connection_type::ConnectionType,
        document::Document,
        place_name::check_name,
        security::uses_tls_by_default,
        settings::{NamedPlace, Settings},
    },
    program,
    reply::Reply,
};

/// Returns a map for each place; it does not show keys.
pub fn list(settings: &Settings) -> Vec<Reply> {
    let text = |text: &str| Reply::Text(text.as_bytes().to_vec().into());
    let places = settings.places().map(|NamedPlace { name, connection_type, host }| {
        let port = host.port.or(settings.port).map(|port| Reply::Integer(port.get().into()));
        let key = match (&host.key, &host.key_file) {
            (Some(_), _) => text("kept"),
            (None, Some(file)) => text(&file.display().to_string()),
            (None, None) => Reply::Null,
        };
        let pairs = [
            ("name", text(name)),
            ("type", text(connection_type.name())),
            ("address", host.address.as_deref().map_or(Reply::Null, text)),
            ("port", port.unwrap_or(Reply::Null)),
            ("tls", Reply::Boolean(uses_tls_by_default(connection_type, host))),
            ("key", key),
        ];
        Reply::Map(pairs.into_iter().map(|(key, value)| (text(key), value)).collect())
    });
    places.collect()
}

/// Writes a place to the file, which is created if it is missing.
pub fn add(file: &Path, place: &NewPlace, flags: &ConnectionArgs) -> Result<(), Error> {
    check_name(&place.name).map_err(Error::Usage)?;
    let table = table(place, flags)?;
    change(file, |document, known| {
        if known.place(&place.name).is_some() && !place.replace {
            return Err(Error::Usage(format!(
                "there is a place {} already: `{} places` shows it; --replace takes its name",
                place.name,
                program::own()
            )));
        }
        document.insert(&place.name, table);
        Ok(())
    })
}

/// Removes a place from the file.
pub fn remove(file: &Path, name: &str) -> Result<(), Error> {
    change(file, |document, known| {
        if known.place(name).is_none() {
            let names: Vec<_> = known.places().map(|place| place.name).collect();
            let nearest = nearest(name, names.iter().copied());
            let hint = match nearest {
                Some(nearest) => format!("did you mean '{nearest}'? The list is in"),
                None => "see".to_owned(),
            };
            return Err(Error::Usage(format!(
                "there is no place '{}'; {hint} `{} places`",
                name.escape_debug(),
                program::own()
            )));
        }
        document.remove(name);
        Ok(())
    })
}

/// Returns the table of a place in the settings file.
fn table(place: &NewPlace, flags: &ConnectionArgs) -> Result<Table, Error> {
    let (connection_type, address) = match (&place.lan, &place.internet) {
        (Some(address), _) => (ConnectionType::Lan, Some(address)),
        (None, Some(address)) => (ConnectionType::Internet, Some(address)),
        (None, None) => (ConnectionType::Same, None),
    };
    let mut table = Table::new();
    table.insert("type", value(connection_type.name()));
    if let Some(address) = address {
        table.insert("address", value(parse_host(address)?));
    }
    if let Some(port) = flags.port {
        table.insert("port", value(i64::from(port)));
    }
    if flags.tls || flags.plain {
        table.insert("tls", value(flags.tls));
    }
    if let Some(fingerprint) = &flags.fingerprint {
        if !is_fingerprint(fingerprint) {
            return Err(Error::Usage(format!(
                "'{}' is no fingerprint; give all of what `{} fingerprint` says there, SHA256: \
                 and 32 bytes in hexadecimal",
                fingerprint.escape_debug(),
                program::host()
            )));
        }
        table.insert("fingerprint", value(fingerprint));
    }
    for (name, file) in [("ca", &flags.ca), ("key-file", &flags.key_file)] {
        if let Some(file) = file {
            table.insert(name, value(absolute_path(name, file)?));
        }
    }
    if let Some(key) = &flags.key {
        table.insert("key", value(key));
    }
    Ok(table)
}

fn is_fingerprint(text: &str) -> bool {
    let byte = |byte: &str| byte.len() == 2 && byte.bytes().all(|b| b.is_ascii_hexdigit());
    text.strip_prefix("SHA256:")
        .is_some_and(|bytes| bytes.split(':').count() == 32 && bytes.split(':').all(byte))
}

/// Returns the absolute path of an existing file.
fn absolute_path(option: &str, file: &Path) -> Result<String, Error> {
    let path = std::path::absolute(file).map_err(|error| error.to_string());
    let text = path.and_then(|path| match path.is_file() {
        true => path.into_os_string().into_string().map_err(|_| "its name is no UTF-8".to_owned()),
        false => Err("there is no such file".to_owned()),
    });
    text.map_err(|cause| {
        Error::Usage(format!("cannot keep --{option} {}: {cause}; name another", file.display()))
    })
}

/// Reads the file, changes it and replaces it as a whole.
///
/// Only its owner can read the new file, since it may hold keys.
fn change(
    file: &Path,
    edit: impl FnOnce(&mut Document, &Settings) -> Result<(), Error>,
) -> Result<(), Error> {
    let unwritable = |source| Error::WriteSettings { file: file.to_owned(), source };
    // The target of a link is replaced, so that the link stays.
    let path = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(source) => return Err(unwritable(source)),
        Ok(text) => text,
    };
    let known = Settings::parse(&text, file)?;
    let mut document = Document::parse(&text).map_err(Error::Usage)?;
    edit(&mut document, &known)?;
    let text = document.to_string();
    // A text that the client could not read again must not be written.
    Settings::parse(&text, file)?;
    write(&path, &text).map_err(unwritable)
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.map_or_else(|| PathBuf::from("."), Path::to_owned);
    fs::create_dir_all(&folder)?;
    let mut draft = tempfile::Builder::new().prefix(".client.toml.").tempfile_in(&folder)?;
    draft.write_all(text.as_bytes())?;
    draft.as_file().sync_all()?;
    draft.persist(path)?;
    if cfg!(unix) {
        // Without this, a power cut could bring the old file back. Some file systems cannot do it.
        let _ = fs::File::open(folder).and_then(|folder| folder.sync_all());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
