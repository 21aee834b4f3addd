//! `host dev PLUGIN_DIR`: a host for somebody who writes a plugin. Edit, save, try.
//!
//! A thread beside the host builds the crate, drops its library into the plugins folder, and does so
//! again whenever a source has changed. From there on it is a reload like any other.

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

/// How long it must be quiet after a save: editors write in several steps, and people save several
/// files.
const QUIET: Duration = Duration::from_millis(50);

/// A thread that builds and drops in. It ends when this drops, and cargo with it.
pub(crate) struct Developer {
    /// Nothing is sent: its end is the signal.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Serves, and has the plugin built anew whenever its sources change.
pub(crate) fn run(mut dev: Dev) -> ExitCode {
    // Dropped last: the host works in it.
    let own = match prepare(&mut dev) {
        Ok(own) => own,
        Err(problem) => {
            eprintln!("{}: {problem}", program::own());
            return ExitCode::FAILURE;
        }
    };
    let serve = (*dev.serve).clone();
    let code = crate::serve::serve(serve, |shared| Developer::start(&dev, shared));
    drop(own);
    code
}

/// Checks the crate's folder, and makes the folders that nobody has named.
fn prepare(dev: &mut Dev) -> Result<tempfile::TempDir, String> {
    if !dev.folder.join("Cargo.toml").is_file() {
        let folder = dev.folder.display();
        return Err(format!(
            "there is no Cargo.toml in {folder}: name the folder of a plugin's crate; `cargo xtask \
             new-plugin NAME` makes one"
        ));
    }
    let failed = |error: io::Error| format!("cannot make a folder of its own: {error}");
    let own = tempfile::tempdir().map_err(failed)?;
    let (plugins, state) = (own.path().join("plugins"), own.path().join("state"));
    let plugins = dev.plugins().map_or(plugins, PathBuf::from);
    let state = dev.state_dir().map_or(state, PathBuf::from);
    fs::create_dir_all(&plugins)
        .map_err(|error| format!("cannot make {}: {error}", plugins.display()))?;
    close_to_others(&plugins).map_err(failed)?;
    (dev.serve.plugins, dev.serve.state_dir) = (plugins, Some(state));
    Ok(own)
}

impl Developer {
    fn start(dev: &Dev, shared: &Shared) -> Result<Self, StartError> {
        let failed = |error| StartError::System("watch the sources", error);
        let made = [Some(&dev.serve.plugins), dev.serve.state_dir.as_ref()];
        let sources = Sources::watch(&dev.folder, made.into_iter().flatten())
            .map_err(|error| failed(io::Error::other(error.to_string())))?;
        let subscription = shared.events.subscribe().map_err(failed)?;
        let (stop, stopped) = bounded(0);
        let mut bench = Bench {
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
        let thread = thread::Builder::new().name("dev".into()).spawn(move || bench.work(&stopped));
        Ok(Self { stop: Some(stop), thread: Some(thread.map_err(failed)?) })
    }
}

impl Drop for Developer {
    fn drop(&mut self) {
        self.stop = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            log::error!("the thread that builds the plugin panicked");
        }
    }
}

/// What the thread works with.
struct Bench {
    folder: PathBuf,
    arguments: Vec<String>,
    plugins: PathBuf,
    sources: Sources,
    events: Subscription,
    building: Option<Build>,
    /// The file in the plugins folder.
    dropped: Option<String>,
    /// Nothing has been built yet.
    first: bool,
    /// Some version of it has been served.
    served: bool,
    /// The first and the last save that no build has seen.
    changed: Option<(Instant, Instant)>,
    /// The save, or the start, whose outcome has not been told.
    waiting: Option<(Instant, &'static str)>,
}

impl Bench {
    fn work(&mut self, stopped: &Receiver<()>) {
        say(&format!("plugins folder {}", self.plugins.display()));
        self.build();
        loop {
            let ended = self.building.as_ref().map_or_else(never, |build| build.ended().clone());
            let due = self.changed.filter(|_| self.building.is_none());
            let wait = due.map_or(Duration::MAX, |(_, last)| QUIET.saturating_sub(last.elapsed()));
            select! {
                recv(stopped) -> _ => return,
                recv(self.sources.events()) -> event => match event {
                    Ok(event) => self.note(event),
                    Err(_) => return log::error!("the sources are not watched any more"),
                },
                recv(ended) -> found => self.built(found.unwrap_or_default()),
                recv(self.events.receiver()) -> event => {
                    if let Ok(event) = event {
                        self.tell(&event);
                    }
                }
                default(wait) => {
                    self.waiting = self.changed.take().map(|(first, _)| (first, "save"));
                    self.build();
                }
            }
        }
    }

