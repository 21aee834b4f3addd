//! Turns a private copy into a generation that is ready to serve.

use std::{path::PathBuf, sync::Arc, time::Duration};

use telemetry::log_throttle::LineBudget;

use super::{
    deadline::{self, Deadline, TimedOut},
    generation::Generation,
    host_services::PluginServices,
    library::{Layout, Library, Live},
    manifest::Manifest,
    place,
    plugin::Plugin,
    probe,
};
use crate::{
    context::EngineContext,
    files::shadow_copy::Shadow,
    load_error::Refusal,
    process::{
        core::Core,
        native::{host::NativeLauncher, message::Init},
        plugin::ProcessPlugin,
        settings::PluginSettings,
    },
    state::store::States,
};

/// Probes a private copy; ends early if `give_up` returns true or the host ends.
///
/// # Errors
/// The reason for which it must not be loaded.
pub fn probe(
    context: &EngineContext,
    shadow: &Shadow,
    give_up: &dyn Fn() -> bool,
) -> Result<Manifest, Refusal> {
    let give_up = || give_up() || context.shutdown.is_stopping();
    probe::probe(shadow.path(), context.settings.probe_timeout, &give_up)
}

/// Loads a copy that a probe has approved: in the host, or in processes of its own.
///
/// # Errors
/// It takes too long, its `create` fails, it differs from its probe, its settings are wrong, or the
/// host ends.
pub fn load(
    context: &Arc<EngineContext>,
    states: &Arc<States>,
    shadow: Arc<Shadow>,
    manifest: Manifest,
    number: u64,
    file: String,
) -> Result<Generation, Refusal> {
    let wrong = |problem| Refusal::Settings { problem };
    let settings = context.plugin_settings.plugin(&manifest.name).map_err(wrong)?;
    let plugin = if context.is_isolated(&manifest.name, &settings) {
        isolate(context, states, &shadow, &manifest, (settings, file.clone()))?
    } else {
        load_here(context, &shadow, &manifest)?
    };
    Ok(Generation::new(manifest, number, file, plugin, shadow))
}

/// Loads a library in processes of its own.
fn isolate(
    context: &Arc<EngineContext>,
    states: &Arc<States>,
    shadow: &Arc<Shadow>,
    manifest: &Manifest,
    (settings, file): (PluginSettings, String),
) -> Result<Arc<dyn Plugin>, Refusal> {
    let launcher = NativeLauncher {
        file: shadow.path().to_owned(),
        init: Init {
            file: shadow.path().to_owned(),
            data: context.data_dir(),
            uptime_millis: 0,
            level: 0,
            name: manifest.name.clone(),
            limits: settings.limits.clone(),
        },
        started: context.started,
        timeout: context.settings.probe_timeout,
        call_timeout: settings.call_timeout,
        services: Arc::new(services(context, &manifest.name)),
    };
    let core = Core::new(context, states, file, settings, Box::new(launcher));
    let give_up = || context.shutdown.is_stopping();
    let (plugin, hello) = ProcessPlugin::start(core, &give_up)?;
    if hello.manifest != *manifest {
        return Err(differs());
    }
    Ok(plugin)
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
