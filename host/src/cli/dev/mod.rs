//! The subcommand `host dev PLUGIN`, which serves a plugin and rebuilds it at every save.
//!
//! A thread builds the crate, copies its library into the plugins folder, and repeats that when a
//! source has changed. The host then reloads the library like any other. An executable file is
//! copied without a build.

mod build;
mod installed;
mod plugin;
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
    installed::{Installed, close_to_others},
    plugin::Plugin,
    sources::Sources,
};
use crate::{
    config::{Dev, PluginTables},
    runtime::context::Shared,
    serve::start_error::StartError,
};

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
    let (own, plugin) = match prepare(&mut dev) {
        Ok(prepared) => prepared,
        Err(problem) => {
            eprintln!("{}: {problem}", program::own());
            return ExitCode::FAILURE;
        }
    };
    let serve = (*dev.serve).clone();
    let code = crate::serve::serve(serve, |shared| DevThread::start(&dev, plugin, shared));
    drop(own);
    code
}

/// Finds the plugin, and makes temporary folders for those that no flag names.
fn prepare(dev: &mut Dev) -> Result<(tempfile::TempDir, Plugin), String> {
    let plugin = Plugin::of(dev)?;
    let failed = |error: io::Error| format!("cannot make a temporary folder: {error}");
    let own = tempfile::tempdir().map_err(failed)?;
    let (plugins, state) = (own.path().join("plugins"), own.path().join("state"));
    let plugins = dev.plugins().map_or(plugins, PathBuf::from);
    let state = dev.state_dir().map_or(state, PathBuf::from);
    fs::create_dir_all(&plugins)
        .map_err(|error| format!("cannot make {}: {error}", plugins.display()))?;
    let module_folder = plugin.module_folder();
    if module_folder.is_some() && module_folder == fs::canonicalize(&plugins).ok() {
        return Err(format!(
            "{} is in the plugins folder, where every host serves it anew at every save: leave out \
             --plugins",
            dev.plugin.display()
        ));
    }
    dev.serve.module_folder = module_folder;
    let rights = fs::metadata(&plugins).map(|data| data.permissions());
    rights
        .and_then(|rights| close_to_others(&plugins, rights))
        .map_err(|error| format!("cannot change access to {}: {error}", plugins.display()))?;
    (dev.serve.plugins, dev.serve.state_dir) = (plugins, Some(state));
    Ok((own, plugin))
}

impl DevThread {
    fn start(dev: &Dev, plugin: Plugin, shared: &Shared) -> Result<Self, StartError> {
        let failed = |error| StartError::System("watch the sources", error);
        let made = [Some(&dev.serve.plugins), dev.serve.state_dir.as_ref()];
        let sources = Sources::watch(&dev.plugin, made.into_iter().flatten())
            .map_err(|error| failed(io::Error::other(error.to_string())))?;
        let subscription = shared.events.subscribe().map_err(failed)?;
        let (stop, stopped) = bounded(0);
        let mut worker = Worker {
            plugin,
            settings: dev.serve.plugin_tables.clone(),
            installed: Installed::new(shared.config.plugins.clone()),
            sources,
            events: subscription,
            building: None,
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
    plugin: Plugin,
    settings: PluginTables,
    installed: Installed,
    sources: Sources,
    events: Subscription,
    building: Option<Build>,
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
        print_line(&format!("plugins folder {}", self.installed.folder().display()));
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

    /// Begins a build, or installs a file that needs none.
    fn build(&mut self) {
        let (folder, arguments) = match &self.plugin {
            Plugin::Crate { folder, arguments } => (folder, arguments),
            Plugin::Executable(file) => return self.install_executable(&file.clone()),
        };
        let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        if !self.first {
            // Leaves out the list of compiled crates; errors are still printed.
            arguments.push("--quiet");
        }
        match Build::start(folder, &arguments) {
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
        match build.finish(found) {
            Ok((Built::Library(library), took)) => {
                self.first = false;
                log::debug!("built in {:.2} s", took.as_secs_f64());
                self.install(&library, "built, and nothing has changed in the library");
            }
            Ok((Built::NoLibrary, _)) => {
                let Plugin::Crate { folder, .. } = &self.plugin else { return };
                let folder = folder.display();
                print_line(&format!(
                    "built, but not as a library that a host can load: {folder}/Cargo.toml needs \
                     [lib] with crate-type = [\"cdylib\"], and {folder} has to be a package's"
                ));
            }
            Ok((Built::Failed, took)) => print_line(&format!(
                "not built ({:.2} s), see above{}",
                took.as_secs_f64(),
                self.fallback_note()
            )),
            Err(error) => print_line(&format!("cannot wait for cargo: {error}")),
        }
    }

    fn install_executable(&mut self, file: &Path) {
        match plugin::check(file, &self.settings) {
            Ok(()) => self.install(file, "nothing has changed in the file"),
            Err(reason) => print_line(&format!("not served: {reason}{}", self.fallback_note())),
        }
    }

    /// Copies a file into the plugins folder. Prints `unchanged` if it was saved as it was.
    fn install(&mut self, file: &Path, unchanged: &str) {
        match self.installed.replace(file) {
            Ok(false) if self.waiting.take().is_some() => print_line(unchanged),
            Ok(_) => {}
            Err(error) => print_line(&format!(
                "cannot copy {} into {}: {error}",
                file.display(),
                self.installed.folder().display()
            )),
        }
    }

    /// Prints the host's outcome for the library that was installed.
    fn report(&mut self, event: &PluginEvent) {
        if !self.installed.is(&event.file) {
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
