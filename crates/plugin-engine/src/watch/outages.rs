//! Logs once when a file or folder becomes inaccessible, and once when access is restored.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
};

/// The files and folders that could not be accessed at the last scan.
#[derive(Debug, Default)]
pub struct Outages {
    paths: BTreeSet<PathBuf>,
}

impl Outages {
    /// Adds a path and logs it if it is new. Returns true if it is.
    pub fn add(&mut self, path: &Path, error: &io::Error) -> bool {
        let new = self.paths.insert(path.to_owned());
        if new {
            log::warn!(
                "cannot access {}: {error}; its plugins keep serving, and the host tries again \
                 until it succeeds",
                path.display()
            );
        }
        new
    }

    /// Replaces the list by the failures of this scan. Returns the paths that are accessible again
    /// or gone.
    pub fn note(&mut self, failed: Vec<(PathBuf, io::Error)>) -> Vec<PathBuf> {
        let failing = |path: &PathBuf| failed.iter().any(|(failed, _)| failed == path);
        let over: Vec<_> = self.paths.iter().filter(|path| !failing(path)).cloned().collect();
        for path in &over {
            self.paths.remove(path);
            log::warn!("{} is accessible again", path.display());
        }
        for (path, error) in &failed {
            self.add(path, error);
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outage_is_logged_once() {
        let (mut outages, path) = (Outages::default(), PathBuf::from("plugins"));
        let failed = || vec![(path.clone(), io::Error::other("no answer"))];
        for _ in 0..2 {
            assert!(outages.add(&path, &io::Error::other("no answer")));
            assert!(!outages.add(&path, &io::Error::other("no answer")));
            assert_eq!(outages.note(failed()), [] as [PathBuf; 0]);
            assert_eq!(outages.note(Vec::new()), std::slice::from_ref(&path));
            assert_eq!(outages.note(Vec::new()), [] as [PathBuf; 0]);
        }
    }
}
