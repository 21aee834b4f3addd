//! The subcommand `host dev PLUGIN_DIR`, which serves a plugin and rebuilds it at every save.
//!
//! A thread builds the crate, copies its library into the plugins folder, and repeats that when a
//! source has changed. The host then reloads the library like any other.

mod build;
mod sources;

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, bounded, never, select};
use plugin_engine::events::{EventKind, PluginEvent, Subscription};

use self::{
    build::{Build, Built},
    sources::Sources,
};
use crate::{config::Dev, runtime::context::Shared, serve::start_error::StartError};

/// The time without a change after which a build starts: editors write in several steps, and
/// people save several files.
const QUIET: Duration = Duration::from_millis(50);

/// The thread that builds the plugin. Dropping this ends the thread and a running build.
pub(crate) struct DevThread {
    /// Nothing is ever sent: the thread stops when the channel is disconnected.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Serves a plugin, rebuilds it when its sources change, and returns the exit code.
pub(crate) fn run(mut dev: Dev) -> ExitCode {
    // Dropped last, since the host uses the folder until it ends.
    let own = match prepare(&mut dev) {
        Ok(own) => own,
        Err(problem) => {
            eprintln!("{}: {problem}", program::own());
            return ExitCode::FAILURE;
        }
    };
    let serve = (*dev.serve).clone();
    let code = crate::serve::serve(serve, |shared| DevThread::start(&dev, shared));
    drop(own);
    code
}

/// Checks the crate's folder, and makes temporary folders for those that no flag names.
fn prepare(dev: &mut Dev) -> Result<tempfile::TempDir, String> {
    if !dev.folder.join("Cargo.toml").is_file() {
        let folder = dev.folder.display();
        return Err(format!(
            "there is no Cargo.toml in {folder}: name the folder of a plugin's crate; `cargo xtask \
             new-plugin NAME` makes one"
        ));
    }
    let failed = |error: io::Error| format!("cannot make a temporary folder: {error}");
    let own = tempfile::tempdir().map_err(failed)?;
    let (plugins, state) = (own.path().join("plugins"), own.path().join("state"));
    let plugins = dev.plugins().map_or(plugins, PathBuf::from);
    let state = dev.state_dir().map_or(state, PathBuf::from);
    fs::create_dir_all(&plugins)
        .map_err(|error| format!("cannot make {}: {error}", plugins.display()))?;
    close_to_others(&plugins)
        .map_err(|error| format!("cannot change access to {}: {error}", plugins.display()))?;
    (dev.serve.plugins, dev.serve.state_dir) = (plugins, Some(state));
    Ok(own)
}

impl DevThread {
    fn start(dev: &Dev, shared: &Shared) -> Result<Self, StartError> {
        let failed = |error| StartError::System("watch the sources", error);
        let made = [Some(&dev.serve.plugins), dev.serve.state_dir.as_ref()];
        let sources = Sources::watch(&dev.folder, made.into_iter().flatten())
            .map_err(|error| failed(io::Error::other(error.to_string())))?;
        let subscription = shared.events.subscribe().map_err(failed)?;
        let (stop, stopped) = bounded(0);
        let mut worker = Worker {
            folder: dev.folder.clone(),
            arguments: dev
                .release
                .then(|| "--release".to_owned())
                .into_iter()
                .chain(dev.cargo.iter().cloned())
                .collect(),
            plugins: shared.config.plugins.clone(),
            sources,
            events: subscription,
            building: None,
            dropped: None,
            first: true,
            served: false,
            changed: None,
            waiting: Some((Instant::now(), "start")),
        };
        let thread = thread::Builder::new().name("dev".into()).spawn(move || worker.run(&stopped));
        Ok(Self { stop: Some(stop), thread: Some(thread.map_err(failed)?) })
    }
}

impl Drop for DevThread {
    fn drop(&mut self) {
        self.stop = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            log::error!("the dev thread panicked: the plugin is not built any more");
        }
    }
}

/// The state of the thread that builds the plugin.
struct Worker {
    folder: PathBuf,
    arguments: Vec<String>,
    plugins: PathBuf,
    sources: Sources,
    events: Subscription,
    building: Option<Build>,
    /// The name of the library's file in the plugins folder, once it is there.
    dropped: Option<String>,
    /// True if no build has succeeded yet.
    first: bool,
    /// True if the host has served a version of the plugin.
    served: bool,
    /// The times of the first and the last save since the last build started.
    changed: Option<(Instant, Instant)>,
    /// The save, or the start, whose outcome has not been printed: its time, and its name.
    waiting: Option<(Instant, &'static str)>,
}

impl Worker {
    fn run(&mut self, stopped: &Receiver<()>) {
        print_line(&format!("plugins folder {}", self.plugins.display()));
        self.build();
        loop {
            let ended = self.building.as_ref().map_or_else(never, |build| build.ended().clone());
            let due = self.changed.filter(|_| self.building.is_none());
            let wait = due.map_or(Duration::MAX, |(_, last)| QUIET.saturating_sub(last.elapsed()));
            select! {
                recv(stopped) -> _ => return,
                recv(self.sources.events()) -> event => match event {
                    Ok(event) => self.note_change(event),
                    Err(_) => return log::error!("watching the sources ended: restart `host dev`"),
                },
                recv(ended) -> found => self.finish_build(found.unwrap_or_default()),
                recv(self.events.receiver()) -> event => {
                    if let Ok(event) = event {
                        self.report(&event);
                    }
                }
                default(wait) => {
                    self.waiting = self.changed.take().map(|(first, _)| (first, "save"));
                    self.build();
                }
            }
        }
    }

