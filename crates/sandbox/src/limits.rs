//! The limits of one worker process.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{
    delegation::Delegation,
    error::{ApplyError, Reason, Unsupported},
};

/// The limits of one worker process; `None` means that the system's own limit applies.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// The most memory, in bytes.
    pub memory: Option<u64>,
    /// The most processors that it may use on average, such as 0.5.
    pub cpu: Option<f64>,
    /// The most open files, sockets included.
    pub open_files: Option<u64>,
    /// The parts of the system that it may use.
    pub sandbox: Sandbox,
}

/// The parts of the system that a worker process may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sandbox {
    /// Everything that the host may use.
    #[default]
    Off,
    /// It may write only to its data directory.
    Files,
    /// As [`Files`](Self::Files), and it has no network.
    Strict,
}

impl Limits {
    /// Checks that this system can enforce every limit; call it in the host.
    ///
    /// A sandbox is tried on a thread that ends then, so that the host stays unrestricted.
    ///
    /// # Errors
    /// The first limit that this system cannot enforce, the reason, and what to do.
    pub fn check(&self) -> Result<(), Unsupported> {
        if let Some(bytes) = self.memory.filter(|_| !cfg!(target_os = "linux")) {
            return Err(Unsupported {
                limit: format!("memory = {bytes}"),
                reason: Reason::System(if cfg!(windows) {
                    "the host sets no memory limit on Windows"
                } else {
                    "RLIMIT_DATA does not count mapped memory on this system"
                }),
                advice: "remove this limit, or run the host on Linux",
            });
        }
        if let Some(files) = self.open_files.filter(|_| !cfg!(unix)) {
            return Err(Unsupported {
                limit: format!("open-files = {files}"),
                reason: Reason::System("Windows has no limit of open files"),
                advice: "remove this limit, or run the host on Linux",
            });
        }
        if let Some(cpu) = self.cpu {
            Delegation::find().map_err(|reason| Unsupported {
                limit: format!("cpu = {cpu}"),
                reason,
                advice: "remove this limit, or run the host as a systemd service with \
                         Delegate=cpu memory pids",
            })?;
        }
        self.check_sandbox()
    }

    #[cfg(target_os = "linux")]
    fn check_sandbox(&self) -> Result<(), Unsupported> {
        if self.sandbox == Sandbox::Off {
            return Ok(());
        }
        let sandbox = self.sandbox;
        // Both restrictions belong to a thread and end with it.
        let trial = std::thread::Builder::new()
            .name("sandbox-trial".into())
            .spawn(move || restrict(sandbox, &[]))
            .map_err(|error| ApplyError::new("start a thread to try the sandbox", error))
            .and_then(|thread| {
                thread.join().unwrap_or_else(|_| {
                    Err(ApplyError::new("try the sandbox", "the thread of the trial panicked"))
                })
            });
        trial.map_err(|error| Unsupported {
            limit: format!("sandbox = \"{}\"", sandbox.name()),
            reason: error.into(),
            advice: "set sandbox = \"off\", or use Linux 5.13 or newer with Landlock and seccomp \
                     enabled",
        })
    }

    #[cfg(not(target_os = "linux"))]
    fn check_sandbox(&self) -> Result<(), Unsupported> {
        if self.sandbox == Sandbox::Off {
            return Ok(());
        }
        Err(Unsupported {
            limit: format!("sandbox = \"{}\"", self.sandbox.name()),
            reason: Reason::System("this system has neither Landlock nor seccomp"),
            advice: "set sandbox = \"off\", or run the host on Linux",
        })
    }

    /// Applies the limits to this process and to all that it starts.
    ///
    /// Call it in the worker process, on its only thread, before any code of the plugin. `writable`
    /// are existing folders that a sandbox leaves writable. `cpu` is not applied here: the host
    /// puts the process into a [`Cgroup`](crate::Cgroup).
    ///
    /// # Errors
    /// A limit that the system refuses. The process may then be restricted in part and must end.
    pub fn apply(&self, writable: &[PathBuf]) -> Result<(), ApplyError> {
        #[cfg(target_os = "linux")]
        require_one_thread()?;
        self.apply_to_thread(writable)
    }