    fn note(&mut self, event: notify::Result<notify::Event>) {
        if self.sources.is_change(event) {
            let now = Instant::now();
            self.changed = Some((self.changed.map_or(now, |(first, _)| first), now));
        }
    }

    fn build(&mut self) {
        let mut arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        if !self.first {
            // What it compiles is known by now; what is wrong is told all the same.
            arguments.push("--quiet");
        }
        match Build::start(&self.folder, &arguments) {
            Ok(build) => self.building = Some(build),
            Err(error) => {
                say(&format!("cannot start cargo: {error}; is Rust installed, and in the PATH?"));
            }
        }
    }

    fn built(&mut self, found: Option<PathBuf>) {
        let Some(build) = self.building.take() else { return };
        let folder = self.folder.display();
        match build.finish(found) {
            Ok((Built::Library(library), took)) => {
                self.first = false;
                match self.drop_in(&library) {
                    Ok(true) => log::debug!("built in {:.2} s", took.as_secs_f64()),
                    Ok(false) if self.waiting.take().is_some() => {
                        say("built, and nothing has changed in the library");
                    }
                    Ok(false) => {}
                    Err(error) => say(&format!(
                        "cannot copy {} into {}: {error}",
                        library.display(),
                        self.plugins.display()
                    )),
                }
            }
            Ok((Built::NoLibrary, _)) => say(&format!(
                "built, but not as a library that a host can load: {folder}/Cargo.toml needs [lib] \
                 with crate-type = [\"cdylib\"], and {folder} has to be a package's"
            )),
            Ok((Built::Failed, took)) => say(&format!(
                "not built ({:.2} s), see above{}",
                took.as_secs_f64(),
                self.serves_on()
            )),
            Err(error) => say(&format!("cargo cannot be waited for: {error}")),
        }
    }

    /// Puts the library into the plugins folder, beside and then renamed; returns whether it is
    /// another than what is there.
    fn drop_in(&mut self, library: &Path) -> io::Result<bool> {
        let name = library.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let target = self.plugins.join(&name);
        let bytes = fs::read(library)?;
        let same = fs::read(&target).is_ok_and(|before| before == bytes);
        // One that lay there before this host came has been told of already.
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
            // The package has another name by now.
            platform::retry_while_in_use(|| fs::remove_file(self.plugins.join(&before)))?;
        }
        Ok(!same)
    }

    /// Tells what became of the file that was dropped in.
    fn tell(&mut self, event: &PluginEvent) {
        if self.dropped.as_ref() != Some(&event.file) {
            return;
        }
        let PluginEvent { plugin, generation, detail, .. } = event;
        let what = match event.kind {
            EventKind::Loaded | EventKind::Swapped => {
                self.served = true;
                format!("plugin {plugin}, generation {generation}, serves")
            }
            EventKind::Refused => format!("refused: {detail}{}", self.serves_on()),
            _ => return,
        };
        let since = self.waiting.take().map(|(since, what)| {
            format!(", {:.2} s after the {what}", since.elapsed().as_secs_f64())
        });
        say(&format!("{what}{}", since.unwrap_or_default()));
    }

    fn serves_on(&self) -> &'static str {
        if self.served { "; the version before serves on" } else { "" }
    }
}

fn say(what: &str) {
    // Nobody need read it.
    let _ = io::Write::write_all(&mut io::stderr(), format!("dev: {what}\n").as_bytes());
}

/// Lets nobody else write, as the host wants it; many systems let the group.
fn close_to_others(path: &Path) -> io::Result<()> {
    let rights = fs::metadata(path)?.permissions();
    fs::set_permissions(path, platform::closed_to_others(rights))
}
