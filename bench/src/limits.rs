//! The system's limit of open files, which bounds the number of connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Wanted limit of open files: a socket for each of 19,100 clients, and some more.
const DESCRIPTORS: u64 = 20_000;

/// Number of files that a server, the generator and this program need beside those of idle
/// connections.
const OTHERS: usize = 1000;

/// Raises the limit of open files to the wanted one, or as far as the system allows. Programs that
/// are started later inherit it.
pub fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(DESCRIPTORS, |most| most.max(DESCRIPTORS));
    let all = Rlimit { current: Some(wanted), maximum: Some(wanted) };
    if setrlimit(Resource::Nofile, all).is_err() {
        // The highest allowed limit is the best that is left.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
        eprintln!(
            "bench: not allowed to open {DESCRIPTORS} files; large numbers of clients may fail"
        );
    }
}

/// Returns how many idle connections with one server this program can have, beside busy ones. Each
/// takes a descriptor here and one in the server.
pub fn most_idle_connections() -> usize {
    let files = getrlimit(Resource::Nofile).current;
    let files = files.and_then(|files| usize::try_from(files).ok()).unwrap_or(usize::MAX);
    files.saturating_sub(OTHERS)
}
