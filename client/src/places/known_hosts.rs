//! The file with the fingerprints of hosts at their first connection.
//!
//! Each line has the name of a host and its fingerprint.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use crate::error::Error;

/// Returns the stored fingerprint of this host.
pub fn find(file: &Path, name: &str) -> io::Result<Option<String>> {
    let text = match fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    Ok(text.lines().find_map(|line| {
        let (host, fingerprint) = line.split_once(' ')?;
        (host == name).then(|| fingerprint.trim().to_owned())
    }))
}

/// Stores the fingerprint of this host.
pub fn add(file: &Path, name: &str, fingerprint: &str) -> Result<(), Error> {
    let added = append(file, name, fingerprint);
    added.map_err(|source| Error::Io { operation: "keep the host's fingerprint", source })
}

fn append(file: &Path, name: &str, fingerprint: &str) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = fs::File::options().create(true).append(true).open(file)?;
    // A single write keeps the lines of two clients apart.
    file.write_all(format!("{name} {fingerprint}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_fingerprint_is_found_by_the_whole_name() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("dropin/known_hosts");
        assert_eq!(find(&file, "a:1").unwrap(), None);
        add(&file, "a:1", "SHA256:AA").unwrap();
        add(&file, "a:12", "SHA256:BB").unwrap();
        assert_eq!(find(&file, "a:12").unwrap().as_deref(), Some("SHA256:BB"));
        assert_eq!(find(&file, "a:1").unwrap().as_deref(), Some("SHA256:AA"));
        assert_eq!(find(&file, "a").unwrap(), None);
    }
}
