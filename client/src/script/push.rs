//! Pushes a plugin's file to the fleet of a host, in pieces.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{conversation::session::Session, error::Error, output::screen::Screen, reply::Reply};

/// The size of a piece in bytes; a host accepts arguments of 1 MiB by default.
const PIECE: usize = 512 << 10;

/// The extension that minisign appends to the name of a signed file.
const SIGNATURE: &str = "minisig";

/// A plugin's file with its signature.
#[derive(Debug)]
pub struct PluginFile {
    name: String,
    content: Vec<u8>,
    signature: Vec<u8>,
}

impl PluginFile {
    /// Reads a file, and the signature beside it. A signature that is missing is empty: the host
    /// says what it needs.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let unreadable = |file: PathBuf| move |source| Error::ReadPlugin { file, source };
        let content = fs::read(path).map_err(unreadable(path.to_owned()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut beside = path.as_os_str().to_owned();
        beside.push(".");
        beside.push(SIGNATURE);
        let signature = match fs::read(&beside) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read.map_err(unreadable(beside.into()))?,
        };
        Ok(Self { name, content, signature })
    }
}

/// Pushes a file, shows the host's last reply and returns the exit code.
pub fn push(mut session: Session, screen: Screen, file: &PluginFile) -> Result<u8, Error> {
    let size = file.content.len().to_string().into_bytes();
    let name = file.name.clone().into_bytes();
    let begin = [b"begin".to_vec(), name, size, file.signature.clone()];
    let mut reply = call(&mut session, screen, begin)?;
    if let Reply::Integer(upload) = reply {
        let upload = upload.to_string().into_bytes();
        reply = send_pieces(&mut session, screen, file, &upload)?;
    }
    match screen.show_reply(&reply) {
        Ok(()) => Ok(u8::from(reply.is_error())),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(u8::from(reply.is_error())),
        Err(source) => Err(Error::Io { operation: "write to stdout", source }),
    }
}

/// Sends the content; returns the first error, or the reply to the end.
fn send_pieces(
    session: &mut Session,
    screen: Screen,
    file: &PluginFile,
    upload: &[u8],
) -> Result<Reply, Error> {
    for piece in file.content.chunks(PIECE) {
        let part = [b"part".to_vec(), upload.to_vec(), piece.to_vec()];
        let reply = call(session, screen, part)?;
        if reply.is_error() {
            return Ok(reply);
        }
    }
    call(session, screen, [b"end".to_vec(), upload.to_vec()])
}

fn call<const N: usize>(
    session: &mut Session,
    screen: Screen,
    words: [Vec<u8>; N],
) -> Result<Reply, Error> {
    let command: Vec<_> = [b"fleet".to_vec(), b"push".to_vec()].into_iter().chain(words).collect();
    session.call(&command, &mut |values| screen.show_push(values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_beside_the_file_is_read() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("libx.so");
        fs::write(&path, "library").unwrap();
        let file = PluginFile::read(&path).unwrap();
        assert_eq!((file.name.as_str(), file.signature.as_slice()), ("libx.so", &b""[..]));
        fs::write(temp.path().join("libx.so.minisig"), "signature").unwrap();
        let file = PluginFile::read(&path).unwrap();
        assert_eq!(
            (file.content.as_slice(), file.signature.as_slice()),
            (&b"library"[..], &b"signature"[..])
        );
        let error = PluginFile::read(&temp.path().join("none")).unwrap_err().to_string();
        assert!(error.contains("none"), "{error}");
    }
}
