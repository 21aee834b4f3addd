//! Starts and ends processes, and finds this process's program.

use std::{
    io,
    path::PathBuf,
    process::{Child, Command, ExitStatus},
    sync::OnceLock,
    time::Duration,
};

use super::files::path_identity;

/// Returns the path of the running program. The first call, made early, records its identity.
///
/// # Errors
/// The system cannot name the program; or, except on Linux, the file at its path has been moved or
/// replaced since the first call.
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

/// Access of a started process to this one's terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terminal {
    /// It shares the terminal, but Ctrl-C does not reach it.
    Shared,
    /// It has none on Windows; processes that it starts there open a visible one.
    None,
}

/// A started process and all processes that it starts: they end together.
#[derive(Debug)]
pub struct Group {
    /// The started process. The methods of the group wait for it: once it has been waited for
    /// directly, they end none of its processes any more.
    pub child: Child,
    /// True once the started process has been waited for: its number may be another's then.
    #[cfg(unix)]
    is_reaped: bool,
    /// Windows ends all processes in it when its last handle closes, however this process ends.
    #[cfg(windows)]
    job: win32job::Job,
}

impl Group {
    /// Starts a process as the head of a new group.
    ///
    /// # Errors
    /// The program cannot be started; or, on Windows, no job can be made for it.
    pub fn spawn(command: &mut Command, terminal: Terminal) -> io::Result<Self> {
        #[cfg(unix)]
        {
            let _ = terminal;
            std::os::unix::process::CommandExt::process_group(command, 0);
            Ok(Self { child: command.spawn()?, is_reaped: false })
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
                // A process that has ended already cannot be put into it.
                if !matches!(child.try_wait(), Ok(Some(_))) {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(io::Error::other(error));
                }
            }
            Ok(Self { child, job })
        }
    }

    /// Lets the processes that the started process has left running continue; call it after it has
    /// ended.
    pub fn release(&self) {
        // After a failure they end with this process, as they do if it is killed.
        #[cfg(windows)]
        let _ = self.job.set_extended_limit_info(&win32job::ExtendedLimitInfo::new());
    }

    /// Kills all processes of the group without waiting for their end. Does nothing once the started
    /// process has been waited for.
    pub fn end_now(&mut self) {
        if !self.is_reaped() {
            self.kill_all();
        }
    }

    /// Returns true if the started process has been waited for, so that its number, which is the
    /// group's as well, may be another's. Until then the system keeps it, also after the end.
    #[cfg(unix)]
    fn is_reaped(&self) -> bool {
        use rustix::{
            io::Errno,
            process::{WaitId, WaitIdOptions, waitid},
        };
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let is_child = |pid| !matches!(waitid(WaitId::Pid(pid), look), Err(Errno::CHILD));
        self.is_reaped || !self.pid().is_some_and(is_child)
    }

    /// Returns false: on Windows the job is of this group alone.
    #[cfg(windows)]
    fn is_reaped(&self) -> bool {
        false
    }

    /// Asks the started process to end: SIGTERM; on Windows, which has no such request, nothing.
    pub fn ask_to_end(&mut self) {
        #[cfg(unix)]
        if let Some(pid) = self.pid()
            && !self.is_reaped()
        {
            // A failure means that it has ended.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
    }

    /// Returns an observer of the started process's end.
    ///
    /// # Errors
    /// The system has no descriptors left.
    pub fn observer(&self) -> io::Result<ExitObserver> {
        #[cfg(target_os = "linux")]
        {
            let pid = self.pid().ok_or_else(|| io::Error::other("it has no number"))?;
            let flags = rustix::process::PidfdFlags::empty();
            Ok(ExitObserver { pidfd: rustix::process::pidfd_open(pid, flags)? })
        }
        #[cfg(all(unix, not(target_os = "linux")))]
        {
            let pid = self.pid().ok_or_else(|| io::Error::other("it has no number"))?;
            Ok(ExitObserver { pid })
        }
        #[cfg(windows)]
        Ok(ExitObserver {})
    }

    /// Returns the started process's status if it has ended; what it has started is killed first.
    ///
    /// # Errors
    /// The system cannot tell.
    #[cfg_attr(windows, expect(unused_variables, reason = "there the job ends the others"))]
    pub fn reap(&mut self, observer: &ExitObserver) -> io::Result<Option<ExitStatus>> {
        #[cfg(unix)]
        {
            if !observer.has_ended() {
                return Ok(None);
            }
            // Before its number is free: the group has the same.
            self.end_now();
        }
        let status = self.child.try_wait()?;
        #[cfg(unix)]
        {
            self.is_reaped |= status.is_some();
        }
        Ok(status)
    }

    #[cfg(unix)]
    fn pid(&self) -> Option<rustix::process::Pid> {
        i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw)
    }

    fn kill_all(&mut self) {
        #[cfg(unix)]
        if let Some(pid) = self.pid() {
            use rustix::process::{Signal, kill_process_group};
            // A failure means that no process is left.
            let _ = kill_process_group(pid, Signal::KILL);
        }
        #[cfg(windows)]
        {
            if let Ok(empty) = win32job::Job::create() {
                drop(std::mem::replace(&mut self.job, empty));
            }
            let _ = self.child.kill();
        }
    }

    /// Kills all processes of the group, and waits for the started one. Does nothing once that has
    /// been waited for.
    pub fn kill(&mut self) {
        if self.is_reaped() {
            return;
        }
        self.kill_all();
        let _ = self.child.kill();
        let _ = self.child.wait();
        #[cfg(unix)]
        {
            self.is_reaped = true;
        }
    }
}

