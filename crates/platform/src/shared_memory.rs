//! Memory that this process shares with another, and waits on.
//!
//! Only Linux has it here: elsewhere making it fails, and callers use their connection alone.
#![allow(unsafe_code, reason = "the compiler cannot know how long mapped memory stays")]

/// Memory that this process shares with another.
///
/// It consists of atomic words, so that any change by the other process is an unknown value, never
/// undefined behaviour. Whatever is read may be a lie.
#[derive(Debug)]
pub struct SharedMemory {
    #[cfg(target_os = "linux")]
    map: memmap2::MmapRaw,
    #[cfg(not(target_os = "linux"))]
    never: std::convert::Infallible,
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        io,
        os::fd::{AsFd, OwnedFd},
        sync::atomic::AtomicU32,
        time::Duration,
    };

    use memmap2::MmapRaw;
    use rustix::{
        fs::{FallocateFlags, MemfdFlags, SealFlags},
        thread::futex,
    };

    use super::SharedMemory;

    impl SharedMemory {
        /// Makes memory of this length in bytes, a multiple of 4, and returns the descriptor that
        /// [`open`](Self::open) takes in the other process.
        ///
        /// # Errors
        /// The system has no memory or descriptors left, or is older than Linux 3.17.
        pub fn make(length: usize) -> io::Result<(Self, OwnedFd)> {
            let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
            let file = rustix::fs::memfd_create("dropin", flags)?;
            // Taken at once: memory that is missing later would end this process.
            rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, length as u64)?;
            // The other process must not be able to take the memory away again.
            let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
            rustix::fs::fcntl_add_seals(&file, seals)?;
            let map = MmapRaw::map_raw(&file)?;
            Ok((Self { map }, file))
        }

        /// Maps the memory that another process has made.
        ///
        /// # Errors
        /// It has not this length, could be made shorter, or cannot be mapped.
        pub fn open(file: impl AsFd, length: usize) -> io::Result<Self> {
            let file = file.as_fd();
            let found = rustix::fs::fstat(file)?.st_size;
            let is_sealed = rustix::fs::fcntl_get_seals(file)?.contains(SealFlags::SHRINK);
            if u64::try_from(found) != Ok(length as u64) || !is_sealed {
                return Err(io::ErrorKind::InvalidData.into());
            }
            Ok(Self { map: MmapRaw::map_raw(&file)? })
        }

        /// Returns its words.
        #[must_use]
        pub fn words(&self) -> &[AtomicU32] {
            // SAFETY: the mapping starts at a page, is as long as `len` says, is writable, and lives
            // as long as `self`, which the slice borrows. It cannot shrink: the file is sealed
            // against that, which `make` does and `open` checks. Every access goes through atomics,
            // in this process as there is no other way to the memory; the other process may write
            // at any time, which for an atomic is another value.
            unsafe { std::slice::from_raw_parts(self.map.as_mut_ptr().cast(), self.map.len() / 4) }
        }
    }

    /// Waits until [`wake`] is called for this word of shared memory, if it has this value; for at
    /// most this time. It may return early.
    pub fn wait(word: &AtomicU32, value: u32, time: Option<Duration>) {
        let time = time.and_then(|time| futex::Timespec::try_from(time).ok());
        // Every error is an early return.
        let _ = futex::wait(word, futex::Flags::empty(), value, time.as_ref());
    }

    /// Wakes whoever waits for this word of shared memory, in any process.
    pub fn wake(word: &AtomicU32) {
        // It cannot fail for a valid address.
        let _ = futex::wake(word, futex::Flags::empty(), i32::MAX.cast_unsigned());
    }
}

#[cfg(target_os = "linux")]
pub use linux::{wait, wake};

#[cfg(not(target_os = "linux"))]
mod other {
    use std::{sync::atomic::AtomicU32, time::Duration};

    use super::SharedMemory;

    impl SharedMemory {
        /// Returns its words.
        #[must_use]
        pub fn words(&self) -> &[AtomicU32] {
            match self.never {}
        }
    }

    /// Returns at once: there is no shared memory.
    pub fn wait(_: &AtomicU32, _: u32, _: Option<Duration>) {}

    /// Does nothing: there is no shared memory.
    pub fn wake(_: &AtomicU32) {}
}

#[cfg(not(target_os = "linux"))]
pub use other::{wait, wake};

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{sync::atomic::Ordering, thread, time::Duration};

    use super::*;

    #[test]
    fn both_mappings_have_the_same_words() {
        let (ours, file) = SharedMemory::make(8192).unwrap();
        let theirs = SharedMemory::open(&file, 8192).unwrap();
        assert_eq!((ours.words().len(), theirs.words().len()), (2048, 2048));
        ours.words()[2047].store(7, Ordering::SeqCst);
        assert_eq!(theirs.words()[2047].load(Ordering::SeqCst), 7);
    }

    #[test]
    fn other_process_cannot_take_memory_away() {
        let (_ours, file) = SharedMemory::make(8192).unwrap();
        assert!(rustix::fs::ftruncate(&file, 0).is_err());
        assert!(rustix::fs::ftruncate(&file, 1 << 20).is_err());
    }

    #[test]
    fn unsealed_or_shorter_memory_is_refused() {
        let (_ours, file) = SharedMemory::make(8192).unwrap();
        assert!(SharedMemory::open(&file, 4096).is_err());
        let flags = rustix::fs::MemfdFlags::ALLOW_SEALING;
        let open = rustix::fs::memfd_create("open", flags).unwrap();
        rustix::fs::ftruncate(&open, 8192).unwrap();
        assert!(SharedMemory::open(&open, 8192).is_err());
    }

    #[test]
    fn a_waiting_thread_is_woken() {
        let (ours, file) = SharedMemory::make(4096).unwrap();
        let theirs = SharedMemory::open(&file, 4096).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                while ours.words()[0].load(Ordering::SeqCst) == 0 {
                    wait(&ours.words()[0], 0, Some(Duration::from_secs(60)));
                }
            });
            theirs.words()[0].store(1, Ordering::SeqCst);
            wake(&theirs.words()[0]);
        });
        wait(&ours.words()[0], 1, Some(Duration::from_millis(1)));
    }
}
