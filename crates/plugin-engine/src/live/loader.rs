//! Turns a private copy into a generation that is ready to serve.

use std::{path::PathBuf, sync::Arc, time::Duration};

use telemetry::log_throttle::LineBudget;

use super::{
    deadline::{self, Deadline, TimedOut},
    generation::Generation,
    host_services::PluginServices,
    library::{Layout, Library, Live},
    manifest::Manifest,
    probe,
};
use crate::{context::EngineContext, files::shadow_copy::Shadow, live::place, load_error::Refusal};

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

/// Loads a copy that a probe has approved, and unlinks the copy's file then.
///
/// # Errors
/// It takes too long, its `create` fails, it differs from its probe, or the host ends.
pub fn load(
    context: &Arc<EngineContext>,
    shadow: Arc<Shadow>,
    manifest: Manifest,
    number: u64,
    file: String,
) -> Result<Generation, Refusal> {
    let services = PluginServices {
        name: manifest.name.clone(),
        data_dir: context.state_dir.join("data").join(&manifest.name),
        started: context.started,
        lines: LineBudget::default(),
    };
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
    Ok(Generation::new(manifest, number, file, live, shadow))
}

fn open(path: PathBuf, approved: &Manifest, services: PluginServices) -> Result<Live, Refusal> {
    let library = Library::open(&path, Layout::Approved)?;
    if library.manifest() != *approved {
        return Err(Refusal::Manifest {
            problem: "its manifest differs from the one in its probe".into(),
        });
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