/// Observes the end of a process, on any thread.
#[derive(Debug)]
pub struct ExitObserver {
    #[cfg(target_os = "linux")]
    pidfd: std::os::fd::OwnedFd,
    #[cfg(all(unix, not(target_os = "linux")))]
    pid: rustix::process::Pid,
}

impl ExitObserver {
    /// Waits for the process's end, for at most this time; it may return early. The process is not
    /// waited for in the sense of the system.
    pub fn wait(&self, time: Duration) {
        #[cfg(target_os = "linux")]
        {
            use rustix::event::{PollFd, PollFlags, Timespec, poll};
            let time = Timespec::try_from(time).ok();
            // An interruption is an early return.
            let _ = poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], time.as_ref());
        }
        #[cfg(not(target_os = "linux"))]
        std::thread::sleep(time.min(POLL));
    }

    /// Returns true if the process has ended; it need not have been waited for.
    #[cfg(unix)]
    fn has_ended(&self) -> bool {
        #[cfg(target_os = "linux")]
        {
            use rustix::event::{PollFd, PollFlags, Timespec, poll};
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            let ended = poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], Some(&now));
            ended.is_ok_and(|ended| ended > 0)
        }
        #[cfg(not(target_os = "linux"))]
        {
            use rustix::{
                io::Errno,
                process::{WaitId, WaitIdOptions, waitid},
            };
            let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            // Without a process of this number it has been waited for already.
            matches!(waitid(WaitId::Pid(self.pid), look), Ok(Some(_)) | Err(Errno::CHILD))
        }
    }
}

/// The interval at which systems other than Linux are asked for a process's end.
#[cfg(not(target_os = "linux"))]
const POLL: Duration = Duration::from_millis(2);

/// Makes Linux kill this process when its parent ends; on Windows the parent's [`Group`] does that.
pub fn die_with_parent() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Signal, set_parent_process_death_signal};
        // If this fails, only a living parent can kill this process.
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
        time::Instant,
    };

    use super::*;

    const ADDRESS: &str = "DROPIN_TEST_ADDRESS";

    /// The child's part of the test: this program again, with an address to connect to.
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

    /// The first connection within a minute.
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

    /// A group whose started process has ended, or is about to, and a connection to the one that
    /// it has left running.
    fn left_running() -> (Group, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut command = part("leaves_one_running", &address);
        let group = Group::spawn(&mut command, Terminal::None).unwrap();
        let left = accept(&listener);
        left.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        (group, left)
    }

    fn is_running(mut left: &TcpStream) -> bool {
        left.write_all(b"x").and_then(|()| left.read_exact(&mut [0])).is_ok()
    }

    /// Waits for the started process's end, but does not reap it where that is possible.
    fn wait_for_end(group: &mut Group) {
        #[cfg(unix)]
        {
            let observer = group.observer().unwrap();
            let limit = Instant::now() + Duration::from_secs(60);
            while !observer.has_ended() {
                assert!(Instant::now() < limit, "it does not end");
                observer.wait(Duration::from_secs(1));
            }
        }
        #[cfg(windows)]
        group.child.wait().unwrap();
    }

    #[test]
    fn group_kill_ends_descendants_unless_released() {
        for released in [true, false] {
            let (mut group, left) = left_running();
            wait_for_end(&mut group);
            if released {
                group.release();
                let _ = group.child.wait();
                drop(group);
            } else {
                group.kill();
            }
            assert_eq!(is_running(&left), released);
        }
    }

    #[cfg(unix)]
    #[test]
    fn reaping_ends_descendants() {
        let (mut group, left) = left_running();
        let observer = group.observer().unwrap();
        wait_for_end(&mut group);
        assert!(group.reap(&observer).unwrap().unwrap().success());
        assert!(!is_running(&left));
        // The status stays known.
        assert!(group.reap(&observer).unwrap().unwrap().success());
    }

    #[cfg(unix)]
    #[test]
    fn now_ends_descendants_of_ended_process() {
        let (mut group, left) = left_running();
        wait_for_end(&mut group);
        group.end_now();
        assert!(!is_running(&left));
        group.kill();
    }

    #[cfg(unix)]
    #[test]
    fn number_that_may_be_anothers_is_not_killed() {
        let (mut group, left) = left_running();
        let observer = group.observer().unwrap();
        // The process that is left has the group's number, as a later one could.
        assert!(group.child.wait().unwrap().success());
        group.ask_to_end();
        group.end_now();
        assert!(group.reap(&observer).unwrap().unwrap().success());
        group.kill();
        assert!(is_running(&left));
    }

    #[cfg(unix)]
    #[test]
    fn running_process_is_not_reaped() {
        let mut command = Command::new("sleep");
        let mut group = Group::spawn(command.arg("60"), Terminal::None).unwrap();
        let observer = group.observer().unwrap();
        assert_eq!(group.reap(&observer).unwrap(), None);
        group.ask_to_end();
        wait_for_end(&mut group);
        group.kill();
    }
}
