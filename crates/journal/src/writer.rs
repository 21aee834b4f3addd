//! The files that a journal writes: the present segment, and the bytes that it still has to get.

use std::{
    fs::File,
    io::{self, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::Arc,
};

use platform::durable::{self, Disk};

use crate::{
    folder::path_of,
    frame::Place,
    segment::{HEADER, Header},
};

/// The present segment of a journal, and the bytes that it still has to get.
pub(crate) struct Writer {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    name: String,
    number: u32,
    file: Arc<File>,
    path: PathBuf,
    /// The length of the part that is known to be whole.
    length: u64,
    /// True if a failed write may have left a part of a record behind `length`.
    is_torn: bool,
    /// Records that are to be written next; kept after a failure.
    pub(crate) unwritten: Vec<u8>,
    /// The number of the record behind them.
    pub(crate) unwritten_end: u64,
}

impl Writer {
    /// Begins a journal's first segment of this process.
    pub(crate) fn begin(
        (disk, folder, name): (Arc<dyn Disk>, PathBuf, String),
        header: Header,
    ) -> io::Result<Self> {
        let (file, path) = make(&*disk, &folder, &name, header.number)?;
        disk.write(&file, &header.to_bytes())?;
        Ok(Self {
            disk,
            folder,
            name,
            number: header.number,
            file: Arc::new(file),
            path,
            length: HEADER as u64,
            is_torn: false,
            unwritten: Vec::new(),
            unwritten_end: header.first,
        })
    }

    /// Returns the number of the present segment.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Returns its path.
    pub(crate) fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Returns the number of bytes that are in the present segment.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Writes all records that it has. After a failure it has them still.
    pub(crate) fn write(&mut self) -> io::Result<()> {
        if self.is_torn {
            self.file.set_len(self.length)?;
            (&*self.file).seek(SeekFrom::Start(self.length))?;
            self.is_torn = false;
        }
        if self.unwritten.is_empty() {
            return Ok(());
        }
        self.is_torn = true;
        self.disk.write(&self.file, &self.unwritten)?;
        self.is_torn = false;
        self.length += self.unwritten.len() as u64;
        self.unwritten.clear();
        self.unwritten.shrink_to(1 << 20);
        Ok(())
    }

    /// Flushes the present segment to the disk.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.disk.flush_data(&self.file)
    }

    /// Returns the present segment, to flush it while records are written.
    pub(crate) fn handle(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Begins the next segment, and returns the place of its first record. The present one must be
    /// whole and flushed. Nothing changes on failure. The file is made only now: whoever lists the
    /// folder finds it only if the one before is complete.
    pub(crate) fn rotate(&mut self, first: u64, begun: u64) -> io::Result<Place> {
        let number = self.number + 1;
        let (file, path) = make(&*self.disk, &self.folder, &self.name, number)?;
        let header = Header { number, first, begun };
        self.disk.write(&file, &header.to_bytes())?;
        (self.number, self.file, self.length) = (number, Arc::new(file), HEADER as u64);
        (self.path, self.unwritten_end) = (path, first);
        Ok(header.place())
    }
}

/// Makes the empty file of a segment, which only its owner can read, so that a power cut leaves it.
fn make(disk: &dyn Disk, folder: &Path, name: &str, number: u32) -> io::Result<(File, PathBuf)> {
    durable::make_folder(disk, folder)?;
    let path = path_of(folder, name, number);
    // One whose header is incomplete has no record.
    durable::remove(&path)?;
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&path)?;
    disk.flush_folder(folder)?;
    Ok((file, path))
}
