//! The subcommand `host check FILE`, which probes one plugin file and prints the outcome.

use std::{
    ffi::OsStr,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use log::LevelFilter;
use plugin_engine::{
    files::{
        kind::{self, FileKind, NoPlugin},
        shadow_copy::{self, Shadow, ShadowDir},
        trust_policy::TrustPolicy,
    },
    live::{loader, manifest::Manifest, probe},
    load_error::Refusal,
    manager::conflicts,
    process::{executable::Executable, lines, settings::SettingsSource},
};

use crate::{
    commands::builtins,
    config::{LogFormat, PluginTrust},
    runtime::logging,
};

/// The rules and limits of a check.
struct Check<'a> {
    timeout: Duration,
    trust_policy: TrustPolicy,
    settings: &'a dyn SettingsSource,
}

/// Probes one file and prints its commands, or the reason for which the host would refuse it.
pub(crate) fn run(
    file: &Path,
    timeout: Duration,
    trust: &PluginTrust,
    settings: &dyn SettingsSource,
) -> ExitCode {
    let trust_policy = match TrustPolicy::new(&trust.into()) {
        Ok(trust_policy) => trust_policy,
        Err(error) => {
            eprintln!("{}: {error}", program::own());
            return ExitCode::FAILURE;
        }
    };
    match (Check { timeout, trust_policy, settings }).probe(file) {
        Ok((manifest, form)) => {
            print!("{}", describe(&manifest, &form));
            ExitCode::SUCCESS
        }
        Err(refusal) => {
            eprintln!("{}: {} would be refused: {refusal}", program::own(), file.display());
            ExitCode::FAILURE
        }
    }
}

impl Check<'_> {
    /// Returns the manifest and the form of the plugin, for people.
    fn probe(&self, file: &Path) -> Result<(Manifest, String), Refusal> {
        let failed =
            |error: std::io::Error| Refusal::probe_failed("make a directory for its copy", &error);
        let work_dir = tempfile::tempdir().map_err(failed)?;
        let shadows = ShadowDir::open(work_dir.path().join("copies")).map_err(failed)?;
        let kind = kind_of(file, self.settings)?;
        let shadow = shadows.copy(file, kind, &self.trust_policy)?;
        self.trust_policy.check_content(file, shadow.content())?;
        let (manifest, form) = match kind {
            FileKind::Library => self.probe_library(&shadow, file)?,
            FileKind::Executable => match loader::script_manifest(&shadow, file)? {
                Some(manifest) => (manifest, "a script run once a call".to_owned()),
                None => self.probe_executable(&shadow, file, work_dir.path().join("data"))?,
            },
        };
        let folder = file.parent().unwrap_or(file);
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        conflicts::check(&manifest, &name, folder, builtins::is_builtin, [].into_iter())?;
        Ok((manifest, form))
    }

    fn probe_library(&self, shadow: &Shadow, file: &Path) -> Result<(Manifest, String), Refusal> {
        let manifest = probe::probe(shadow.path(), self.timeout, &|| false)
            .map_err(|refusal| refusal.about(shadow.path(), file))?;
        let form = format!("for plugin API {}", manifest.api_version);
        Ok((manifest, form))
    }

    fn probe_executable(
        &self,
        shadow: &Shadow,
        file: &Path,
        data_dir: PathBuf,
    ) -> Result<(Manifest, String), Refusal> {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let wrong = |problem| Refusal::Settings { problem };
        let limits = self.settings.plugin(&stem).map_err(wrong)?.limits;
        limits.check().map_err(|error| wrong(format!("plugin '{stem}': {error}")))?;
        let extension = file.extension().unwrap_or_default().to_string_lossy();
        let path = file.canonicalize().unwrap_or_else(|_| file.to_owned());
        let plugins = path.parent().unwrap_or(&path).to_owned();
        let module_folders = match self.trust_policy.requires_signatures() {
            true => Vec::new(),
            false => vec![plugins.clone()],
        };
        let executable = Executable {
            file: shadow.path().to_owned(),
            interpreter: self.settings.interpreter(&extension).unwrap_or_default(),
            data_dir: data_dir.join(&stem),
            stem,
            plugins,
            module_folders,
            limits,
        };
        // For the lines that it writes to its standard error.
        logging::start(LevelFilter::Info, LogFormat::Text);
        let manifest = lines::try_out(executable, self.timeout)?;
        Ok((manifest, "a worker in JSON lines".to_owned()))
    }
}

/// Returns the kind of a plugin's file.
///
/// # Errors
/// It is no plugin, or cannot be accessed.
pub(super) fn kind_of(file: &Path, settings: &dyn SettingsSource) -> Result<FileKind, Refusal> {
    let data = fs::metadata(file).map_err(|error| Refusal::unreadable("access it", &error))?;
    shadow_copy::check_is_regular(&data)?;
    // A library of another system is refused with a reason that fits it.
    let is_library = |extension: &OsStr| ["so", "dll", "dylib"].iter().any(|one| extension == *one);
    if file.extension().is_some_and(is_library) {
        return Ok(FileKind::Library);
    }
    let interprets = |extension: &str| settings.interpreter(extension).is_some();
    kind::kind_of(file, &interprets).map_err(|no_plugin| Refusal::OtherKind {
        what: match no_plugin {
            NoPlugin::Mistaken(what) => what,
            NoPlugin::Other => kind::explain_other(file),
        },
    })
}

fn describe(manifest: &Manifest, form: &str) -> String {
    let Manifest { name, version, commands, .. } = manifest;
    let mut text = format!("plugin {name} {version}, {form}\n");
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
