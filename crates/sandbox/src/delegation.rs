//! Finds the control group below which this process may make others.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
};

use crate::error::Reason;

/// The group into which the host moves itself: Linux gives controllers only to the groups of a
/// group without processes of its own.
pub(crate) const HOST_GROUP: &str = "dropin-host";

/// The controllers that the groups of worker processes need.
pub(crate) const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

/// A control group below which this process may make others.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Delegation {
    /// The group's folder.
    pub(crate) folder: PathBuf,
}

impl Delegation {
    /// Returns the group of this process if it has the controllers and may be changed.
    pub(crate) fn find() -> Result<Self, Reason> {
        let read = |file| fs::read_to_string(file).map_err(|_| Reason::NoCgroup);
        let folder = folder(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?)?;
        Self::of_folder(&folder)
    }

    /// As [`find`](Self::find), for a process in this group.
    pub(crate) fn of_folder(folder: &Path) -> Result<Self, Reason> {
        let folder = match folder.parent() {
            Some(parent) if folder.ends_with(HOST_GROUP) => parent,
            _ => folder,
        };
        let available = fs::read_to_string(folder.join("cgroup.controllers"))
            .map_err(|source| Reason::NotDelegated { path: folder.into(), source })?;
        for controller in CONTROLLERS {
            if !available.split_whitespace().any(|name| name == controller) {
                return Err(Reason::NoController { path: folder.into(), controller });
            }
        }
        for path in
            [folder.into(), folder.join("cgroup.subtree_control"), folder.join("cgroup.procs")]
        {
            if let Err(source) = check_writable(&path) {
                return Err(Reason::NotDelegated { path, source });
            }
        }
        let delegation = Self { folder: folder.into() };
        // Only the host moves itself; nobody else's process is moved.
        let alone = delegation.processes()?.iter().all(|pid| *pid == process::id());
        if delegation.missing_controllers()?.is_empty() || alone {
            return Ok(delegation);
        }
        Err(Reason::Shared { path: folder.into() })
    }

    /// Returns the controllers that the groups below this one do not have yet.
    pub(crate) fn missing_controllers(&self) -> Result<Vec<&'static str>, Reason> {
        let enabled = self.read("cgroup.subtree_control")?;
        let is_missing = |name: &&str| !enabled.split_whitespace().any(|enabled| enabled == *name);
        Ok(CONTROLLERS.into_iter().filter(is_missing).collect())
    }

    /// Returns the processes in the group itself.
    pub(crate) fn processes(&self) -> Result<Vec<u32>, Reason> {
        Ok(self.read("cgroup.procs")?.lines().filter_map(|line| line.parse().ok()).collect())
    }

    fn read(&self, file: &str) -> Result<String, Reason> {
        let path = self.folder.join(file);
        fs::read_to_string(&path).map_err(|source| Reason::NotDelegated { path, source })
    }
}

/// Returns the folder of the process's group, by `/proc/self/mountinfo` and `/proc/self/cgroup`.
fn folder(mounts: &str, groups: &str) -> Result<PathBuf, Reason> {
    // "36 25 0:32 ROOT MOUNT-POINT rw,nosuid shared:9 - cgroup2 cgroup2 rw"
    let (root, mounted) = mounts
        .lines()
        .find_map(|line| {
            let (place, system) = line.split_once(" - ")?;
            let mut place = place.split(' ').skip(3);
            (system.split(' ').next()? == "cgroup2").then_some((place.next()?, place.next()?))
        })
        .ok_or(Reason::NoCgroup)?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::")).ok_or(Reason::NoCgroup)?;
    // A part of the hierarchy is mounted where ROOT is not "/".
    let below = Path::new(group).strip_prefix(root).map_err(|_| Reason::NoCgroup)?;
    // The root of the hierarchy adds nothing, and no separator either.
    Ok(Path::new(mounted).join(below).components().collect())
}

#[cfg(unix)]
fn check_writable(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::access(path, rustix::fs::Access::WRITE_OK)?)
}

#[cfg(not(unix))]
fn check_writable(path: &Path) -> io::Result<()> {
    fs::metadata(path).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "25 1 0:22 / /proc rw - proc proc rw\n\
                          36 25 0:32 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";

    #[test]
    fn group_is_found_below_the_mount_point() {
        assert_eq!(folder(MOUNTS, "0::/\n").unwrap().as_os_str(), "/sys/fs/cgroup");
        let found = folder(MOUNTS, "4:memory:/old\n0::/system.slice/dropin.service\n").unwrap();
        assert_eq!(found, Path::new("/sys/fs/cgroup/system.slice/dropin.service"));
        let part = MOUNTS.replace("0:32 / ", "0:32 /system.slice ");
        let found = folder(&part, "0::/system.slice/dropin.service\n").unwrap();
        assert_eq!(found, Path::new("/sys/fs/cgroup/dropin.service"));
    }

    #[test]
    fn version_one_alone_is_no_group() {
        let old = "36 25 0:32 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
        for (mounts, groups) in [(old, "0::/\n"), (MOUNTS, "4:cpu:/\n"), ("", "")] {
            assert_eq!(
                folder(mounts, groups).unwrap_err().to_string(),
                "no cgroup v2 is delegated to this process"
            );
        }
    }

    /// A folder with the files of a group.
    fn group(controllers: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in ["cgroup.controllers", "cgroup.subtree_control", "cgroup.procs"] {
            fs::write(root.path().join(file), controllers).unwrap();
        }
        root
    }

    #[test]
    fn every_controller_must_be_available() {
        let root = group("cpuset memory pids");
        let error = Delegation::of_folder(root.path()).unwrap_err().to_string();
        assert!(error.ends_with("has no controller 'cpu'"), "{error}");
        let root = group("cpuset cpu memory pids");
        assert!(Delegation::of_folder(root.path()).is_ok());
    }

    #[test]
    fn other_processes_prevent_controllers() {
        let root = group("cpu memory pids");
        let procs = root.path().join("cgroup.procs");
        fs::write(&procs, format!("1\n{}\n", process::id())).unwrap();
        assert!(Delegation::of_folder(root.path()).is_ok(), "the controllers are enabled");
        fs::write(root.path().join("cgroup.subtree_control"), "memory").unwrap();
        let error = Delegation::of_folder(root.path()).unwrap_err();
        assert!(matches!(error, Reason::Shared { .. }), "{error}");
        fs::write(&procs, format!("{}\n", process::id())).unwrap();
        assert!(Delegation::of_folder(root.path()).is_ok(), "the host can move itself");
    }

    #[test]
    fn every_file_must_be_there() {
        for file in ["cgroup.controllers", "cgroup.subtree_control", "cgroup.procs"] {
            let root = group("cpu memory pids");
            fs::remove_file(root.path().join(file)).unwrap();
            let error = Delegation::of_folder(root.path()).unwrap_err();
            assert!(matches!(error, Reason::NotDelegated { .. }), "{file}: {error}");
        }
    }

    #[test]
    fn host_in_its_own_group_finds_the_parent() {
        let root = group("cpu memory pids");
        let found = Delegation::of_folder(&root.path().join(HOST_GROUP)).unwrap();
        assert_eq!(found.folder, root.path());
    }
}
