//! Reload helpers: versions of a fixture, ways to write them into the folder, and facts that the
//! host reports about them.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use crate::{
    built, files,
    frame::Frame,
    host::Host,
    lines::Lines,
    resp::Resp,
    wait::{LIMIT, wait_until},
};

/// The bytes before a fixture's mark.
const MARK: &[u8] = b"[[mark:";
/// The length of a mark, in bytes.
const ROOM: usize = 24;

/// Returns a package's library without its debug information, which loads unchanged and faster.
///
/// # Panics
/// The library is not built.
#[must_use]
pub fn stripped(package: &str) -> Vec<u8> {
    let cut = |bytes: &mut Vec<u8>| {
        if cfg!(target_os = "linux") {
            bytes.truncate(files::mapped(bytes));
            // Clears the offset and the size of the section table.
            bytes[0x28..0x30].fill(0);
            bytes[0x3c..0x40].fill(0);
        }
    };
    files::altered(package, cut)
}

/// Returns a fixture's library with this mark.
///
/// # Panics
/// The fixture has no mark, or the mark is too long.
#[must_use]
pub fn marked(package: &str, mark: &str) -> Vec<u8> {
    let mut bytes = stripped(package);
    let found = bytes.windows(MARK.len()).position(|window| window == MARK);
    let start = found.expect("the fixture has a mark") + MARK.len();
    let mark = format!("{mark:ROOM$}");
    assert_eq!(mark.len(), ROOM, "a mark has {ROOM} bytes of room");
    bytes[start..start + ROOM].copy_from_slice(mark.as_bytes());
    bytes
}

/// Returns the same library as a different file: the loader ignores bytes behind its end.
#[must_use]
pub fn variant(package: &str, number: usize) -> Vec<u8> {
    let mut bytes = stripped(package);
    bytes.extend_from_slice(format!("variant {number}").as_bytes());
    bytes
}

/// Writes a file into a folder: under a temporary name, then renamed.
///
/// # Panics
/// The file cannot be written.
pub fn place(folder: &Path, name: &str, bytes: &[u8]) {
    let beside = folder.join(format!(".{name}.new"));
    fs::write(&beside, bytes).expect("a file can be written");
    files::rename(&beside, folder.join(name));
}

/// A file that is written in pieces and stays open.
pub struct SlowWriter<'a> {
    file: File,
    left: &'a [u8],
    piece: usize,
}

impl<'a> SlowWriter<'a> {
    /// Opens or creates the file, and writes nothing yet.
    ///
    /// # Panics
    /// The file cannot be opened.
    #[must_use]
    pub fn open(path: &Path, bytes: &'a [u8], pieces: usize) -> Self {
        let file = files::create(path);
        Self { file, left: bytes, piece: bytes.len().div_ceil(pieces) }
    }

    /// Writes the next piece. Returns whether more follow.
    ///
    /// # Panics
    /// The piece cannot be written.
    pub fn write(&mut self) -> bool {
        let (piece, left) = self.left.split_at(self.piece.min(self.left.len()));
        self.file.write_all(piece).expect("a file can be written");
        self.left = left;
        !left.is_empty()
    }
}

impl Host {
    /// Returns the path of a package's library in the plugins folder.
    #[must_use]
    pub fn library(&self, package: &str) -> PathBuf {
        self.plugins_folder().join(built::library_name(package))
    }

    /// Writes a library into the plugins folder under a package's name: a temporary name first,
    /// then renamed.
    pub fn place(&self, package: &str, bytes: &[u8]) {
        place(&self.plugins_folder(), &built::library_name(package), bytes);
    }

    /// Returns the reply of `plugin info`.
    #[must_use]
    #[track_caller]
    pub fn info(&self, plugin: &str) -> Frame {
        Resp::connect3(self).ask(&["plugin", "info", plugin])
    }

    /// Returns one number from `plugin info`.
    ///
    /// # Panics
    /// There is no such number.
    #[must_use]
    #[track_caller]
    pub fn figure(&self, plugin: &str, name: &str) -> i64 {
        let info = self.info(plugin);
        match info.get(name) {
            Some(Frame::Integer(number)) => *number,
            _ => panic!("no number '{name}' in {info:?}"),
        }
    }

    /// Returns how often a plugin has been replaced. A replacement that had to wait takes another
    /// number.
    #[must_use]
    pub fn swaps(&self, plugin: &str) -> usize {
        let news = format!("plugin {plugin}: generation ");
        let is_swap = |line: &&str| line.contains(&news) && line.contains(" swapped, ");
        self.log().lines().filter(is_swap).count()
    }

    /// Waits until a plugin has been replaced this often.
    #[track_caller]
    pub fn wait_for_swaps(&self, plugin: &str, count: usize) {
        let what = format!("plugin {plugin} has been replaced {count} times");
        wait_until(&what, LIMIT, || self.swaps(plugin) == count);
    }

