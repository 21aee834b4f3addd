//! Processes.

use std::{
    io,
    path::PathBuf,
    process::{Child, Command},
    sync::OnceLock,
};

use super::files::path_identity;

/// This process's own program: the very one that runs. The first call, early, notes which it is.
///
/// # Errors
/// The system's; and, where the system knows a program by its name alone, that its file has been
/// moved or replaced.
pub fn own_program() -> io::Result<PathBuf> {
    static NOTED: OnceLock<(PathBuf, (u64, u64))> = OnceLock::new();
    if cfg!(target_os = "linux") {
        return Ok("/proc/self/exe".into());
    }
    if let Some((path, identity)) = NOTED.get() {
        if path_identity(path).is_ok_and(|found| found == *identity) {
            return Ok(path.clone());
        }
        let path = path.display();
        return Err(io::Error::other(format!(
            "{path} is no longer the program that runs: put that back, or restart the host"
        )));
    }
    let path = std::env::current_exe()?;
    let noted = (path.clone(), path_identity(&path)?);
    NOTED.get_or_init(|| noted);
    Ok(path)
}

/// Whether a process that is started may have this one's terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terminal {
    /// It has it, but Ctrl-C there is not for it.
    Shared,
    /// On Windows it has none. What it starts in turn there opens one, for everybody to see.
    None,
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
    /// Starts a process as the head of a group of its own.
    ///
    /// # Errors
    /// The system's.
    pub fn spawn(command: &mut Command, terminal: Terminal) -> io::Result<Self> {
        #[cfg(unix)]
        {
            let _ = terminal;
            std::os::unix::process::CommandExt::process_group(command, 0);
            Ok(Self { child: command.spawn()? })
        }
        #[cfg(windows)]
        {
            use std::os::windows::{io::AsRawHandle, process::CommandExt};
            use windows_sys::Win32::System::Threading::{
                CREATE_NEW_PROCESS_GROUP, DETACHED_PROCESS,
            };
            let flags = match terminal {
                Terminal::Shared => CREATE_NEW_PROCESS_GROUP,
                Terminal::None => DETACHED_PROCESS,
            };
            let job = win32job::Job::create_with_limit_info(
                win32job::ExtendedLimitInfo::new().limit_kill_on_job_close(),
            )
            .map_err(io::Error::other)?;
            let mut child = command.creation_flags(flags).spawn()?;
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

    /// What the process that was started has left running, having ended itself, goes on.
    pub fn release(&self) {
        // Where it fails they end after all, as they do where this process is killed.
        #[cfg(windows)]
        let _ = self.job.set_extended_limit_info(&win32job::ExtendedLimitInfo::new());
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

#[cfg(test)]
mod tests {
    use std::{
        env,
        io::{Read, Write},
        net::{Ipv4Addr, TcpListener, TcpStream},
        process::Stdio,
        thread,
        time::{Duration, Instant},
    };

    use super::*;

    const ADDRESS: &str = "DROPIN_TEST_ADDRESS";

    /// This program, as far as it is the other part of the test, which is told of an address.
    fn part(name: &str, address: &str) -> Command {
        let mut command = Command::new(env::current_exe().unwrap());
        let module = module_path!().split_once("::").unwrap().1;
        command.args(["--ignored", "--exact", &format!("{module}::{name}")]);
        command.env(ADDRESS, address).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    #[test]
    #[ignore = "a part of another"]
    #[expect(clippy::zombie_processes, reason = "that is what it is for")]
    fn leaves_one_running() {
        if let Ok(address) = env::var(ADDRESS) {
            part("echoes", &address).spawn().unwrap();
        }
    }

    #[test]
    #[ignore = "a part of another"]
    fn echoes() {
        if let Ok(address) = env::var(ADDRESS) {
            let stream = TcpStream::connect(address).unwrap();
            io::copy(&mut &stream, &mut &stream).unwrap();
        }
    }

    /// The first that comes within a minute.
    fn accept(listener: &TcpListener) -> TcpStream {
        listener.set_nonblocking(true).unwrap();
        let limit = Instant::now() + Duration::from_secs(60);
        let stream = loop {
            match listener.accept() {
                Ok((stream, _)) => break stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    assert!(Instant::now() < limit, "nobody came");
                    thread::sleep(Duration::from_millis(5));
                }
                Err(error) => panic!("{error}"),
            }
        };
        stream.set_nonblocking(false).unwrap();
        stream
    }

    #[test]
    fn group_kill_ends_descendants_unless_released() {
        for released in [true, false] {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let address = listener.local_addr().unwrap().to_string();
            let mut group =
                Group::spawn(&mut part("leaves_one_running", &address), Terminal::None).unwrap();
            assert!(group.child.wait().unwrap().success());
            let mut left = accept(&listener);
            left.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            if released {
                group.release();
                drop(group);
            } else {
                group.kill();
            }
            let mut echoed = [0];
            let answer = left.write_all(b"x").and_then(|()| left.read_exact(&mut echoed));
            assert_eq!(answer.is_ok(), released, "{answer:?}");
        }
    }
}
