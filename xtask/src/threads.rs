//! The ways in which the host gives its sessions threads.

use clap::ValueEnum;

/// A value of the host's flag `--threads`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Threads {
    /// A thread for each client.
    PerClient,
    /// A thread for each processor, which serves many clients.
    Shared,
}

impl Threads {
    /// Returns the host's flag with this value.
    pub fn flag(self) -> String {
        let value = match self {
            Self::PerClient => "per-client",
            Self::Shared => "shared",
        };
        format!("--threads={value}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_gets_the_value_of_the_task() {
        for threads in Threads::value_variants() {
            let value = threads.to_possible_value().unwrap();
            assert_eq!(threads.flag(), format!("--threads={}", value.get_name()));
        }
    }
}
