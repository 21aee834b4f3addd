//! The fingerprints of hosts, as they were at first sight: a line for each, name and fingerprint.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use crate::error::Error;

/// The fingerprint that is kept for this name.
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

/// Keeps a fingerprint for this name.
pub fn add(file: &Path, name: &str, fingerprint: &str) -> Result<(), Error> {
    let added = append(file, name, fingerprint);
    added.map_err(|source| Error::Local { doing: "keep the host's fingerprint", source })
}

fn append(file: &Path, name: &str, fingerprint: &str) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = fs::File::options().create(true).append(true).open(file)?;
    // One write, so that two clients do not mix their lines.
    file.write_all(format!("{name} {fingerprint}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found_by_its_whole_name() {
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
