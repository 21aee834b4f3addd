//! The subcommand `host check FILE`, which probes one plugin library and prints the outcome.

use std::{fmt::Write, path::Path, process::ExitCode, time::Duration};

use plugin_engine::{
    files::{kind::FileKind, shadow_copy::ShadowDir, trust_policy::TrustPolicy},
    live::{manifest::Manifest, probe},
    load_error::Refusal,
    manager::conflicts,
};

use crate::{commands::builtins, config::PluginTrust};

/// Probes one library and prints its commands, or the reason for which the host would refuse it.
pub(crate) fn run(file: &Path, timeout: Duration, trust: &PluginTrust) -> ExitCode {
    let trust_policy = match TrustPolicy::new(&trust.into()) {
        Ok(trust_policy) => trust_policy,
        Err(error) => {
            eprintln!("{}: {error}", program::own());
            return ExitCode::FAILURE;
        }
    };
    match probe_file(file, timeout, &trust_policy) {
        Ok(manifest) => {
            print!("{}", describe(&manifest));
            ExitCode::SUCCESS
        }
        Err(refusal) => {
            eprintln!("{}: {} would be refused: {refusal}", program::own(), file.display());
            ExitCode::FAILURE
        }
    }
}

fn probe_file(
    file: &Path,
    timeout: Duration,
    trust_policy: &TrustPolicy,
) -> Result<Manifest, Refusal> {
    let work_dir = tempfile::tempdir()
        .map_err(|error| Refusal::probe_failed("make a directory for its copy", &error))?;
    let shadows = ShadowDir::open(work_dir.path().join("copies"))
        .map_err(|error| Refusal::probe_failed("make a directory for its copy", &error))?;
    let shadow = shadows.copy(file, FileKind::Library, trust_policy)?;
    trust_policy.check_content(file, shadow.content())?;
    let manifest = probe::probe(shadow.path(), timeout, &|| false)
        .map_err(|refusal| refusal.about(shadow.path(), file))?;
    conflicts::check(&manifest, "", file, builtins::is_builtin, [].into_iter())?;
    Ok(manifest)
}

fn describe(manifest: &Manifest) -> String {
    let Manifest { name, version, api_version, commands, .. } = manifest;
    let mut text = format!("plugin {name} {version}, for plugin API {api_version}\n");
    let lines: Vec<_> = commands
        .iter()
        .map(|command| (format!("{} {}", command.name, command.usage), &command.help))
        .collect();
    let width = lines.iter().map(|(line, _)| line.len()).max().unwrap_or_default();
    for (line, help) in lines {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {line:width$}  {help}");
    }
    text
}
