//! A plugin's configuration: the file `NAME.toml` in the plugins folder, where NAME is the plugin's.
//!
//! The host finds the file, judges whose it is, reads it and hands its text over. What the text
//! means is the plugin's to say.

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

/// The plugin whose configuration a file of this path is, or would be.
#[must_use]
pub fn plugin_of(path: &Path) -> Option<&str> {
    let toml = path.extension().is_some_and(|extension| extension == "toml");
    path.file_stem()?.to_str().filter(|stem| toml && is_plugin_name(stem))
}

/// Where a plugin's configuration is, or would be.
#[must_use]
pub fn path_of(folder: &Path, plugin: &str) -> PathBuf {
    folder.join(format!("{plugin}.toml"))
}

/// What a generation has been given, and what it made of it.
pub struct AppliedConfig {
    /// The hash of the file's text; `None`: there was no file.
    pub content: Option<blake3::Hash>,
    /// Why it was refused, if it was.
    pub refused: Option<String>,
    /// The plugin has not said what it made of it.
    pub open: bool,
    /// When.
    pub when: Instant,
}

/// Why a configuration is not in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// For people.
    pub words: String,
    /// The same file may be taken a moment later.
    pub passing: bool,
    /// The plugin may yet put it in force.
    pub open: bool,
}

impl AppliedConfig {
    /// What a generation has just been given.
    #[must_use]
    pub fn now(text: Option<&str>, problem: Option<&Problem>) -> Self {
        let refused = problem.map(|problem| problem.words.clone());
        let open = problem.is_some_and(|problem| problem.open);
        Self { content: content(text), refused, open, when: Instant::now() }
    }

    /// What it has been given in words, for a plugin of this name.
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
                format!("{file} given {ago} s ago, which values are in force is not known: {why}")
            }
            Some(why) => format!("{file} refused {ago} s ago, the old values are in force: {why}"),
        }
    }
}

/// What tells one file's text from another's, and from there being no file.
#[must_use]
pub fn content(text: Option<&str>) -> Option<blake3::Hash> {
    text.map(|text| blake3::hash(text.as_bytes()))
}

/// The text of a configuration file; `None` where there is no file.
///
/// # Errors
/// Where others could have written it, it is no plain file, too long or not UTF-8, changes
/// meanwhile, or cannot be read.
pub fn read(file: &Path, trust_policy: &TrustPolicy) -> Result<Option<String>, Problem> {
    let lasting = |words: String| Err(Problem { words, passing: false, open: false });
    let opened = match platform::open_file(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable("open it", &error)),
    };
    let before = opened.metadata().map_err(|error| unreadable("look at it", &error))?;
    let folder = file.parent().unwrap_or(file);
    if let Err(refusal) =
        trust_policy.folder(folder).and_then(|()| trust_policy.file(file, &before))
    {
        let (words, passing) = (refusal.to_string(), refusal.is_passing());
        return Err(Problem { words, passing, open: false });
    }
    let mut bytes = Vec::new();
    // One more tells that there is more.
    let read = (&opened).take(MOST + 1).read_to_end(&mut bytes);
    read.map_err(|error| unreadable("read it", &error))?;
    if bytes.len() as u64 > MOST {
        return lasting(format!("it is longer than {MOST} bytes"));
    }
    let after = opened.metadata().map_err(|error| unreadable("look at it", &error))?;
    if before.len() != after.len() || before.modified().ok() != after.modified().ok() {
        let words = "it changed while it was being read".to_owned();
        return Err(Problem { words, passing: true, open: false });
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
/// What the plugin says, or that it took too long.
pub fn apply(
    generation: &Arc<Generation>,
    text: String,
    deadline: &Deadline<'_>,
) -> Result<(), Problem> {
    if generation.configuring.swap(true, Ordering::SeqCst) {
        let words = "an earlier `configure` of it has not returned yet".to_owned();
        return Err(Problem { words, passing: true, open: false });
    }
    let configured = Arc::clone(generation);
    let applied = generation.within(deadline, "configure", move || {
        let name = &configured.manifest.name;
        let applied = place::in_plugin(name, "configure", || configured.live().configure(&text));
        configured.configuring.store(false, Ordering::SeqCst);
        applied
    });
    match applied {
        Ok(applied) => applied.map_err(|words| Problem { words, passing: false, open: false }),
        Err(lost) => {
            if lost == TimedOut::NoThread {
                generation.configuring.store(false, Ordering::SeqCst);
            }
            let words = lost.explain("configure", deadline.time);
            let open = lost == TimedOut::Expired;
            Err(Problem { words, passing: !open, open })
        }
    }
}

impl Problem {
    /// The refusal of a plugin that cannot start without the file, or with it.
    #[must_use]
    pub fn refusal(self, plugin: &str, file: &Path, there: bool) -> Refusal {
        let (words, file) = (self.words, file.display());
        let problem = if there {
            format!(
                "its configuration {file} is refused: {words}; correct it, and it is tried again"
            )
        } else {
            format!("it does not start without {file}: {words}; write it, and it is tried again")
        };
        Refusal::Configuration { plugin: plugin.to_owned(), problem, passing: self.passing }
    }
}

fn unreadable(operation: &str, error: &io::Error) -> Problem {
    // When that is over, nothing in the folder has changed.
    let passing = platform::is_passing(error) || platform::is_in_use(error);
    Problem { words: format!("cannot {operation}: {error}"), passing, open: false }
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
        let read = || read(&file, &trust_policy).map_err(|problem| problem.words);
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
        assert!(read().unwrap_err().contains("no plain file"));
    }
}