    /// Waits until a command has this reply.
    #[track_caller]
    pub fn wait_for_answer(&self, command: &str, answer: &str) {
        let (mut client, mut last) = (Lines::connect(self), String::new());
        let what = format!("'{command}' is answered '{answer}'");
        wait_until(&what, LIMIT, || {
            last = client.ask(command);
            last == answer
        });
    }

    /// Waits until a command is unknown.
    #[track_caller]
    pub fn wait_until_unknown(&self, command: &str) {
        let mut client = Lines::connect(self);
        wait_until(&format!("'{command}' is unknown"), LIMIT, || {
            client.ask(command).starts_with("error: unknown command")
        });
    }

    /// Waits until the host has processed every earlier change in the plugins folder: this changes
    /// a package's library and waits for that change, which comes after them.
    #[track_caller]
    pub fn process_changes(&self, package: &str, number: usize) {
        let news = format!("plugin {package}: generation ");
        let taken = |line: &&str| {
            line.contains(&news) && (line.contains(" swapped") || line.contains(" loaded"))
        };
        let count = || self.log().lines().filter(taken).count();
        let before = count();
        self.place(package, &variant(package, number));
        wait_until("a change is taken", LIMIT, || count() > before);
        // Probes run concurrently: earlier ones may end after this one.
        let probes = |what: &str| self.log().matches(what).count();
        wait_until("the probes have ended", LIMIT, || {
            probes(": probe ended") == probes(": probe started")
        });
    }

    /// Kills the host, as the system does when it has no memory left, and waits for its end.
    ///
    /// # Panics
    /// The host has already ended.
    #[cfg(unix)]
    #[track_caller]
    pub fn kill(&mut self) {
        self.signal(rustix::process::Signal::KILL);
        assert_eq!(self.exit(), None);
    }

    /// Runs a function while the host is stopped, so that the host sees only the final result.
    #[cfg(unix)]
    #[track_caller]
    pub fn while_stopped(&self, act: impl FnOnce()) {
        self.signal(rustix::process::Signal::STOP);
        act();
        self.signal(rustix::process::Signal::CONT);
    }

    #[cfg(unix)]
    fn signal(&self, signal: rustix::process::Signal) {
        use rustix::process::{Pid, kill_process};
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("the host is there");
    }

    /// Returns the directory that belongs to this host alone.
    #[must_use]
    pub fn own_dir(&self) -> PathBuf {
        self.state_dir().join(self.port().to_string())
    }

    /// Returns the names of the private copies.
    ///
    /// # Panics
    /// The folder cannot be read.
    #[must_use]
    pub fn copies(&self) -> Vec<String> {
        let entries = match fs::read_dir(self.own_dir().join("copies")) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => panic!("cannot look for private copies: {error}"),
        };
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// Returns the private copies that are not in use: on Windows a loaded one stays in place.
    #[must_use]
    pub fn unused_copies(&self) -> Vec<String> {
        let mut copies = self.copies();
        let folder = self.own_dir().join("copies");
        copies.retain(|name| {
            !cfg!(windows) || File::options().write(true).open(folder.join(name)).is_ok()
        });
        copies
    }

    /// Returns the private copies of a package's library that are mapped into the host.
    ///
    /// # Panics
    /// The system does not list the mappings.
    #[cfg(target_os = "linux")]
    #[must_use]
    pub fn mapped(&self, package: &str) -> Vec<String> {
        let maps = fs::read_to_string(format!("/proc/{}/maps", self.pid())).expect("its maps");
        let name = built::library_name(package);
        let start = format!("/copies/{}.", name.trim_end_matches(std::env::consts::DLL_SUFFIX));
        let mut found: Vec<_> = maps
            .lines()
            .filter_map(|line| line.find(&start).map(|at| line[at + 1..].to_owned()))
            .collect();
        found.sort();
        found.dedup();
        found
    }

    /// Returns the private copies of a package's library that are mapped into the host: these
    /// cannot be opened for writing.
    #[cfg(windows)]
    #[must_use]
    pub fn mapped(&self, package: &str) -> Vec<String> {
        let start = format!("{}.", package.replace('-', "_"));
        let mut found = self.copies();
        found.retain(|name| {
            let path = self.own_dir().join("copies").join(name);
            name.starts_with(&start)
                && File::options().write(true).open(path).is_err_and(|error| {
                    // Sharing violation: the library is loaded.
                    error.raw_os_error() == Some(32)
                })
        });
        found
    }

    /// Waits until this many versions of a package's library are mapped.
    #[cfg(any(target_os = "linux", windows))]
    #[track_caller]
    pub fn wait_until_mapped(&self, package: &str, count: usize) {
        wait_until(&format!("{count} versions of {package} are mapped"), LIMIT, || {
            self.mapped(package).len() == count
        });
    }
}
