//! Detects name conflicts: between two plugins, and with the host's own commands.

use std::{path::Path, sync::Arc};

use crate::{
    live::{generation::Generation, manifest::Manifest},
    load_error::Refusal,
};

/// Checks the names of a newcomer, `file` in `folder`, against the host's and those of served
/// plugins.
///
/// # Errors
/// The first clash, with both files.
pub fn check<'a>(
    newcomer: &Manifest,
    file: &str,
    folder: &Path,
    is_builtin: impl Fn(&str) -> bool,
    others: impl Iterator<Item = &'a Arc<Generation>> + Clone,
) -> Result<(), Refusal> {
    let clash = |problem| Err(Refusal::Clash { problem });
    let (new_file, plugin) = (folder.join(file), &newcomer.name);
    if let Some(other) = others.clone().find(|other| other.manifest.name == *plugin) {
        return clash(format!(
            "both {} and {} call themselves plugin '{plugin}'; remove or rename one",
            folder.join(&other.file).display(),
            new_file.display()
        ));
    }
    for command in newcomer.commands.iter().map(|command| &command.name) {
        if is_builtin(command) {
            return clash(format!(
                "{} claims the command '{command}', which is the host's own",
                new_file.display()
            ));
        }
        let claims = |other: &&Arc<Generation>| {
            other.manifest.commands.iter().any(|facts| facts.name == *command)
        };
        if let Some(other) = others.clone().find(claims) {
            return clash(format!(
                "both {} (plugin '{}') and {} (plugin '{plugin}') claim the command '{command}'; \
                 remove one, or rename the command",
                folder.join(&other.file).display(),
                other.manifest.name,
                new_file.display()
            ));
        }
    }
    Ok(())
}