    /// As [`apply`](Self::apply), but a sandbox restricts only this thread of several.
    pub(crate) fn apply_to_thread(&self, writable: &[PathBuf]) -> Result<(), ApplyError> {
        #[cfg(unix)]
        self.apply_resources()?;
        #[cfg(target_os = "linux")]
        if self.sandbox != Sandbox::Off {
            restrict(self.sandbox, writable)?;
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _ = writable;
            self.check().map_err(|error| ApplyError::new("apply the limits", error))?;
        }
        Ok(())
    }

    #[cfg(unix)]
    fn apply_resources(&self) -> Result<(), ApplyError> {
        #[cfg(target_os = "linux")]
        if let Some(bytes) = self.memory {
            crate::resources::limit_memory(bytes)?;
        }
        if let Some(files) = self.open_files {
            crate::resources::limit_open_files(files)?;
        }
        #[cfg(target_os = "linux")]
        if self.memory.is_some() || self.open_files.is_some() {
            crate::resources::forbid_raising()?;
        }
        Ok(())
    }
}

#[cfg(target_os = "linux")]
fn restrict(sandbox: Sandbox, writable: &[PathBuf]) -> Result<(), ApplyError> {
    let gaps = crate::files::gaps();
    crate::files::restrict(writable)?;
    crate::syscalls::restrict(sandbox == Sandbox::Strict, gaps)
}

/// Landlock, seccomp and capabilities concern the calling thread, and threads that it makes later.
#[cfg(target_os = "linux")]
fn require_one_thread() -> Result<(), ApplyError> {
    let threads = std::fs::read_dir("/proc/self/task")
        .map_err(|error| ApplyError::new("count the threads of the process", error))?
        .count();
    if threads == 1 {
        return Ok(());
    }
    Err(ApplyError::new("restrict the process", format!("{threads} threads run, and only one may")))
}

impl Sandbox {
    /// Returns the name that the settings file has for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Files => "files",
            Self::Strict => "strict",
        }
    }
}

/// Returns the limits as text, such as `memory 256 MiB, sandbox strict`; `none` if there are none.
#[must_use]
pub fn describe(limits: &Limits) -> String {
    let Limits { memory, cpu, open_files, sandbox } = limits;
    let parts = [
        memory.map(|bytes| format!("memory {}", describe_size(bytes))),
        cpu.map(|cpu| format!("cpu {cpu}")),
        open_files.map(|files| format!("open files {files}")),
        (*sandbox != Sandbox::Off).then(|| format!("sandbox {}", sandbox.name())),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "none".into() } else { parts.join(", ") }
}

/// The size in the largest unit that expresses it as a whole number.
fn describe_size(bytes: u64) -> String {
    [("GiB", 30), ("MiB", 20), ("KiB", 10)]
        .into_iter()
        .find(|(_, shift)| bytes >= 1 << shift && bytes.trailing_zeros() >= *shift)
        .map_or_else(|| format!("{bytes} B"), |(unit, shift)| format!("{} {unit}", bytes >> shift))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_described_in_whole_units() {
        assert_eq!(describe(&Limits::default()), "none");
        let limits = Limits {
            memory: Some(256 << 20),
            cpu: Some(0.5),
            open_files: Some(100),
            sandbox: Sandbox::Strict,
        };
        assert_eq!(describe(&limits), "memory 256 MiB, cpu 0.5, open files 100, sandbox strict");
        for (bytes, text) in
            [(1 << 30, "1 GiB"), (1536 << 20, "1536 MiB"), (3 << 10, "3 KiB"), (1000, "1000 B")]
        {
            assert_eq!(describe_size(bytes), text);
        }
    }

    #[test]
    fn absent_limits_are_always_enforceable() {
        Limits::default().check().unwrap();
    }

    #[test]
    #[cfg(not(unix))]
    fn every_limit_is_refused_on_windows() {
        for (limits, limit) in [
            (Limits { memory: Some(1), ..Limits::default() }, "memory = 1"),
            (Limits { cpu: Some(0.5), ..Limits::default() }, "cpu = 0.5"),
            (Limits { open_files: Some(9), ..Limits::default() }, "open-files = 9"),
            (Limits { sandbox: Sandbox::Files, ..Limits::default() }, "sandbox = \"files\""),
        ] {
            assert_eq!(limits.check().unwrap_err().limit, limit);
            // The host applies `cpu` by a control group.
            assert!(limits.apply(&[]).is_err());
        }
    }
}
