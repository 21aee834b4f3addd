//! Processes.

use std::{
    io,
    path::PathBuf,
    process::{Child, Command},
};

/// This process's own program: the very one that runs, also after its file has been replaced.
///
/// # Errors
/// The system's.
pub fn own_program() -> io::Result<PathBuf> {
    if cfg!(target_os = "linux") {
        return Ok("/proc/self/exe".into());
    }
    std::env::current_exe()
}

/// A process that was started, and all that it starts: they end together.
#[derive(Debug)]
pub struct Group {
    /// Its own process.
    pub child: Child,
    /// Windows ends what is in it when the last handle is closed, however this process ends.
    #[cfg(windows)]
    job: win32job::Job,
}

impl Group {
    /// Starts a process as the head of a group of its own. A signal of the terminal's does not reach
    /// it.
    ///
    /// # Errors
    /// The system's.
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        #[cfg(unix)]
        {
            std::os::unix::process::CommandExt::process_group(command, 0);
            Ok(Self { child: command.spawn()? })
        }
        #[cfg(windows)]
        {
            use std::os::windows::{io::AsRawHandle, process::CommandExt};
            use windows_sys::Win32::System::Threading::CREATE_NEW_PROCESS_GROUP;
            let job = win32job::Job::create_with_limit_info(
                win32job::ExtendedLimitInfo::new().limit_kill_on_job_close(),
            )
            .map_err(io::Error::other)?;
            let mut child = command.creation_flags(CREATE_NEW_PROCESS_GROUP).spawn()?;
            if let Err(error) = job.assign_process(child.as_raw_handle() as isize) {
                // One that has ended already cannot be put into it.
                if !matches!(child.try_wait(), Ok(Some(_))) {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(io::Error::other(error));
                }
            }
            Ok(Self { child, job })
        }
    }

    /// Kills them all, and waits for the process that was started. Where all have ended, it does
    /// nothing.
    pub fn kill(&mut self) {
        #[cfg(unix)]
        {
            use rustix::process::{Pid, Signal, kill_process_group};
            let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
            if let Some(pid) = pid {
                // Nobody is left to kill where it fails.
                let _ = kill_process_group(pid, Signal::KILL);
            }
        }
        #[cfg(windows)]
        if let Ok(empty) = win32job::Job::create() {
            drop(std::mem::replace(&mut self.job, empty));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Has this process killed when the one that started it ends, where the system can and a [`Group`]
/// does not see to it.
pub fn die_with_parent() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Signal, set_parent_process_death_signal};
        // Without it the process is only killed where the parent lives to do so.
        let _ = set_parent_process_death_signal(Some(Signal::KILL));
    }
}
