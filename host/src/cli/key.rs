//! `host key`: makes, shows and revokes keys. `host fingerprint`: shows what the host proves itself
//! with.

use std::{fmt, path::PathBuf, process::ExitCode};

use auth::{
    certificate::Certificate,
    date,
    key_file::{KeyFile, KeyFileError},
    keys::{Key, now},
};

use crate::{
    config::{KeyAction, StatePlace, state_root},
    runtime::state_dir::StateDirError,
};

/// Why a key command did not work.
enum Failure {
    Keys(KeyFileError),
    StateDir(StateDirError),
}

/// Does what was asked for.
pub(crate) fn run(action: KeyAction) -> ExitCode {
    match attempt(action) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{}: {failure}", program::own());
            ExitCode::FAILURE
        }
    }
}

fn attempt(action: KeyAction) -> Result<(), Failure> {
    match action {
        KeyAction::Add { name, role, commands, expires, place } => {
            let key = open(place)?.change(|keys| keys.add(&name, role, commands, expires))?;
            eprintln!("The key of {name}, shown this once:");
            println!("{key}");
        }
        KeyAction::List { place } => {
            for key in open(place)?.read()?.list() {
                println!("{}", describe(key));
            }
        }
        KeyAction::Revoke { name, place } => {
            open(place)?.change(|keys| keys.revoke(&name))?;
            println!("The key of {name} is revoked.");
        }
    }
    Ok(())
}

/// `host fingerprint`.
pub(crate) fn fingerprint(certificate: Option<PathBuf>, place: StatePlace) -> ExitCode {
    let fingerprint = match (certificate, state_root(place.state_dir)) {
        (Some(file), _) => Certificate::fingerprint_of(&file),
        (None, Some(root)) => Certificate::own(&root).map(|own| own.fingerprint),
        (None, None) => {
            eprintln!("{}: {}", program::own(), StateDirError::Unknown);
            return ExitCode::FAILURE;
        }
    };
    match fingerprint {
        Ok(fingerprint) => {
            println!("{fingerprint}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}: {error}", program::own());
            ExitCode::FAILURE
        }
    }
}

fn open(place: StatePlace) -> Result<KeyFile, Failure> {
    let root = state_root(place.state_dir).ok_or(Failure::StateDir(StateDirError::Unknown))?;
    Ok(KeyFile::new(root))
}

fn describe(key: &Key) -> String {
    let role = key.role.name();
    let commands = if key.commands.is_empty() { "*".into() } else { key.commands.join(" ") };
    let expires = match key.expires {
        None => "does not expire".into(),
        Some(end) if end <= now() => format!("expired {}", date::show(end)),
        // The last second of its last day, where it was given a day.
        Some(end) => format!("expires {}", date::show(end - 1)),
    };
    let made = date::show(key.created);
    format!("{}  {role}  commands: {commands}  made {made}  {expires}", key.name)
}

impl From<KeyFileError> for Failure {
    fn from(error: KeyFileError) -> Self {
        Self::Keys(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keys(error) => error.fmt(out),
            Self::StateDir(error) => error.fmt(out),
        }
    }
}
