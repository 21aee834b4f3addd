//! The control group of one worker process.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process, thread,
    time::{Duration, Instant},
};

use crate::{
    delegation::{Delegation, HOST_GROUP},
    error::CgroupError,
    limits::Limits,
};

/// The most threads of one worker process and its descendants: more than a runtime starts, and few
/// enough that a fork bomb leaves the system usable.
const MOST_THREADS: u64 = 512;

/// A control group (cgroup v2) that limits one worker process and its descendants.
///
/// Dropping it kills the processes that are left in the group, and removes it.
#[derive(Debug)]
pub struct Cgroup {
    folder: PathBuf,
}

impl Cgroup {
    /// Makes a group with these limits below the one that is delegated to this process.
    ///
    /// The first call may move this process into a group of its own beside the new one; it fails
    /// if this process has already started others that would stay behind.
    ///
    /// # Errors
    /// No group with the necessary controllers is delegated; or a file of it cannot be written.
    pub fn create(name: &str, limits: &Limits) -> Result<Self, CgroupError> {
        Self::create_below(&Delegation::find()?, name, limits)
    }

    fn create_below(
        delegation: &Delegation,
        name: &str,
        limits: &Limits,
    ) -> Result<Self, CgroupError> {
        enable_controllers(delegation)?;
        let folder = delegation.folder.join(name);
        // A host that was killed has left it.
        create_dir_if_missing(&folder)?;
        let group = Self { folder };
        for (file, text) in settings(limits) {
            group.write(file, &text)?;
        }
        Ok(group)
    }

    /// Moves a process into the group; its later descendants will be in it as well.
    ///
    /// # Errors
    /// The process has ended, or the system refuses.
    pub fn add(&self, pid: u32) -> Result<(), CgroupError> {
        self.write("cgroup.procs", &pid.to_string())
    }

    /// Kills all processes of the group at once; needs Linux 5.14.
    ///
    /// # Errors
    /// The system refuses, or is older.
    pub fn kill(&self) -> Result<(), CgroupError> {
        let path = self.folder.join("cgroup.kill");
        // An older kernel has no such file, and makes none.
        let file = fs::File::options().write(true).open(&path);
        file.and_then(|mut file| file.write_all(b"1")).map_err(at("write", &path))
    }

    fn write(&self, file: &str, text: &str) -> Result<(), CgroupError> {
        let path = self.folder.join(file);
        fs::write(&path, text).map_err(at("write", &path))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        /// The time for the processes to end.
        const ENDING: Duration = Duration::from_millis(100);
        /// The interval at which the removal is tried.
        const POLL: Duration = Duration::from_millis(2);
        // A process that has left the plugin's process group may live.
        let _ = self.kill();
        let expires_at = Instant::now() + ENDING;
        while let Err(error) = fs::remove_dir(&self.folder)
            && error.kind() != io::ErrorKind::NotFound
            && Instant::now() < expires_at
        {
            thread::sleep(POLL);
        }
    }
}

/// The files of a group and their contents.
fn settings(limits: &Limits) -> Vec<(&'static str, String)> {
    /// Microseconds: the period over which processor time is limited.
    const PERIOD: f64 = 100_000.0;
    /// The kernel rejects a smaller quota.
    const SMALLEST_QUOTA: f64 = 1_000.0;
    let mut settings = vec![("pids.max", MOST_THREADS.to_string())];
    if let Some(bytes) = limits.memory {
        settings.push(("memory.max", bytes.to_string()));
    }
    if let Some(cpu) = limits.cpu {
        let quota = (cpu * PERIOD).round().max(SMALLEST_QUOTA);
        settings.push(("cpu.max", format!("{quota} {PERIOD}")));
    }
    settings
}

