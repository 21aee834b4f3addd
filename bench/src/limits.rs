//! The system's limits on the number of connections.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Wanted limit of open files: a socket for each of 19,100 clients, and some more.
const DESCRIPTORS: u64 = 20_000;

/// Number of files and ports that a server, the generator and this program need beside those of
/// idle connections.
const OTHERS: usize = 1000;

/// The ports that the system gives to connections.
const PORTS: &str = "/proc/sys/net/ipv4/ip_local_port_range";

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
/// takes a descriptor here, one in the server, and a port.
pub fn most_idle_connections() -> usize {
    let files = getrlimit(Resource::Nofile).current;
    let files = files.and_then(|files| usize::try_from(files).ok()).unwrap_or(usize::MAX);
    let ports = fs::read_to_string(PORTS).ok().and_then(|range| count_ports(&range));
    files.min(ports.unwrap_or(usize::MAX)).saturating_sub(OTHERS)
}

/// Returns the number of ports in the system's range: the first and the last one.
fn count_ports(range: &str) -> Option<usize> {
    let mut ends = range.split_whitespace().map(str::parse::<usize>);
    let (first, last) = (ends.next()?.ok()?, ends.next()?.ok()?);
    Some((last + 1).saturating_sub(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_of_a_range_are_ports() {
        assert_eq!(count_ports("32768\t60999\n"), Some(28_232));
        assert_eq!(count_ports("7 7"), Some(1));
        assert_eq!(count_ports("32768"), None);
    }
}
