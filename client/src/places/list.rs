//! The named places: listed, and written to the settings file without disturbing what else it says.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use toml_edit::{Table, value};

use crate::{
    cli::args::{Connection, NewPlace},
    error::Error,
    places::{
        access::by_itself,
        config::{SettingsFile, parse_host},
        document::Document,
        kind::{Kind, check_name, nearest},
        settings::Settings,
    },
    program,
    reply::Reply,
};

/// The file that places are kept in.
pub fn writable(file: Option<&SettingsFile>) -> Result<&Path, Error> {
    file.map(|file| file.path.as_path()).ok_or_else(|| {
        Error::Usage(
            "there is no configuration directory to keep places in: give --config FILE".to_owned(),
        )
    })
}

/// The places, a map for each. Their keys stay secret.
pub fn list(settings: &Settings) -> Reply {
    let text = |text: &str| Reply::Text(text.as_bytes().to_vec().into());
    let places = settings.places().map(|(name, kind, entry)| {
        let port = entry.port.or(settings.port).map(|port| Reply::Integer(port.get().into()));
        let key = match (&entry.key, &entry.key_file) {
            (Some(_), _) => text("kept"),
            (None, Some(file)) => text(&file.display().to_string()),
            (None, None) => Reply::Null,
        };
        let pairs = [
            ("name", text(name)),
            ("type", text(kind.name())),
            ("address", entry.address.as_deref().map_or(Reply::Null, text)),
            ("port", port.unwrap_or(Reply::Null)),
            ("tls", Reply::Boolean(by_itself(kind, entry))),
            ("key", key),
        ];
        Reply::Map(pairs.into_iter().map(|(key, value)| (text(key), value)).collect())
    });
    Reply::List(places.collect())
}

/// Writes a place to the file, which is made where there is none.
pub fn add(file: &Path, place: &NewPlace, connection: &Connection) -> Result<(), Error> {
    check_name(&place.name).map_err(Error::Usage)?;
    let table = table(place, connection)?;
    change(file, |document, known| {
        if known.place(&place.name).is_some() && !place.replace {
            return Err(Error::Usage(format!(
                "there is a place {} already: `{} places` shows it; --replace takes its name",
                place.name,
                program::own()
            )));
        }
        document.put(&place.name, table);
        Ok(())
    })
}

/// Takes a place out of the file.
pub fn remove(file: &Path, name: &str) -> Result<(), Error> {
    change(file, |document, known| {
        if known.place(name).is_none() {
            let names: Vec<_> = known.places().map(|(name, ..)| name).collect();
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
        document.take(name);
        Ok(())
    })
}

/// What is kept of a place.
fn table(place: &NewPlace, connection: &Connection) -> Result<Table, Error> {
    let (kind, address) = match (&place.lan, &place.internet) {
        (Some(address), _) => (Kind::Lan, Some(address)),
        (None, Some(address)) => (Kind::Internet, Some(address)),
        (None, None) => (Kind::Same, None),
    };
    let mut table = Table::new();
    table.insert("type", value(kind.name()));
    if let Some(address) = address {
        table.insert("address", value(parse_host(address)?));
    }
    if let Some(port) = connection.port {
        table.insert("port", value(i64::from(port)));
    }
    if connection.tls || connection.plain {
        table.insert("tls", value(connection.tls));
    }
    if let Some(fingerprint) = &connection.fingerprint {
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
    for (name, file) in [("ca", &connection.ca), ("key-file", &connection.key_file)] {
        if let Some(file) = file {
            table.insert(name, value(whole(name, file)?));
        }
    }
    if let Some(key) = &connection.key {
        table.insert("key", value(key));
    }
    Ok(table)
}

fn is_fingerprint(text: &str) -> bool {
    let byte = |byte: &str| byte.len() == 2 && byte.bytes().all(|b| b.is_ascii_hexdigit());
    text.strip_prefix("SHA256:")
        .is_some_and(|bytes| bytes.split(':').count() == 32 && bytes.split(':').all(byte))
}

/// The path that means the same file from every folder.
fn whole(option: &str, file: &Path) -> Result<String, Error> {
    let whole = std::path::absolute(file).map_err(|error| error.to_string());
    let text = whole.and_then(|whole| match whole.is_file() {
        true => whole.into_os_string().into_string().map_err(|_| "its name is no UTF-8".to_owned()),
        false => Err("there is no such file".to_owned()),
    });
    text.map_err(|cause| {
        Error::Usage(format!("cannot keep --{option} {}: {cause}; name another", file.display()))
    })
}

/// Reads the file, changes it and puts it back as a whole, for its owner alone: it may hold keys.
fn change(
    file: &Path,
    edit: impl FnOnce(&mut Document, &Settings) -> Result<(), Error>,
) -> Result<(), Error> {
    let unwritable = |source| Error::WriteFile { file: file.to_owned(), source };
    // The file that a link leads to, so that the link stays.
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
    // What the client could not read again is not written.
    Settings::parse(&text, file)?;
    write(&path, &text).map_err(unwritable)
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.map_or_else(|| PathBuf::from("."), Path::to_owned);
    fs::create_dir_all(&folder)?;
    let mut beside = tempfile::Builder::new().prefix(".client.toml.").tempfile_in(&folder)?;
    beside.write_all(text.as_bytes())?;
    beside.as_file().sync_all()?;
    beside.persist(path)?;
    if cfg!(unix) {
        // Or a power cut could bring the old file back. Some file systems flush no folders.
        let _ = fs::File::open(folder).and_then(|folder| folder.sync_all());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
