//! Reads a pipe that other processes may keep open for ever.

use std::io::{self, PipeReader, Read};

/// Reads a pipe until all its writers are gone, or until its [`ReaderEnd`] drops and what was in
/// the pipe by then has been read.
///
/// Windows cannot wait for a pipe and an end together: there only the writers' end counts, and a
/// [`Group`](crate::Group) kills all of them.
#[derive(Debug)]
pub struct EndableReader {
    pipe: PipeReader,
    /// Has no writer once reading is to end.
    #[cfg(unix)]
    end: PipeReader,
    /// The number of bytes that are still to be read after the end.
    #[cfg(unix)]
    left: Option<usize>,
}

/// Ends the reading of a pipe when it drops.
#[derive(Debug)]
pub struct ReaderEnd {
    #[cfg(unix)]
    _writer: io::PipeWriter,
}

impl EndableReader {
    /// Makes the reader of a pipe, and its end.
    ///
    /// # Errors
    /// The system has no descriptors left.
    pub fn new(pipe: PipeReader) -> io::Result<(Self, ReaderEnd)> {
        #[cfg(unix)]
        {
            let (end, writer) = io::pipe()?;
            Ok((Self { pipe, end, left: None }, ReaderEnd { _writer: writer }))
        }
        #[cfg(windows)]
        Ok((Self { pipe }, ReaderEnd {}))
    }

    /// Waits for input or the end. Returns the most bytes that may be read now.
    #[cfg(unix)]
    fn wait(&mut self) -> io::Result<usize> {
        use rustix::{
            event::{PollFd, PollFlags, poll},
            io::{ioctl_fionread, retry_on_intr},
        };
        if let Some(left) = self.left {
            return Ok(left);
        }
        let mut both =
            [PollFd::new(&self.pipe, PollFlags::IN), PollFd::new(&self.end, PollFlags::IN)];
        retry_on_intr(|| poll(&mut both, None))?;
        if both[1].revents().is_empty() {
            return Ok(usize::MAX);
        }
        // A writer that goes on must not keep the reader.
        let left = usize::try_from(ioctl_fionread(&self.pipe)?).unwrap_or(usize::MAX);
        self.left = Some(left);
        Ok(left)
    }
}

impl ReaderEnd {
    /// Ends the reading, as dropping this does.
    pub fn end(self) {}
}

impl Read for EndableReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        #[cfg(unix)]
        {
            let most = self.wait()?.min(buffer.len());
            if most == 0 {
                return Ok(0);
            }
            let read = self.pipe.read(&mut buffer[..most])?;
            self.left = self.left.map(|left| left.saturating_sub(read));
            Ok(read)
        }
        #[cfg(windows)]
        self.pipe.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, sync::mpsc, thread, time::Duration};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    /// Reads on a thread until the end, and sends everything.
    fn read_all(mut reader: EndableReader) -> mpsc::Receiver<Vec<u8>> {
        let (sender, all) = mpsc::channel();
        thread::spawn(move || {
            let mut read = Vec::new();
            reader.read_to_end(&mut read).unwrap();
            drop(reader);
            let _ = sender.send(read);
        });
        all
    }

    #[test]
    fn end_of_writers_ends_reading() {
        let (pipe, mut writer) = io::pipe().unwrap();
        let (reader, _end) = EndableReader::new(pipe).unwrap();
        let all = read_all(reader);
        writer.write_all(b"one").unwrap();
        writer.write_all(b"two").unwrap();
        drop(writer);
        assert_eq!(all.recv_timeout(LIMIT).unwrap(), b"onetwo");
    }

    #[cfg(unix)]
    #[test]
    fn dropped_end_ends_reader_that_waits() {
        let (pipe, mut writer) = io::pipe().unwrap();
        let (reader, end) = EndableReader::new(pipe).unwrap();
        let all = read_all(reader);
        writer.write_all(b"one").unwrap();
        drop(end);
        assert_eq!(all.recv_timeout(LIMIT).unwrap(), b"one");
        assert_eq!(writer.write(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[cfg(unix)]
    #[test]
    fn earlier_output_is_read_after_the_end() {
        let (pipe, mut writer) = io::pipe().unwrap();
        let (mut reader, end) = EndableReader::new(pipe).unwrap();
        writer.write_all(b"last words").unwrap();
        drop(end);
        let mut start = [0; 5];
        reader.read_exact(&mut start).unwrap();
        // Written too late.
        writer.write_all(b" and more").unwrap();
        assert_eq!(read_all(reader).recv_timeout(LIMIT).unwrap(), b"words");
        assert_eq!(&start, b"last ");
    }
}