    fn note_change(&mut self, event: notify::Result<notify::Event>) {
        if self.sources.is_change(event) {
            let now = Instant::now();
            self.changed = Some((self.changed.map_or(now, |(first, _)| first), now));
        }
    }

    fn build(&mut self) {
        let mut arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        if !self.first {
            // Leaves out the list of compiled crates; errors are still printed.
            arguments.push("--quiet");
        }
        match Build::start(&self.folder, &arguments) {
            Ok(build) => self.building = Some(build),
            Err(error) => {
                print_line(&format!(
                    "cannot start cargo: {error}; is Rust installed, and in the PATH?"
                ));
            }
        }
    }

    fn finish_build(&mut self, found: Option<PathBuf>) {
        let Some(build) = self.building.take() else { return };
        let folder = self.folder.display();
        match build.finish(found) {
            Ok((Built::Library(library), took)) => {
                self.first = false;
                match self.install(&library) {
                    Ok(true) => log::debug!("built in {:.2} s", took.as_secs_f64()),
                    Ok(false) if self.waiting.take().is_some() => {
                        print_line("built, and nothing has changed in the library");
                    }
                    Ok(false) => {}
                    Err(error) => print_line(&format!(
                        "cannot copy {} into {}: {error}",
                        library.display(),
                        self.plugins.display()
                    )),
                }
            }
            Ok((Built::NoLibrary, _)) => print_line(&format!(
                "built, but not as a library that a host can load: {folder}/Cargo.toml needs [lib] \
                 with crate-type = [\"cdylib\"], and {folder} has to be a package's"
            )),
            Ok((Built::Failed, took)) => print_line(&format!(
                "not built ({:.2} s), see above{}",
                took.as_secs_f64(),
                self.fallback_note()
            )),
            Err(error) => print_line(&format!("cannot wait for cargo: {error}")),
        }
    }

    /// Copies the library into the plugins folder under a temporary name, and renames it. Returns
    /// whether its bytes differ from those of the file before.
    fn install(&mut self, library: &Path) -> io::Result<bool> {
        let name = library.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let target = self.plugins.join(&name);
        let bytes = fs::read(library)?;
        let same = fs::read(&target).is_ok_and(|before| before == bytes);
        // The first build writes even an unchanged file, so that `dropped` names it.
        if same && self.dropped.is_some() {
            return Ok(false);
        }
        let beside = self.plugins.join(format!(".{name}.new"));
        fs::write(&beside, bytes)?;
        close_to_others(&beside)?;
        platform::retry_while_in_use(|| fs::rename(&beside, &target))?;
        if let Some(before) =
            self.dropped.replace(name).filter(|before| Some(before) != self.dropped.as_ref())
        {
            // The package was renamed.
            platform::retry_while_in_use(|| fs::remove_file(self.plugins.join(&before)))?;
        }
        Ok(!same)
    }

    /// Prints the host's outcome for the library that was installed.
    fn report(&mut self, event: &PluginEvent) {
        if self.dropped.as_ref() != Some(&event.file) {
            return;
        }
        let PluginEvent { plugin, generation, detail, .. } = event;
        let what = match event.kind {
            EventKind::Loaded | EventKind::Swapped => {
                self.served = true;
                format!("plugin {plugin}, generation {generation}, serves")
            }
            EventKind::Refused => format!("refused: {detail}{}", self.fallback_note()),
            _ => return,
        };
        let since = self.waiting.take().map(|(since, what)| {
            format!(", {:.2} s after the {what}", since.elapsed().as_secs_f64())
        });
        print_line(&format!("{what}{}", since.unwrap_or_default()));
    }

    fn fallback_note(&self) -> &'static str {
        if self.served { "; the version before serves on" } else { "" }
    }
}

fn print_line(what: &str) {
    // Best effort: standard error may be closed.
    let _ = io::Write::write_all(&mut io::stderr(), format!("dev: {what}\n").as_bytes());
}

/// Takes write access from other users: the host requires it, and a umask may let the group write.
fn close_to_others(path: &Path) -> io::Result<()> {
    let rights = fs::metadata(path)?.permissions();
    fs::set_permissions(path, platform::closed_to_others(rights))
}
