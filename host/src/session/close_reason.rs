//! The reasons for which a session ends.

use std::{fmt, io};

use crate::config::Serve;

/// The reason for which a session ended.
#[derive(Debug)]
pub enum CloseReason {
    /// The client closed its side.
    ClosedByClient,
    /// The client sent `close`.
    ChangeRequest,
    /// The host is ending.
    Shutdown,
    /// The client did not log in in time.
    NoLogin,
    /// The client sent nothing for too long.
    Idle,
    /// The client's key is no longer valid.
    Dismissed,
    /// All sessions together took too much memory, and this one took the most.
    TooLarge,
    /// The client did not finish a request in time.
    Unfinished,
    /// An admin ended the session with `CLIENT KILL`.
    Killed,
    /// The client sent bytes that are no valid request.
    BrokenProtocol,
    /// The connection failed, or the client did not read its replies in time.
    Lost(io::Error),
}

impl CloseReason {
    /// Returns the error that the client gets, as kind and message; `None` if it gets none.
    pub fn error_reply(&self, config: &Serve) -> Option<(&'static str, String)> {
        let login = config.access.login_timeout.as_secs_f64();
        let idle = config.bounds.idle_timeout.as_secs_f64();
        match self {
            Self::NoLogin => {
                Some(("NOAUTH", format!("no login within {login} s, the connection is closed")))
            }
            Self::Dismissed => {
                Some(("NOAUTH", "the key of this session is revoked or has expired".into()))
            }
            Self::Idle => {
                Some(("ERR", format!("nothing was sent for {idle} s, the connection is closed")))
            }
            Self::TooLarge => Some((
                "ERR",
                "requests and replies take too much memory (--max-memory-clients), the connection \
                 is closed"
                    .into(),
            )),
            Self::Unfinished => {
                let time = config.bounds.request_timeout.as_secs_f64();
                Some((
                    "ERR",
                    format!("request not finished within {time} s, the connection is closed"),
                ))
            }
            Self::Killed => Some(("ERR", "this session was ended by an admin".into())),
            _ => None,
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClosedByClient => out.write_str("closed by the client"),
            Self::ChangeRequest => out.write_str("the client asked for it"),
            Self::Shutdown => out.write_str("the host is ending"),
            Self::NoLogin => out.write_str("no login in time"),
            Self::Idle => out.write_str("idle for too long"),
            Self::Dismissed => out.write_str("its key is no longer valid"),
            Self::TooLarge => out.write_str("took too much memory"),
            Self::Unfinished => out.write_str("a request was not finished in time"),
            Self::Killed => out.write_str("ended by an admin"),
            Self::BrokenProtocol => out.write_str("broken protocol"),
            Self::Lost(error) => write!(out, "lost: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_reasons_have_distinct_log_texts() {
        let ends = [
            CloseReason::ClosedByClient,
            CloseReason::ChangeRequest,
            CloseReason::Shutdown,
            CloseReason::NoLogin,
            CloseReason::Idle,
            CloseReason::Dismissed,
            CloseReason::TooLarge,
            CloseReason::Unfinished,
            CloseReason::Killed,
            CloseReason::BrokenProtocol,
            CloseReason::Lost(io::ErrorKind::ConnectionReset.into()),
        ];
        let words: std::collections::BTreeSet<_> =
            ends.iter().map(CloseReason::to_string).collect();
        assert_eq!(words.len(), ends.len(), "{words:?}");
        assert!(words.iter().all(|text| text.len() > 8), "{words:?}");
    }

    #[test]
    fn error_reply_names_close_reason() {
        let flags = <crate::config::Arguments as clap::Parser>::parse_from([
            "host",
            "--login-timeout=7",
            "--idle-timeout=8",
            "--request-timeout=9",
        ]);
        for (end, kind, word) in [
            (CloseReason::NoLogin, "NOAUTH", "no login within 7 s"),
            (CloseReason::Dismissed, "NOAUTH", "revoked"),
            (CloseReason::Idle, "ERR", "nothing was sent for 8 s"),
            (CloseReason::TooLarge, "ERR", "--max-memory-clients"),
            (CloseReason::Unfinished, "ERR", "request not finished within 9 s"),
            (CloseReason::Killed, "ERR", "by an admin"),
        ] {
            let (told, message) = end.error_reply(&flags.serve).unwrap();
            assert_eq!(told, kind, "{end}");
            assert!(message.contains(word), "{end}: {message}");
        }
        assert_eq!(CloseReason::Shutdown.error_reply(&flags.serve), None);
    }
}