/// Gives the controllers to the groups below this one, which must have no processes of its own.
fn enable_controllers(delegation: &Delegation) -> Result<(), CgroupError> {
    let missing = delegation.missing_controllers()?;
    if missing.is_empty() {
        return Ok(());
    }
    if delegation.processes()?.contains(&process::id()) {
        let own = delegation.folder.join(HOST_GROUP);
        create_dir_if_missing(&own)?;
        let procs = own.join("cgroup.procs");
        fs::write(&procs, process::id().to_string()).map_err(at("write", &procs))?;
    }
    let path = delegation.folder.join("cgroup.subtree_control");
    let text: Vec<_> = missing.iter().map(|name| format!("+{name}")).collect();
    fs::write(&path, text.join(" ")).map_err(at("write", &path))
}

fn create_dir_if_missing(path: &Path) -> Result<(), CgroupError> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map_err(at("create", path)),
    }
}

fn at(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CgroupError {
    let path = path.into();
    move |source| CgroupError::File { verb, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with the files of a group, whose contents the kernel would provide.
    fn delegated(enabled: &str, pids: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("cgroup.subtree_control"), enabled).unwrap();
        fs::write(root.path().join("cgroup.procs"), pids).unwrap();
        root
    }

    fn create(root: &tempfile::TempDir) -> Result<Cgroup, CgroupError> {
        let delegation = Delegation { folder: root.path().into() };
        Cgroup::create_below(&delegation, "store", &limits())
    }

    fn limits() -> Limits {
        Limits { memory: Some(1 << 20), cpu: Some(0.5), ..Limits::default() }
    }

    #[test]
    fn group_has_its_limits_and_processes() {
        let root = delegated("cpu memory pids", "7\n");
        let group = create(&root).unwrap();
        group.add(42).unwrap();
        assert!(group.kill().unwrap_err().to_string().contains("cgroup.kill"), "an old kernel");
        fs::write(root.path().join("store/cgroup.kill"), "").unwrap();
        group.kill().unwrap();
        let read = |file| fs::read_to_string(root.path().join("store").join(file)).unwrap();
        assert_eq!(read("memory.max"), "1048576");
        assert_eq!(read("cpu.max"), "50000 100000");
        assert_eq!(read("pids.max"), "512");
        assert_eq!(read("cgroup.procs"), "42");
        assert_eq!(read("cgroup.kill"), "1");
        assert!(!root.path().join(HOST_GROUP).exists(), "nothing had to be enabled");
    }

    #[test]
    fn absent_limits_are_not_written() {
        let files: Vec<_> = settings(&Limits::default()).into_iter().map(|set| set.0).collect();
        assert_eq!(files, ["pids.max"]);
        let tiny = Limits { cpu: Some(0.0001), ..Limits::default() };
        assert_eq!(settings(&tiny)[1], ("cpu.max", "1000 100000".into()));
    }

    #[test]
    fn host_moves_before_it_enables_controllers() {
        let own = process::id().to_string();
        let root = delegated("memory", &own);
        let _group = create(&root).unwrap();
        let read = |file| fs::read_to_string(root.path().join(file)).unwrap();
        assert_eq!(read("dropin-host/cgroup.procs"), own);
        assert_eq!(read("cgroup.subtree_control"), "+cpu +pids");
    }

    #[test]
    fn dropped_group_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("store");
        fs::create_dir(&folder).unwrap();
        drop(Cgroup { folder: folder.clone() });
        assert!(!folder.exists());
    }

    #[test]
    fn dropped_group_kills_what_keeps_it() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("store");
        fs::create_dir(&folder).unwrap();
        // This file stands for a process: it goes a while after the group was killed.
        let kill = folder.join("cgroup.kill");
        fs::write(&kill, "").unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                let limit = Instant::now() + Duration::from_secs(60);
                while fs::read(&kill).unwrap() != b"1" {
                    assert!(Instant::now() < limit, "it is not killed");
                }
                thread::sleep(Duration::from_millis(5));
                fs::remove_file(&kill).unwrap();
            });
            drop(Cgroup { folder: folder.clone() });
        });
        assert!(!folder.exists());
    }

    #[test]
    fn errors_name_the_file() {
        let root = tempfile::tempdir().unwrap();
        let error = create(&root).unwrap_err();
        assert!(error.to_string().contains("cgroup.subtree_control"), "{error}");
    }
}
