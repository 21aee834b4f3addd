//! Reads a plugin's configuration, `NAME.toml` in the plugins folder, and hands it to the plugin.
//!
//! The host finds the file, checks its owner and permissions, reads it and passes its text on. The
//! plugin alone interprets the text.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use crate::{
    files::trust_policy::TrustPolicy,
    live::{
        deadline::{Deadline, TimedOut},
        generation::Generation,
        manifest::is_plugin_name,
        place,
    },
    load_error::Refusal,
};

/// The longest configuration, in bytes.
const MOST: u64 = 1 << 20;

/// Returns the plugin whose configuration has this path; `None` if the path names no configuration.
#[must_use]
pub fn plugin_of(path: &Path) -> Option<&str> {
    let toml = path.extension().is_some_and(|extension| extension == "toml");
    path.file_stem()?.to_str().filter(|stem| toml && is_plugin_name(stem))
}

/// Returns the path of a plugin's configuration, which may not exist.
#[must_use]
pub fn path_of(folder: &Path, plugin: &str) -> PathBuf {
    folder.join(format!("{plugin}.toml"))
}

/// The configuration that a generation was given last, and the result.
pub struct AppliedConfig {
    /// The hash of the file's text; `None` if there was no file.
    pub content: Option<blake3::Hash>,
    /// The reason for which it was refused; `None` if it was not.
    pub refused: Option<String>,
    /// True if the plugin has not answered, so that its values are unknown.
    pub open: bool,
    /// The time at which it was given.
    pub when: Instant,
}

/// The reason for which a configuration is not in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// A description for people.
    pub message: String,
    /// True if the same file may be accepted a moment later.
    pub passing: bool,
    /// True if the plugin may still put it in force.
    pub open: bool,
}

impl AppliedConfig {
    /// Records the configuration that a generation has just been given.
    #[must_use]
    pub fn now(text: Option<&str>, problem: Option<&Problem>) -> Self {
        let refused = problem.map(|problem| problem.message.clone());
        let open = problem.is_some_and(|problem| problem.open);
        Self { content: content(text), refused, open, when: Instant::now() }
    }

    /// Describes it for people.
    #[must_use]
    pub fn describe(&self, plugin: &str) -> String {
        let file = match self.content {
            Some(_) => format!("{plugin}.toml"),
            None => format!("the defaults, there being no {plugin}.toml,"),
        };
        let ago = self.when.elapsed().as_secs();
        match &self.refused {
            None => format!("{file} applied {ago} s ago"),
            Some(why) if self.open => {
                format!("{file} given {ago} s ago, the values in force are unknown: {why}")
            }
            Some(why) => format!("{file} refused {ago} s ago, the old values are in force: {why}"),
        }
    }
}

/// Returns the hash of a file's text; `None` if there is no file.
#[must_use]
pub fn content(text: Option<&str>) -> Option<blake3::Hash> {
    text.map(|text| blake3::hash(text.as_bytes()))
}

/// Reads the text of a configuration file; `None` if there is no file.
///
/// # Errors
/// Other users could have written it, it is not a regular file, longer than 1 MiB or not UTF-8,
/// changes meanwhile, or cannot be read.
pub fn read(file: &Path, trust_policy: &TrustPolicy) -> Result<Option<String>, Problem> {
    let lasting = |message: String| Err(Problem { message, passing: false, open: false });
    let opened = match platform::open_file(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable("open it", &error)),
    };
    let before = opened.metadata().map_err(|error| unreadable("access it", &error))?;
    let folder = file.parent().unwrap_or(file);
    if let Err(refusal) =
        trust_policy.check_folder(folder).and_then(|()| trust_policy.check_file(file, &before))
    {
        let (message, passing) = (refusal.to_string(), refusal.is_passing());
        return Err(Problem { message, passing, open: false });
    }
    let mut bytes = Vec::new();
    // One byte more shows that the file is too long.
    let read = (&opened).take(MOST + 1).read_to_end(&mut bytes);
    read.map_err(|error| unreadable("read it", &error))?;
    if bytes.len() as u64 > MOST {
        return lasting(format!("it is longer than {MOST} bytes"));
    }
    let after = opened.metadata().map_err(|error| unreadable("access it", &error))?;
    if before.len() != after.len() || before.modified().ok() != after.modified().ok() {
        let message = "it changed while it was being read".to_owned();
        return Err(Problem { message, passing: true, open: false });
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(text)),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            lasting(format!("it is not UTF-8: byte {at} begins no character"))
        }
    }
}

