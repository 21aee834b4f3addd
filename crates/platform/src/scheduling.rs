//! Threads as the system sees them: the class in which they get their turn, and what they are called.

use std::io;

/// Puts this thread, and each that it starts, into the class for batches, where there is one: woken,
/// it lets whoever runs finish the turn (`SCHED_BATCH` in sched(7)). A class that was chosen for the
/// program stays.
///
/// # Errors
/// The system's.
pub fn set_batch_scheduling() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{getpriority_process, setpriority_process};
        use thread_priority::{
            Error, NormalThreadSchedulePolicy as Class, ThreadPriority,
            ThreadSchedulePolicy::Normal, set_thread_priority_and_policy, thread_native_id,
            thread_schedule_policy,
        };
        let wrong = |error: Error| match error {
            Error::OS(number) => io::Error::from_raw_os_error(number),
            other => io::Error::other(other),
        };
        if thread_schedule_policy().map_err(wrong)? != Normal(Class::Other) {
            return Ok(());
        }
        let nice = getpriority_process(None)?;
        // It sets the class, and then how nice the thread is, which few may; the second is undone.
        let set = set_thread_priority_and_policy(
            thread_native_id(),
            ThreadPriority::Max,
            Normal(Class::Batch),
        );
        setpriority_process(None, nice)?;
        if thread_schedule_policy().map_err(wrong)? != Normal(Class::Batch) {
            set.map_err(wrong)?;
        }
    }
    Ok(())
}

/// Has the system call this thread so, as far as it can: on Linux by the first 15 bytes.
pub fn name_thread(name: &str) {
    #[cfg(target_os = "linux")]
    if let Ok(name) = std::ffi::CString::new(name) {
        // It is for who looks at the threads, and nothing depends on it.
        let _ = rustix::thread::set_name(&name);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = name;
}
