//! The subcommand `host state`, which checks, repairs, exports and imports the saved state of
//! plugins.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use auth::date;
use plugin_engine::state::{
    export,
    import::{self, ImportError, Imported},
    inspection::{self, Inspection, SegmentFacts},
    repair::{Repair, RepairError},
};

use crate::{
    config::{PortPlace, StateAction, state_root},
    runtime::state_dir::{StateDir, StateDirError},
};

/// An error of `host state`.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    #[error(transparent)]
    Repair(#[from] RepairError),
    #[error(transparent)]
    Import(#[from] ImportError),
    #[error("cannot {0} {path}: {1}", path = .2.display())]
    Io(&'static str, #[source] io::Error, PathBuf),
    #[error("plugin {name} has no state in {}; see --state-dir and --port", folder.display())]
    NoState { name: String, folder: PathBuf },
    #[error("{0}")]
    Unusable(String),
    #[error("nothing was changed; add --yes to repair without a terminal")]
    NotConfirmed,
    #[error("nothing was changed")]
    Declined,
}

/// Runs `host state`, and returns the exit code.
pub(crate) fn run(action: StateAction) -> ExitCode {
    let done = match action {
        StateAction::Check { name, place } => check(name, place),
        StateAction::Repair { name, yes, place } => repair(&name, yes, place),
        StateAction::Export { name, output, place } => export(&name, output, place),
        StateAction::Import { name, file, replace, place } => import(&name, &file, replace, place),
    };
    match done {
        Ok(code) => code,
        // A reader such as `head` may close the pipe early, which is no failure.
        Err(Failure::Io(_, error, _)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{}: {failure}", program::own());
            ExitCode::FAILURE
        }
    }
}

fn check(name: Option<String>, place: PortPlace) -> Result<ExitCode, Failure> {
    let dir = StateDir::path_of(state_root(place.state.state_dir), place.port)?;
    let folder = dir.join("state");
    let names = match name {
        Some(name) => [name].into(),
        None => inspection::plugins_in(&folder).map_err(failed("read", &folder))?,
    };
    if names.is_empty() {
        println!("{} has no state", folder.display());
    }
    let mut code = ExitCode::SUCCESS;
    for name in names {
        let inspection = inspect(&folder, &name)?;
        print!("{}", describe(&inspection, &name, || StateDir::is_locked(&dir)));
        if let Some(problem) = explain_problem(&inspection, &folder, &name) {
            eprintln!("{}: plugin {name}: {problem}", program::own());
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

fn repair(name: &str, yes: bool, place: PortPlace) -> Result<ExitCode, Failure> {
    let root = state_root(place.state.state_dir);
    let folder = StateDir::path_of(root.clone(), place.port)?.join("state");
    if inspect(&folder, name)?.problem.is_none() {
        println!("plugin {name}: nothing to repair");
        return Ok(ExitCode::SUCCESS);
    }
    let _lock = StateDir::lock(root, place.port)?;
    // A repair shows the next damage, if there is one.
    while let Some(repair) = Repair::plan(&folder, name)? {
        println!("plugin {name}: {repair}");
        if !yes {
            confirm()?;
        }
        match repair.run()? {
            Some(aside) => {
                println!("plugin {name}: done; the files before are in {}", aside.display());
            }
            None => println!("plugin {name}: done"),
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn export(name: &str, output: Option<PathBuf>, place: PortPlace) -> Result<ExitCode, Failure> {
    let folder = StateDir::path_of(state_root(place.state.state_dir), place.port)?.join("state");
    let inspection = inspect(&folder, name)?;
    if let Some(problem) = explain_problem(&inspection, &folder, name) {
        return Err(Failure::Unusable(format!("plugin {name}: {problem}")));
    }
    let write = |out: &mut dyn Write| export::export(&folder, name, out);
    match output {
        Some(file) => {
            let made = new_file(&file).and_then(|opened| {
                let mut out = BufWriter::new(opened);
                write(&mut out)?;
                out.into_inner()?.sync_all()
            });
            made.map_err(failed("write", &file))?;
        }
        None => write(&mut BufWriter::new(io::stdout().lock()))
            .map_err(failed("export the state in", &folder))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn import(name: &str, file: &Path, replace: bool, place: PortPlace) -> Result<ExitCode, Failure> {
    let mut input: Box<dyn BufRead> = if file == Path::new("-") {
        Box::new(BufReader::new(io::stdin()))
    } else {
        Box::new(BufReader::new(File::open(file).map_err(failed("open", file))?))
    };
    let lock = StateDir::lock(state_root(place.state.state_dir), place.port)?;
    let folder = lock.path().join("state");
    let Imported { commands, state, aside } = import::import(&folder, name, &mut *input, replace)?;
    let word = if commands == 1 { "command" } else { "commands" };
    let (content, use_of_it) = match state {
        Some(bytes) => (format!("a snapshot of {bytes} bytes and {commands} {word}"), "reads them"),
        None if commands == 1 => (format!("1 {word}"), "runs it"),
        None => (format!("{commands} {word}"), "runs them"),
    };
    println!(
        "plugin {name}: {content} imported into {}; the plugin {use_of_it} at the next start of the \
         host",
        folder.display()
    );
    if let Some(aside) = aside {
        println!("plugin {name}: the files before are in {}", aside.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads the state of a plugin, which must have one.
fn inspect(folder: &Path, name: &str) -> Result<Inspection, Failure> {
    let inspection = Inspection::of(folder, name).map_err(failed("read", folder))?;
    if inspection.is_empty() {
        return Err(Failure::NoState { name: name.to_owned(), folder: folder.to_owned() });
    }
    Ok(inspection)
}

/// Returns the reason for which a host would refuse a state, and what a repair does about it.
fn explain_problem(inspection: &Inspection, folder: &Path, name: &str) -> Option<String> {
    let problem = inspection.explain_problem(folder, name)?;
    Some(match Repair::plan_for(inspection, folder, name) {
        Ok(Some(repair)) => format!("{problem}; 'host state repair {name}' mends it: {repair}"),
        Ok(None) => problem,
        // It begins with the problem.
        Err(error) => error.to_string(),
    })
}

/// Asks at the terminal whether to go on.
fn confirm() -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::NotConfirmed);
    }
    print!("Repair? [y/N] ");
    let mut answer = String::new();
    let read = io::stdout().flush().and_then(|()| io::stdin().read_line(&mut answer));
    match read {
        Ok(_) if ["y", "yes"].contains(&answer.trim().to_lowercase().as_str()) => Ok(()),
        _ => Err(Failure::Declined),
    }
}

/// Makes a file that only its owner can read; one that is there is not overwritten.
fn new_file(file: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)
}

/// Describes a state for people. `is_served` tells whether a host has it in use.
fn describe(inspection: &Inspection, name: &str, is_served: impl FnOnce() -> bool) -> String {
    let mut lines = vec![format!("plugin {name}")];
    match &inspection.snapshot {
        Some(snapshot) => lines.push(format!(
            "  {}: snapshot of {} bytes, in the form of {}, with all records below {}",
            file_name(&snapshot.file),
            snapshot.bytes,
            snapshot.form,
            snapshot.record
        )),
        None if inspection.problem.is_none() => lines.push("  no snapshot".to_owned()),
        None => {}
    }
    lines.extend(inspection.segments.iter().map(describe_segment));
    if let Some(torn) = &inspection.torn {
        let (offset, bytes) = (torn.offset, torn.bytes);
        let why = match is_served() {
            true => "a host serves this state and is writing it, which is normal",
            false => {
                "the host was ended while it was written; its next start cuts it off, and loses \
                 nothing else"
            }
        };
        lines.push(format!(
            "  {} ends in a part of a record, {bytes} bytes at offset {offset}: {why}",
            file_name(&torn.file)
        ));
    }
    if inspection.problem.is_none() {
        lines.push("  opens".to_owned());
    }
    lines.join("\n") + "\n"
}

fn describe_segment(segment: &SegmentFacts) -> String {
    let SegmentFacts { file, first, records, bytes, times } = segment;
    let content = match (first, times) {
        (Some(first), Some((begun, ended))) => format!(
            "records {first} to {}, {} to {}",
            first + records - 1,
            date::show_time(*begun),
            date::show_time(*ended)
        ),
        (Some(first), None) => format!("no records read, from {first} on"),
        (None, _) => "no header".to_owned(),
    };
    format!("  {}: {content}, {bytes} bytes", file_name(file))
}

fn file_name(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Failure {
    move |error| Failure::Io(operation, error, path.to_owned())
}
