//! The subcommands `host key`, which adds, lists and revokes keys, and `host fingerprint`, which
//! prints the fingerprint of the host's certificate.

use std::{path::PathBuf, process::ExitCode};

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

/// An error of a key command.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    #[error(transparent)]
    StateDir(#[from] StateDirError),
}

/// Runs `host key`, and returns the exit code.
pub(crate) fn run(action: KeyAction) -> ExitCode {
    match run_action(action) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{}: {failure}", program::own());
            ExitCode::FAILURE
        }
    }
}

fn run_action(action: KeyAction) -> Result<(), Failure> {
    match action {
        KeyAction::Add { name, role, commands, expires, place } => {
            let key =
                open_key_file(place)?.change(|keys| keys.add(&name, role, commands, expires))?;
            eprintln!("The key of {name}, shown this once:");
            println!("{key}");
        }
        KeyAction::List { place } => {
            for key in open_key_file(place)?.read()?.list() {
                println!("{}", format_key(key));
            }
        }
        KeyAction::Revoke { name, place } => {
            open_key_file(place)?.change(|keys| keys.revoke(&name))?;
            println!("The key of {name} is revoked.");
        }
    }
    Ok(())
}

/// Runs `host fingerprint`, and returns the exit code.
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

fn open_key_file(place: StatePlace) -> Result<KeyFile, Failure> {
    let root = state_root(place.state_dir).ok_or(StateDirError::Unknown)?;
    Ok(KeyFile::new(root))
}

fn format_key(key: &Key) -> String {
    let role = key.role.name();
    let commands = if key.commands.is_empty() { "*".into() } else { key.commands.join(" ") };
    let expires = match key.expires {
        None => "does not expire".into(),
        Some(end) if end <= now() => format!("expired {}", date::show(end)),
        // The end is exclusive, so the second before it lies on the key's last day.
        Some(end) => format!("expires {}", date::show(end - 1)),
    };
    let made = date::show(key.created);
    format!("{}  {role}  commands: {commands}  made {made}  {expires}", key.name)
}
