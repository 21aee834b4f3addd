//! Brings a plugin to the state that the disk has: its snapshot, and then its journal.

use std::time::{Duration, Instant};

use journal::{Found, ReadError, Torn};

use super::{
    replay::{ReplayError, Replayer},
    store::States,
};

/// Interval at which the log reports the progress.
const REPORT_INTERVAL: Duration = Duration::from_secs(2);

/// A state that was loaded.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The length of the snapshot, in bytes; `None` if there was none.
    pub bytes: Option<u64>,
    /// The first record that the snapshot does not contain.
    pub record: u64,
    /// The number of records that were replayed.
    pub replayed: u64,
    /// The journal.
    pub found: Found,
}

/// Hands a plugin the bytes that it has saved.
pub type Restore<'a> = dyn FnMut(Vec<u8>) -> Result<(), String> + 'a;

/// Brings a plugin that has not been called to the state that the disk has. Calls
/// `progress` while this goes on.
///
/// # Errors
/// A file cannot be read or is damaged, records are missing, or the plugin does not accept the
/// snapshot or a record; the text is for people, and says what to do.
pub fn load(
    (states, plugin): (&States, &str),
    replayer: &mut Replayer,
    restore: &mut Restore<'_>,
    progress: &dyn Fn(),
) -> Result<Loaded, String> {
    let mut next_report = Instant::now() + REPORT_INTERVAL;
    let mut report = |what: &str, count: u64| {
        progress();
        // The clock is not read for each.
        if count.is_multiple_of(256) && Instant::now() >= next_report {
            next_report = Instant::now() + REPORT_INTERVAL;
            log::info!("plugin {plugin}: {count} {what} so far");
        }
    };
    let mut pieces = 0;
    let run = |error: ReplayError| error.to_string();
    let saved = states.load(plugin, &mut |time, commands| {
        pieces += 1;
        report("pieces of its state restored", pieces);
        replayer.run(0, time, commands).map_err(run)?;
        // A piece has many commands.
        replayer.finish().map_err(run)
    });
    let saved = saved.map_err(|error| error.to_string())?;
    let mut loaded = Loaded::default();
    if let Some(saved) = saved {
        (loaded.bytes, loaded.record) = (Some(saved.length), saved.record);
        if let Some(bytes) = saved.bytes {
            let file = states.file(plugin);
            let file = file.display();
            restore(bytes).map_err(|problem| {
                format!("{problem}; the state is in {file}, move it away to start anew")
            })?;
        }
    }
    let mut replayed = 0;
    let read = journal::read(states.folder(), plugin, loaded.record, &mut |record| {
        replayed += 1;
        report("records of its journal replayed", replayed);
        replayer.run(record.number, record.time, record.commands)
    });
    loaded.found = read.map_err(|error| explain(&error, plugin))?;
    replayer.finish().map_err(|error| {
        let folder = states.folder().display().to_string();
        explain_refused(&error, &folder, plugin)
    })?;
    loaded.replayed = replayed;
    if let Some(Torn { file, offset, bytes }) = &loaded.found.torn {
        let file = file.display();
        log::warn!(
            "plugin {plugin}: {file} ends in a record of which only {bytes} bytes are there, at \
             offset {offset}: the host was ended while it was written; it is cut off"
        );
    }
    Ok(loaded)
}

fn explain(error: &ReadError<ReplayError>, plugin: &str) -> String {
    match error {
        ReadError::Io { .. } => format!("its journal: {error}"),
        ReadError::Refused { file, error, .. } => {
            explain_refused(error, &file.display().to_string(), plugin)
        }
        _ => advise(&format!("its journal cannot be used: {error}"), plugin),
    }
}

/// Explains a record that is whole, and that this code cannot run.
fn explain_refused(error: &ReplayError, place: &str, plugin: &str) -> String {
    let number = error.number;
    format!(
        "record {number} of its journal in {place} cannot be run: {error}; nothing was \
         overwritten; put the version of the plugin back that wrote the record, and run 'plugin \
         save {plugin}' before this one takes its place"
    )
}

fn advise(problem: &str, plugin: &str) -> String {
    format!(
        "{problem}; nothing was overwritten; 'host state check {plugin}' shows it, and 'host state \
         repair {plugin}' keeps what comes before it"
    )
}
