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

/// Makes the command's process the head of a group of its own.
pub fn own_group(command: &mut Command) {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    #[cfg(not(unix))]
    let _ = command;
}

/// Kills the group of a process that was started in one of its own and has not been waited for.
pub fn kill_group(child: &Child) {
    #[cfg(unix)]
    {
        use rustix::process::{Pid, Signal, kill_process_group};
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // Nobody is left to kill where it fails.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
    #[cfg(not(unix))]
    let _ = child;
}

/// Has this process killed when the one that started it ends, where the system can.
pub fn die_with_parent() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Signal, set_parent_process_death_signal};
        // Without it the process is only killed where the parent lives to do so.
        let _ = set_parent_process_death_signal(Some(Signal::KILL));
    }
}
