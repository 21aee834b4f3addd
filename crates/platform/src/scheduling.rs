//! Sets the scheduling class and the name of threads.

use std::io;

/// Puts this thread, and each that it starts later, into the class for batches, if the system has
/// one: a woken thread of it does not preempt others (`SCHED_BATCH` in sched(7)). A class that was
/// chosen for the program stays.
///
/// # Errors
/// The system refuses to read or change the class.
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
        // It sets the class, and then a nice value that needs privileges; the second is undone.
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

/// Names this thread in the system's listings; Linux keeps the first 15 bytes.
pub fn name_thread(name: &str) {
    #[cfg(target_os = "linux")]
    if let Ok(name) = std::ffi::CString::new(name) {
        // Best effort: the name is for people only.
        let _ = rustix::thread::set_name(&name);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = name;
}
