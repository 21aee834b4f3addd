//! Verifies signatures of libraries: minisign's, in a file beside the library.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use minisign_verify::{Error, PublicKey, Signature, StreamVerifier};
use serde::{Deserialize, Serialize};

use crate::files::kind::may_be_plugin;

/// The extension that a signature's file appends to the library's full name, without the dot.
const EXTENSION: &str = "minisig";

/// The most that is read of a signature's file, in bytes. A signature has about 300.
const LONGEST: u64 = 16 << 10;

/// The public half of the key that libraries must be signed with.
#[derive(Clone, Debug)]
pub struct PluginKey(PublicKey);

/// The reason for which the key is unusable.
#[derive(Debug, thiserror::Error)]
pub enum PluginKeyError {
    /// Its file cannot be read.
    #[error("cannot read the plugin key {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file holds something else.
    #[error(
        "{} is not a minisign public key; name the .pub file that `minisign -G` writes with \
         --plugin-key",
        .0.display()
    )]
    NotAKey(PathBuf),
}

/// The reason for which a signature does not vouch for a library.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum BadSignature {
    /// There is none.
    #[error("it has no signature: sign it with minisign and put {name} beside it")]
    Missing {
        /// The name of the file that it would have.
        name: String,
    },
    /// Another program has its file open.
    #[error("another program has its signature {name} open")]
    InUse {
        /// The file's name.
        name: String,
    },
    /// Its file cannot be read or understood.
    #[error("its signature {name} cannot be read: {error}")]
    Unreadable {
        /// The file's name.
        name: String,
        /// The cause.
        error: String,
    },
    /// Its file cannot be read, for a reason that may pass.
    #[error("its signature {name} cannot be read: {error}")]
    NoAnswer {
        /// The file's name.
        name: String,
        /// The system's error.
        error: String,
    },
    /// It was made with another key.
    #[error("its signature was not made with the plugin key")]
    OtherKey,
    /// It is of another content.
    #[error("its signature does not match its content: sign it again")]
    Mismatch,
    /// It is of a file of another name, or names none.
    #[error(
        "its signature is {}: sign the file under the name {wanted}, without a comment of your own",
        match named { Some(named) => format!("of a file {named}"), None => "of no file".into() }
    )]
    OtherFile {
        /// The name in the signature; `None` if there is none.
        named: Option<String>,
        /// The file's name.
        wanted: String,
    },
}

/// Returns the path of a library's signature.
#[must_use]
pub fn signature_of(library: &Path) -> PathBuf {
    let mut path = library.as_os_str().to_owned();
    path.push(".");
    path.push(EXTENSION);
    path.into()
}

/// Returns the library that a file of this name would be the signature of.
#[must_use]
pub fn library_of(signature: &Path) -> Option<PathBuf> {
    let library = signature.with_extension("");
    let named = signature.extension().is_some_and(|extension| extension == EXTENSION);
    (named && may_be_plugin(&library)).then_some(library)
}

impl PluginKey {
    /// Reads a public key as `minisign -G` writes it: a line of comment, a line of base64.
    ///
    /// # Errors
    /// The file cannot be read, or holds no minisign public key.
    pub fn read(path: &Path) -> Result<Self, PluginKeyError> {
        let text = fs::read(path)
            .map_err(|source| PluginKeyError::Read { path: path.to_owned(), source })?;
        let key = std::str::from_utf8(&text).ok().and_then(|text| PublicKey::decode(text).ok());
        key.map(Self).ok_or_else(|| PluginKeyError::NotAKey(path.to_owned()))
    }

