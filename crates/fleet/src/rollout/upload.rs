//! Files that sessions push in pieces.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{
    error::RolloutError,
    version::{LARGEST, check_file_name},
};

/// The most uploads at the same time, with those that are being stored.
const MOST: usize = 4;

/// The time without a piece after which an upload is dropped.
const IDLE: Duration = Duration::from_secs(30);

/// The longest signature, in bytes.
const LONGEST_SIGNATURE: usize = 16 << 10;

/// The files that sessions push in pieces, by their number. Together, and with those that have
/// arrived and are being stored, they have at most [`LARGEST`] bytes.
#[derive(Default)]
pub struct Uploads {
    list: Mutex<List>,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Default)]
struct List {
    uploads: BTreeMap<u64, Upload>,
    last: u64,
}

/// The memory that all uploads hold.
#[derive(Default)]
struct Taken {
    files: usize,
    bytes: usize,
}

/// The memory of one upload, until it is dropped.
pub(super) struct Room {
    taken: Arc<Mutex<Taken>>,
    size: usize,
}

impl Room {
    /// Takes room for a file of this size; `None` if there is none.
    fn take(taken: &Arc<Mutex<Taken>>, size: usize) -> Option<Self> {
        let mut all = taken.lock();
        if all.files >= MOST || all.bytes + size > LARGEST {
            return None;
        }
        all.files += 1;
        all.bytes += size;
        Some(Self { taken: Arc::clone(taken), size })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut all = self.taken.lock();
        all.files -= 1;
        all.bytes -= self.size;
    }
}

/// A file on its way.
pub struct Upload {
    session: u64,
    touched: Instant,
    pub(super) room: Room,
    /// Its name.
    pub file: String,
    /// The text of its signature file; empty if there is none.
    pub signature: String,
    /// Its content so far.
    pub content: Vec<u8>,
}

impl Uploads {
    /// Begins an upload of a session, and returns its number.
    ///
    /// # Errors
    /// The name is not that of a plugin, the file is too large, or there are too many uploads.
    pub fn begin(
        &self,
        session: u64,
        file: &str,
        size: usize,
        signature: String,
    ) -> Result<u64, RolloutError> {
        check_file_name(file)?;
        if size > LARGEST {
            return Err(RolloutError::TooLarge { file: file.to_owned(), size });
        }
        let refuse = |problem: &str| {
            Err(RolloutError::Upload { file: file.into(), problem: problem.into() })
        };
        if signature.len() > LONGEST_SIGNATURE {
            return refuse("its signature is too long");
        }
        self.drop_idle();
        let mut list = self.list.lock();
        // A session pushes one file at a time.
        list.uploads.retain(|_, upload| upload.session != session);
        let Some(room) = Room::take(&self.taken, size) else {
            return refuse("this host receives too many files at the moment; try again");
        };
        list.last += 1;
        let number = list.last;
        let upload = Upload {
            session,
            touched: Instant::now(),
            room,
            file: file.to_owned(),
            signature,
            content: Vec::new(),
        };
        list.uploads.insert(number, upload);
        Ok(number)
    }

    /// Appends a piece.
    ///
    /// # Errors
    /// The session has no such upload, or its file would be larger than it said.
    pub fn add(&self, session: u64, number: u64, piece: &[u8]) -> Result<(), RolloutError> {
        let mut list = self.list.lock();
        let upload = list.uploads.get_mut(&number).filter(|upload| upload.session == session);
        let upload = upload.ok_or_else(|| unknown(number))?;
        if upload.content.len() + piece.len() > upload.room.size {
            let (file, size) = (upload.file.clone(), upload.room.size);
            list.uploads.remove(&number);
            let problem = format!("it has more than the {size} bytes that it was said to have");
            return Err(RolloutError::Upload { file, problem });
        }
        upload.content.extend_from_slice(piece);
        upload.touched = Instant::now();
        Ok(())
    }

    /// Ends an upload and returns it.
    ///
    /// # Errors
    /// The session has no such upload, or pieces are missing.
    pub fn end(&self, session: u64, number: u64) -> Result<Upload, RolloutError> {
        let mut list = self.list.lock();
        let is_own = list.uploads.get(&number).is_some_and(|upload| upload.session == session);
        let upload = is_own.then(|| list.uploads.remove(&number)).flatten();
        let upload = upload.ok_or_else(|| unknown(number))?;
        let (arrived, size) = (upload.content.len(), upload.room.size);
        if arrived == size {
            return Ok(upload);
        }
        let problem = format!("{arrived} of its {size} bytes have arrived");
        Err(RolloutError::Upload { file: upload.file, problem })
    }

    /// Drops the uploads that have got no piece for a while.
    pub fn drop_idle(&self) {
        self.list.lock().uploads.retain(|_, upload| upload.touched.elapsed() < IDLE);
    }
}

fn unknown(number: u64) -> RolloutError {
    let problem = "this session has no such upload, or it has waited too long; begin again";
    RolloutError::Upload { file: number.to_string(), problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_a_file() {
        let uploads = Uploads::default();
        let number = uploads.begin(1, "greet", 6, "signature".into()).unwrap();
        uploads.add(1, number, b"abc").unwrap();
        assert!(uploads.add(2, number, b"xxx").is_err(), "it is of another session");
        uploads.add(1, number, b"def").unwrap();
        let upload = uploads.end(1, number).unwrap();
        assert_eq!((upload.content.as_slice(), upload.file.as_str()), (&b"abcdef"[..], "greet"));
        assert!(uploads.end(1, number).is_err());
    }

    #[test]
    fn uploads_are_bounded() {
        let uploads = Uploads::default();
        assert!(uploads.begin(1, "greet", LARGEST + 1, String::new()).is_err());
        assert!(uploads.begin(1, "../greet", 1, String::new()).is_err());
        let number = uploads.begin(1, "greet", 2, String::new()).unwrap();
        assert!(uploads.add(1, number, b"abc").is_err(), "more than said");
        let number = uploads.begin(1, "greet", 2, String::new()).unwrap();
        assert!(uploads.end(1, number).is_err(), "less than said");
        for session in 0..MOST as u64 {
            uploads.begin(session, "greet", 2, String::new()).unwrap();
        }
        uploads.begin(0, "greet", 2, String::new()).unwrap();
        assert!(uploads.begin(99, "greet", 2, String::new()).is_err());
    }

    #[test]
    fn sizes_of_all_uploads_are_bounded() {
        let uploads = Uploads::default();
        uploads.begin(1, "greet", LARGEST, String::new()).unwrap();
        assert!(uploads.begin(2, "greet", 1, String::new()).is_err());
    }

    #[test]
    fn uploads_count_until_they_are_stored() {
        let uploads = Uploads::default();
        let stored = (0..MOST as u64).map(|session| {
            let number = uploads.begin(session, "greet", 0, String::new()).unwrap();
            uploads.end(session, number).unwrap()
        });
        let stored: Vec<_> = stored.collect();
        assert!(uploads.begin(99, "greet", 1, String::new()).is_err());
        drop(stored);
        uploads.begin(99, "greet", LARGEST, String::new()).unwrap();
    }
}
