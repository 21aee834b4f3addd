//! The resources that a host holds: a leak shows in them.

use std::{fmt, fs, path::PathBuf};

/// The numbers of a process's resources; 0 where the system does not report one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    descriptors: usize,
    threads: usize,
    children: usize,
    mappings: usize,
}

/// The growth that does not count as a leak: descriptors and threads of idle connections, and
/// mappings of memory that the allocator keeps for later threads.
const SLACK: Resources = Resources { descriptors: 8, threads: 4, children: 0, mappings: 32 };

impl Resources {
    /// Returns the present resources of a process.
    pub fn of(pid: u32) -> Self {
        let process = PathBuf::from(format!("/proc/{pid}"));
        let entries = |name: &str| fs::read_dir(process.join(name)).map_or(0, Iterator::count);
        let text = |path: PathBuf| fs::read_to_string(path).unwrap_or_default();
        let threads = fs::read_dir(process.join("task")).into_iter().flatten().flatten();
        let children = threads.map(|thread| text(thread.path().join("children")));
        Self {
            descriptors: entries("fd"),
            threads: entries("task"),
            children: children.map(|pids| pids.split_whitespace().count()).sum(),
            mappings: text(process.join("maps")).lines().count(),
        }
    }

    /// Returns true if none of them has grown since `before`, apart from [`SLACK`].
    pub fn are_back(self, before: Self) -> bool {
        self.descriptors <= before.descriptors + SLACK.descriptors
            && self.threads <= before.threads + SLACK.threads
            && self.children <= before.children + SLACK.children
            && self.mappings <= before.mappings + SLACK.mappings
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { descriptors, threads, children, mappings } = self;
        write!(
            out,
            "{descriptors} descriptors, {threads} threads, {children} children, {mappings} mappings"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_beyond_slack_is_a_leak() {
        let before = Resources { descriptors: 30, threads: 20, children: 2, mappings: 150 };
        assert!(before.are_back(before) && Resources::default().are_back(before));
        for after in [
            Resources { descriptors: 39, ..before },
            Resources { threads: 25, ..before },
            Resources { children: 3, ..before },
            Resources { mappings: 183, ..before },
        ] {
            assert!(!after.are_back(before), "{after}");
        }
    }
}