    /// Verifies that the signature beside a library is this key's, and of this content.
    ///
    /// The content is hashed while it is read. A legacy signature, which needs all of the content
    /// at once, is refused.
    ///
    /// # Errors
    /// The signature is missing or unreadable, was made with another key, or does not match.
    pub fn verify(&self, library: &Path, mut content: &File) -> Result<(), BadSignature> {
        let path = signature_of(library);
        let name = || path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = read(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => BadSignature::Missing { name: name() },
            _ if platform::is_in_use(&error) => BadSignature::InUse { name: name() },
            _ if platform::is_passing(&error) => {
                BadSignature::NoAnswer { name: name(), error: error.to_string() }
            }
            _ => unreadable(&name(), &error),
        })?;
        let signature = decode(&name(), &text)?;
        let mut verifier = self.verifier(&signature, &name())?;
        let unread =
            |error| unreadable(&name(), &format_args!("cannot read the signed content: {error}"));
        content.seek(SeekFrom::Start(0)).map_err(unread)?;
        let mut buffer = vec![0; 256 << 10];
        loop {
            match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => verifier.update(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unread(error)),
            }
        }
        verifier.finalize().map_err(|_| BadSignature::Mismatch)
    }

    /// Verifies that the text of a signature is this key's, of this content, and of a file of this
    /// name: signed plugins must not be exchanged for one another.
    ///
    /// # Errors
    /// The signature is missing or unreadable, was made with another key, or does not match.
    pub fn verify_named(
        &self,
        file: &str,
        content: &[u8],
        signature: &str,
    ) -> Result<(), BadSignature> {
        let name = signature_of(Path::new(file)).display().to_string();
        if signature.is_empty() {
            return Err(BadSignature::Missing { name });
        }
        let signature = decode(&name, signature)?;
        let mut verifier = self.verifier(&signature, &name)?;
        verifier.update(content);
        verifier.finalize().map_err(|_| BadSignature::Mismatch)?;
        match signed_file(&signature) {
            Some(named) if named == file => Ok(()),
            named => Err(BadSignature::OtherFile {
                named: named.map(|named| named.escape_debug().to_string()),
                wanted: file.to_owned(),
            }),
        }
    }

    fn verifier<'a>(
        &'a self,
        signature: &'a Signature,
        name: &str,
    ) -> Result<StreamVerifier<'a>, BadSignature> {
        self.0.verify_stream(signature).map_err(|error| match error {
            Error::UnexpectedKeyId => BadSignature::OtherKey,
            Error::UnsupportedLegacyMode => unreadable(
                name,
                &"it is of the legacy kind, sign without -l (an old minisign: with -H)",
            ),
            error => unreadable(name, &error),
        })
    }
}

/// Decodes the text of the signature file of this name.
fn decode(name: &str, text: &str) -> Result<Signature, BadSignature> {
    Signature::decode(text).map_err(|_| unreadable(name, &"it is not as `minisign -S` writes it"))
}

/// Returns the name of the file that a signature is of, which is part of its trusted comment:
/// `timestamp:SECONDS`, `file:NAME` and `hashed`, with tabs between them
/// (<https://jedisct1.github.io/minisign/>).
fn signed_file(signature: &Signature) -> Option<&str> {
    signature.trusted_comment().split('\t').find_map(|field| field.strip_prefix("file:"))
}

fn unreadable(name: &str, error: &dyn fmt::Display) -> BadSignature {
    BadSignature::Unreadable { name: name.to_owned(), error: error.to_string() }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    platform::open_file(path)?.take(LONGEST).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use platform::LIBRARY_EXTENSION;

    #[test]
    fn signature_path_appends_extension_to_library_name() {
        let library = PathBuf::from(format!("plugins/libx.{LIBRARY_EXTENSION}"));
        let signature = signature_of(&library);
        assert_eq!(signature, Path::new(&format!("plugins/libx.{LIBRARY_EXTENSION}.minisig")));
        assert_eq!(library_of(&signature), Some(library.clone()));
        let hidden = format!("plugins/.libx.{LIBRARY_EXTENSION}.minisig");
        for other in [Path::new("notes.txt.minisig"), &library, Path::new(&hidden)] {
            assert_eq!(library_of(other), None, "{other:?}");
        }
        assert!(!may_be_plugin(&signature));
    }
}
