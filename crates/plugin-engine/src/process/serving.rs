//! A process that serves, and the way in which its loss is explained.

use std::{sync::Arc, time::Duration};

use super::{
    cause::Cause,
    protocol::{Failed, Lost, Protocol},
    running::Running,
};

/// A process that serves.
pub struct Serving {
    /// The process.
    pub running: Arc<Running>,
    /// The way to talk to it.
    pub protocol: Box<dyn Protocol>,
}

impl Serving {
    /// Handles a process that is lost: makes sure that it ends, and returns the cause as a text.
    #[must_use]
    pub fn settle(&self, lost: Lost) -> String {
        /// The time for which a process may outlive its connections: its end is seen late on a busy
        /// machine, and is the better explanation.
        const OUTLIVES: Duration = Duration::from_secs(3);
        match lost {
            Lost::Broken(problem) => self.running.condemn(Cause::Protocol(problem)),
            Lost::Ended(cause) => self.running.condemn(cause),
            Lost::Unable(problem) => return problem,
            Lost::Gone => {
                if !self.running.is_condemned() && !self.running.ends_within(OUTLIVES) {
                    let problem = "it closed a connection that the host needs".to_owned();
                    self.running.condemn(Cause::Protocol(problem));
                }
            }
        }
        let cause = self.running.cause();
        cause.map_or_else(|| "its process does not end".to_owned(), |(_, text)| text)
    }

    /// Describes a failed operation.
    #[must_use]
    pub fn explain(&self, failed: Failed) -> String {
        match failed {
            Failed::Refused(problem) | Failed::Lost(Lost::Unable(problem)) => problem,
            Failed::Lost(lost) => format!("its process has ended: {}", self.settle(lost)),
        }
    }
}
