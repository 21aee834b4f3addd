//! The process behind a Redis module that forwards commands: it sends back each frame that it
//! receives. A frame is a length in 4 bytes, little endian, and that many bytes.
//!
//! Usage: echo-process SOCKET

use std::{
    env,
    io::{self, Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    process::ExitCode,
    thread,
};

fn main() -> ExitCode {
    let Some(path) = env::args_os().nth(1) else {
        eprintln!("usage: echo-process SOCKET");
        return ExitCode::FAILURE;
    };
    let listener = match UnixListener::bind(&path) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("echo-process: cannot listen at {}: {error}", path.to_string_lossy());
            return ExitCode::FAILURE;
        }
    };
    for stream in listener.incoming().flatten() {
        thread::spawn(move || echo(stream));
    }
    ExitCode::SUCCESS
}

/// Sends complete frames back, all that one read has brought by one write.
fn echo(mut stream: UnixStream) -> io::Result<()> {
    let (mut buffer, mut filled) = (vec![0; 64 << 10], 0);
    loop {
        let count = stream.read(&mut buffer[filled..])?;
        if count == 0 {
            return Ok(());
        }
        filled += count;
        let complete = complete_frames(&buffer[..filled]);
        stream.write_all(&buffer[..complete])?;
        buffer.copy_within(complete..filled, 0);
        filled -= complete;
        if filled == buffer.len() {
            buffer.resize(buffer.len() * 2, 0);
        }
    }
}

/// Returns the number of bytes that are complete frames.
fn complete_frames(bytes: &[u8]) -> usize {
    let mut end = 0;
    while let Some((length, rest)) = bytes[end..].split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length) as usize;
        if rest.len() < length {
            break;
        }
        end += 4 + length;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incomplete_frame_is_kept() {
        assert_eq!(complete_frames(b""), 0);
        assert_eq!(complete_frames(b"\x01\0\0"), 0);
        assert_eq!(complete_frames(b"\x02\0\0\0ab"), 6);
        assert_eq!(complete_frames(b"\x02\0\0\0ab\0\0\0\0\x02\0\0\0a"), 10);
    }
}
