//! The way to a host, for as many connections as it takes.

use std::{fmt, thread, time::Duration};

use crossbeam_channel::Sender;

use crate::{
    conversation::{cancelling::Cancelling, event::Event, session::Session},
    error::Error,
    places::{access::Access, config::Target},
    reply::Reply,
};

/// The pause before the first attempt to connect again. Each further one waits twice as long, up
/// to the second.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The way to a host.
#[derive(Clone)]
pub struct Route {
    /// Where it is.
    pub target: Target,
    /// How to connect safely.
    pub access: Access,
    /// For each address, and for the answer to the greeting.
    pub connect_timeout: Duration,
    /// For each reply.
    pub timeout: Option<Duration>,
    /// What the person has logged in with since.
    pub login: Option<Vec<Vec<u8>>>,
}

impl Route {
    /// Connects again, however long it takes; [`Event::Back`] tells when it is done.
    pub fn retry(&self, events: Sender<Event>) -> Result<(), Error> {
        let route = self.clone();
        spawn("reconnect", move || {
            let mut pause = FIRST_PAUSE;
            let back = loop {
                thread::sleep(pause);
                match Session::over(route.clone(), &mut |_| {}) {
                    Err(error) if may_pass(&error) => pause = (pause * 2).min(LONGEST_PAUSE),
                    other => break other,
                }
            };
            // Nobody listens where the client has ended meanwhile.
            let _ = events.send(Event::Back(Box::new(back)));
        })
    }

    /// Asks the host, on another connection, to cancel what the session with this number runs;
    /// [`Event::Cancelled`] tells what came of it. What is called off is not asked.
    pub fn cancel(&self, id: i64, events: Sender<Event>) -> Result<Cancelling, Error> {
        let route = self.clone();
        let wish = Cancelling::new();
        let carried = wish.clone();
        spawn("cancel", move || {
            let outcome = cancel(route, id, &carried);
            let _ = events.send(Event::Cancelled(carried, outcome));
        })?;
        Ok(wish)
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the secrets.
        f.debug_struct("Route").field("target", &self.target).finish_non_exhaustive()
    }
}

fn cancel(route: Route, id: i64, wish: &Cancelling) -> Result<bool, Error> {
    let timeout = route.connect_timeout;
    let mut session = Session::over(Route { timeout: Some(timeout), ..route }, &mut |_| {})?;
    // To connect can take so long that the session runs another command, or is somebody else's.
    if !wish.begin_sending() {
        return Ok(false);
    }
    let words = [b"CLIENT".to_vec(), b"CANCEL".to_vec(), id.to_string().into_bytes()];
    match session.ask(&words, &mut |_| {})? {
        Reply::Integer(number) => Ok(number > 0),
        Reply::Error(message) => Err(Error::Refused {
            name: session.name().to_owned(),
            message: String::from_utf8_lossy(&message).into_owned(),
        }),
        _ => Ok(false),
    }
}

/// Whether another attempt may work where this one did not.
fn may_pass(error: &Error) -> bool {
    match error {
        Error::Refused { message, .. } => {
            let kind = message.split(' ').next().unwrap_or_default();
            !matches!(kind, "NOAUTH" | "NOPERM" | "WRONGPASS")
        }
        Error::Changed { .. } | Error::Usage(_) | Error::ReadFile { .. } => false,
        _ => true,
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
    thread
        .map(drop)
        .map_err(|source| Error::Local { doing: "start a thread for a connection", source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_fingerprint_and_refused_key_are_final() {
        let name = || "host:5000".to_owned();
        let refused = |message: &str| Error::Refused { name: name(), message: message.to_owned() };
        let text = String::new;
        let changed = Error::Changed { name: name(), shown: text(), expected: text(), file: None };
        assert!(!may_pass(&changed));
        for message in ["NOAUTH who are you", "NOPERM not you", "WRONGPASS no such key"] {
            assert!(!may_pass(&refused(message)), "{message}");
        }
        assert!(may_pass(&refused("ERR max number of clients reached")));
        assert!(may_pass(&Error::Lost { name: name(), cause: text(), unanswered: None }));
    }
}
