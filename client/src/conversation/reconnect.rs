//! Reconnecting after a lost connection.

use std::{thread, time::Duration};

use crossbeam_channel::Sender;

use crate::{
    conversation::{
        background::spawn,
        connection::{ConnectOptions, Connection},
        event::LocalEvent,
    },
    error::Error,
};

/// The pause before the first attempt; each further pause doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Connects again in the background; [`LocalEvent::Reconnected`] reports the result.
pub fn reconnect(options: ConnectOptions, events: Sender<LocalEvent>) -> Result<(), Error> {
    spawn("reconnect", move || {
        let mut pause = FIRST_PAUSE;
        let result = loop {
            thread::sleep(pause);
            match Connection::open(&options, &mut |_| {}) {
                Err(error) if can_retry(&error) => pause = (pause * 2).min(LONGEST_PAUSE),
                result => break result,
            }
        };
        // The client may have ended meanwhile.
        let _ = events.send(LocalEvent::Reconnected(Box::new(result)));
    })
}

/// Returns true when another attempt can succeed after this error.
fn can_retry(error: &Error) -> bool {
    match error {
        Error::Refused { message, .. } => {
            let kind = message.split(' ').next().unwrap_or_default();
            !matches!(kind, "NOAUTH" | "NOPERM" | "WRONGPASS")
        }
        Error::FingerprintChanged { .. } | Error::Usage(_) | Error::ReadFile { .. } => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::LossCause;

    #[test]
    fn changed_fingerprint_and_refused_key_are_final() {
        let name = || "host:5000".to_owned();
        let refused = |message: &str| Error::Refused { name: name(), message: message.to_owned() };
        let changed = Error::FingerprintChanged {
            name: name(),
            fingerprint: String::new(),
            expected: String::new(),
            file: None,
        };
        assert!(!can_retry(&changed));
        for message in ["NOAUTH who are you", "NOPERM not you", "WRONGPASS no such key"] {
            assert!(!can_retry(&refused(message)), "{message}");
        }
        assert!(can_retry(&refused("ERR max number of clients reached")));
        let lost = Error::Lost { name: name(), source: LossCause::Eof, unanswered: None };
        assert!(can_retry(&lost));
    }
}
