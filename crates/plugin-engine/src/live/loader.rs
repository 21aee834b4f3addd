//! Turns a private copy into a generation that is ready to serve.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::Duration,
};

use telemetry::log_throttle::LineBudget;

use super::{
    deadline::{self, Deadline, TimedOut},
    host_services::PluginServices,
    library::{Layout, Library, Live},
    manifest::{Manifest, is_plugin_name},
    place,
    plugin::Plugin,
    probe,
};
use crate::{
    context::EngineContext,
    files::{kind::FileKind, shadow_copy::Shadow},
    load_error::Refusal,
    process::{
        core::Core,
        executable::Executable,
        lines::{self, launcher::LinesLauncher},
        native::{launcher::NativeLauncher, message::Init},
        plugin::ProcessPlugin,
        script::ScriptPlugin,
        settings::{Isolate, PluginSettings},
    },
    state::store::States,
};

/// A plugin that a probe has approved.
pub struct Probed {
    /// Its manifest.
    pub manifest: Manifest,
    /// The plugin itself, if the probe has started it in its final process.
    pub plugin: Option<Arc<dyn Plugin>>,
}

impl Probed {
    fn only(manifest: Manifest) -> Self {
        Self { manifest, plugin: None }
    }
}

/// The parts of a host that all its plugins share.
pub type Shared<'a> = (&'a Arc<EngineContext>, &'a Arc<States>);

/// Probes a private copy of the file at `path`; ends early if `give_up` returns true or the host
/// ends. The process of an executable is its probe as well.
///
/// # Errors
/// The reason for which it must not be loaded.
pub fn probe(
    shared: Shared<'_>,
    shadow: &Shadow,
    path: &Path,
    give_up: &dyn Fn() -> bool,
) -> Result<Probed, Refusal> {
    let context = shared.0;
    let give_up = || give_up() || context.shutdown.is_stopping();
    if shadow.kind() == FileKind::Library {
        return probe_library(shared, shadow, path, &give_up);
    }
    if let Some(manifest) = script_manifest(shadow, path)? {
        return Ok(Probed::only(manifest));
    }
    let (plugin, manifest) = start_executable(shared, shadow, path, &give_up)?;
    Ok(Probed { manifest, plugin: Some(plugin) })
}

/// Probes a library. If the plugin of its file's name runs in processes, the first of them is the
/// probe, with the plugin's limits in force before any code of the library runs.
fn probe_library(
    shared: Shared<'_>,
    shadow: &Shadow,
    path: &Path,
    give_up: &dyn Fn() -> bool,
) -> Result<Probed, Refusal> {
    let context = shared.0;
    for name in library_names(path) {
        let own = settings(context, &name)?;
        if !context.is_isolated(&name, &own) {
            continue;
        }
        let (plugin, manifest) = isolate(shared, shadow, &name, (own.clone(), path), give_up)?;
        if manifest.name == name {
            return Ok(Probed { manifest, plugin: Some(plugin) });
        }
        let other = settings(context, &manifest.name)?;
        if context.is_isolated(&manifest.name, &other) {
            // Its process has the rights and the folder of another plugin: it starts again.
            return Ok(Probed::only(manifest));
        }
        // It is loaded into the host, for which this is no probe.
        break;
    }
    let manifest = probe::probe(shadow.path(), context.settings.probe_timeout, give_up)?;
    Ok(Probed::only(manifest))
}

/// Returns the names that the plugin in a library's file probably has: the file's own, as cargo
/// makes it of a package's name.
fn library_names(path: &Path) -> impl Iterator<Item = String> {
    let stem = stem(path);
    let name = stem.strip_prefix("lib").unwrap_or(&stem).to_owned();
    let hyphens = name.replace('_', "-");
    let other = (hyphens != name).then_some(hyphens);
    [Some(name), other].into_iter().flatten().filter(|name| is_plugin_name(name))
}

/// Loads a copy that a probe has approved: in the host, or in processes of its own.
///
/// # Errors
/// It takes too long, its `create` fails, it differs from its probe, its settings are wrong, or the
/// host ends.
pub fn load(
    shared: Shared<'_>,
    shadow: &Arc<Shadow>,
    manifest: &Manifest,
    path: &Path,
) -> Result<Arc<dyn Plugin>, Refusal> {
    let context = shared.0;
    if shadow.kind() == FileKind::Executable {
        if script_manifest(shadow, path)?.is_some() {
            let settings = settings(context, &manifest.name)?;
            let limits = settings.limits.clone();
            let executable = Executable::new(context, shadow.path(), path, limits);
            let services = Arc::new(services(context, &manifest.name));
            return Ok(Arc::new(ScriptPlugin::new(executable, settings, services)));
        }
        let give_up = || context.shutdown.is_stopping();
        let (plugin, found) = start_executable(shared, shadow, path, &give_up)?;
        return if found.name == manifest.name { Ok(plugin) } else { Err(differs()) };
    }
    let settings = settings(context, &manifest.name)?;
    if context.is_isolated(&manifest.name, &settings) {
        let give_up = || context.shutdown.is_stopping();
        let (plugin, found) = isolate(shared, shadow, &manifest.name, (settings, path), &give_up)?;
        if found == *manifest { Ok(plugin) } else { Err(differs()) }
    } else {
        load_here(context, shadow, manifest)
    }
}

fn settings(context: &EngineContext, plugin: &str) -> Result<PluginSettings, Refusal> {
    let wrong = |problem| Refusal::Settings { problem };
    let settings = context.plugin_settings.plugin(plugin).map_err(wrong)?;
    settings.limits.check().map_err(|error| wrong(format!("plugin '{plugin}': {error}")))?;
    Ok(settings)
}