/// Hands a text to a generation, which may be serving.
///
/// # Errors
/// The plugin's error, or that it does not return in time, or that an earlier call has not.
pub fn apply(
    generation: &Arc<Generation>,
    text: String,
    deadline: &Deadline<'_>,
) -> Result<(), Problem> {
    if generation.configuring.swap(true, Ordering::SeqCst) {
        let message = "an earlier `configure` of it has not returned yet".to_owned();
        return Err(Problem { message, passing: true, open: false });
    }
    let configured = Arc::clone(generation);
    let applied = generation.within(deadline, "configure", move || {
        let name = &configured.manifest.name;
        let applied = place::in_plugin(name, "configure", || configured.live().configure(&text));
        configured.configuring.store(false, Ordering::SeqCst);
        applied
    });
    match applied {
        Ok(applied) => applied.map_err(|message| Problem { message, passing: false, open: false }),
        Err(timed_out) => {
            if timed_out == TimedOut::NoThread {
                generation.configuring.store(false, Ordering::SeqCst);
            }
            let message = timed_out.explain("configure", deadline.time);
            let open = timed_out == TimedOut::Expired;
            Err(Problem { message, passing: !open, open })
        }
    }
}

impl Problem {
    /// Turns it into the refusal of a plugin that cannot start without the file, or with it.
    #[must_use]
    pub fn refusal(self, plugin: &str, file: &Path, there: bool) -> Refusal {
        let (message, file) = (self.message, file.display());
        let problem = if there {
            format!(
                "its configuration {file} is refused: {message}; correct it, and it is tried again"
            )
        } else {
            format!("it does not start without {file}: {message}; write it, and it is tried again")
        };
        Refusal::Configuration { plugin: plugin.to_owned(), problem, passing: self.passing }
    }
}

fn unreadable(operation: &str, error: &io::Error) -> Problem {
    // A failure that may pass without a change in the folder.
    let passing = platform::is_passing(error) || platform::is_in_use(error);
    Problem { message: format!("cannot {operation}: {error}"), passing, open: false }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::trust::PluginTrust;

    #[test]
    fn file_configures_plugin_of_its_name() {
        for (path, plugin) in [
            ("plugins/clock.toml", Some("clock")),
            ("plugins/word-count_2.toml", Some("word-count_2")),
            ("plugins/Cargo.toml", None),
            ("plugins/.clock.toml", None),
            ("plugins/clock.toml~", None),
            ("plugins/clock.old.toml", None),
            ("plugins/libclock.so", None),
        ] {
            assert_eq!(plugin_of(Path::new(path)), plugin, "{path}");
        }
        assert_eq!(path_of(Path::new("plugins"), "clock"), Path::new("plugins/clock.toml"));
    }

    #[test]
    fn too_large_or_binary_file_is_rejected() {
        let temp = tempfile::tempdir().unwrap();
        let trust = PluginTrust { allow_insecure_plugins: true, plugin_key: None };
        let trust_policy = TrustPolicy::new(&trust).unwrap();
        let file = temp.path().join("clock.toml");
        let read = || read(&file, &trust_policy).map_err(|problem| problem.message);
        assert_eq!(read(), Ok(None));
        for text in [String::new(), "zone = 'UTC'".into(), "x".repeat(1 << 20)] {
            fs::write(&file, &text).unwrap();
            assert_eq!(read(), Ok(Some(text)));
        }
        fs::write(&file, "x".repeat((1 << 20) + 1)).unwrap();
        assert_eq!(read(), Err("it is longer than 1048576 bytes".into()));
        fs::write(&file, b"zone = '\xff'").unwrap();
        assert_eq!(read(), Err("it is not UTF-8: byte 8 begins no character".into()));
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        assert!(read().unwrap_err().contains("not a regular file"));
    }
}