/// Returns the manifest of a script that is run once for each call; `None` for an executable that
/// speaks JSON lines.
///
/// # Errors
/// One of its headers is wrong, or its copy cannot be read.
pub fn script_manifest(shadow: &Shadow, path: &Path) -> Result<Option<Manifest>, Refusal> {
    let start =
        shadow.first_bytes().map_err(|error| Refusal::unreadable("read its copy", &error))?;
    let problem = |error: lines::BadHeader| Refusal::Worker { problem: error.to_string() };
    let Some(commands) = lines::script_commands(&start).map_err(problem)? else {
        return Ok(None);
    };
    let manifest = Manifest {
        name: stem(path),
        version: "0".to_owned(),
        api_version: "script".to_owned(),
        commands,
        untracked_threads: false,
    };
    manifest.check()?;
    Ok(Some(manifest))
}

/// Starts an executable that speaks JSON lines.
fn start_executable(
    (context, states): Shared<'_>,
    shadow: &Shadow,
    path: &Path,
    give_up: &dyn Fn() -> bool,
) -> Result<(Arc<dyn Plugin>, Manifest), Refusal> {
    // Its own name is known only once it runs, with its limits in force.
    let stem = stem(path);
    let settings = settings(context, &stem)?;
    let limits = settings.limits.clone();
    let core = Arc::new_cyclic(|core: &Weak<Core>| {
        let core = core.clone();
        let launcher = LinesLauncher {
            executable: Executable::new(context, shadow.path(), path, limits),
            timeout: context.settings.probe_timeout,
            services: Arc::new(services(context, &stem)),
            changed: Arc::new(move |commands| {
                if let Some(core) = core.upgrade() {
                    core.change_commands(commands);
                }
            }),
        };
        Core::new(context, states, file_name(path), settings, Box::new(launcher))
    });
    let (plugin, hello) = ProcessPlugin::start(core, give_up)?;
    Ok((plugin, hello.manifest))
}

/// Starts a library in processes of its own, as the plugin of this name.
fn isolate(
    (context, states): Shared<'_>,
    shadow: &Shadow,
    name: &str,
    (settings, path): (PluginSettings, &Path),
    give_up: &dyn Fn() -> bool,
) -> Result<(Arc<dyn Plugin>, Manifest), Refusal> {
    let launcher = NativeLauncher {
        init: Init {
            file: shadow.path().to_owned(),
            data: context.data_dir(),
            uptime_millis: 0,
            level: 0,
            name: name.to_owned(),
            limits: settings.limits.clone(),
        },
        started: context.started,
        timeout: context.settings.probe_timeout,
        call_timeout: settings.call_timeout,
        services: Arc::new(services(context, name)),
    };
    if settings.isolate == Isolate::Auto {
        log::warn!(
            "plugin {name}: it has crashed the host, so it runs in a process of its own until \
             'plugin enable {name}'"
        );
    }
    let core = Core::new(context, states, file_name(path), settings, Box::new(launcher));
    let (plugin, hello) = ProcessPlugin::start(Arc::new(core), give_up)?;
    Ok((plugin, hello.manifest))
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Returns the name of the file at `path`, without its folder.
pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Loads a library in the host, and unlinks the copy's file then.
fn load_here(
    context: &Arc<EngineContext>,
    shadow: &Arc<Shadow>,
    manifest: &Manifest,
) -> Result<Arc<dyn Plugin>, Refusal> {
    let services = services(context, &manifest.name);
    let (path, approved) = (shadow.path().to_owned(), manifest.clone());
    let give_up = || context.shutdown.is_stopping();
    let deadline = Deadline { time: context.settings.probe_timeout, give_up: &give_up };
    let work =
        move || place::in_plugin(&approved.name, "create", || open(path, &approved, services));
    let loaded = deadline::keeping((), &deadline, "load", deadline.time, work)
        .map_err(|timed_out| explain(timed_out, deadline.time))?;
    let live = loaded.result?;
    if !loaded.ended {
        // That thread is still in the library's code, which must stay mapped.
        std::mem::forget(live);
        let error = "the drop of a thread-local blocks its thread".into();
        return Err(Refusal::Create { error });
    }
    shadow.hide();
    Ok(Arc::new(live))
}

fn services(context: &EngineContext, plugin: &str) -> PluginServices {
    PluginServices {
        name: plugin.to_owned(),
        data_dir: context.data_dir().join(plugin),
        started: context.started,
        lines: LineBudget::default(),
    }
}

fn differs() -> Refusal {
    Refusal::Manifest { problem: "its manifest differs from the one in its probe".into() }
}

fn open(path: PathBuf, approved: &Manifest, services: PluginServices) -> Result<Live, Refusal> {
    let library = Library::open(&path, Layout::Approved)?;
    if library.manifest() != *approved {
        return Err(differs());
    }
    library.create(services)
}

fn explain(timed_out: TimedOut, time: Duration) -> Refusal {
    match timed_out {
        TimedOut::Expired => {
            Refusal::TimedOut { millis: u64::try_from(time.as_millis()).unwrap_or(u64::MAX) }
        }
        TimedOut::GivenUp => Refusal::Stopping,
        TimedOut::Failed => Refusal::Create { error: "its thread ended without a result".into() },
        TimedOut::NoThread => Refusal::probe_failed("start a thread", &"the system has none left"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_from_a_librarys_file() {
        for (file, names) in [
            ("libtext.so", &["text"][..]),
            ("text.dll", &["text"]),
            ("liblast_act.so", &["last_act", "last-act"]),
            ("libUpper.so", &[]),
            ("lib.so", &[]),
        ] {
            assert_eq!(library_names(Path::new(file)).collect::<Vec<_>>(), names, "{file}");
        }
    }
}
