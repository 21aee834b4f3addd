//! The built-ins of transactions. The session queues the commands of one, see
//! [`session::transaction`](crate::session).

use plugin_engine::call::Call;
use protocol::Encoder;

use crate::commands::{caller::Caller, flow::Flow};

/// The error for WATCH outside a transaction.
const NO_WATCH: &[u8] = b"WATCH is not supported: MULTI and EXEC work without it; to change a key \
only if it is as expected, use one command that checks and writes, such as incr or set with NX";

/// The error for WATCH in a transaction: that of Redis, and what to do.
const NO_WATCH_INSIDE: &[u8] = b"WATCH inside MULTI is not allowed, and is not supported outside \
of it: use one command that checks and writes, such as incr or set with NX";

/// The treatment of a built-in between MULTI and EXEC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InTransaction {
    /// It is queued, and runs at EXEC.
    Queued,
    /// It runs at once.
    Runs,
    /// It runs the transaction.
    Exec,
    /// It ends the transaction.
    Discard,
    /// It is refused with this error, as in Redis, and the transaction goes on.
    Ignored(&'static [u8]),
    /// It is refused with this error, and the transaction cannot run.
    Refused(&'static [u8]),
}

impl InTransaction {
    /// Returns what becomes of the built-in of this name.
    pub(super) fn of(name: &str, subcommand: &[u8]) -> Self {
        let is = |word: &str| subcommand.eq_ignore_ascii_case(word.as_bytes());
        match name {
            "exec" => Self::Exec,
            "discard" => Self::Discard,
            "close" | "quit" | "reset" => Self::Runs,
            "multi" => Self::Ignored(b"MULTI calls can not be nested"),
            "watch" => Self::Refused(NO_WATCH_INSIDE),
            "auth" | "hello" => {
                Self::Refused(b"a login is not allowed inside MULTI: send it before MULTI")
            }
            "ks" => Self::Refused(b"'ks' is not allowed inside MULTI: send it after EXEC"),
            // The manager may wait for the end of the transaction, and the transaction for it.
            "plugin" => Self::Refused(b"'plugin' is not allowed inside MULTI: send it after EXEC"),
            "command" if is("watch") || is("unwatch") => Self::Refused(
                b"'command watch' and 'command unwatch' are not allowed inside MULTI: send them \
                 after EXEC",
            ),
            _ => Self::Queued,
        }
    }
}

pub(super) fn multi(_: &Call<'_>, _: &Caller<'_>, reply: &mut Encoder) -> Flow {
    reply.ok();
    Flow::Queue
}

/// Answers EXEC outside a transaction.
pub(super) fn exec(_: &Call<'_>, _: &Caller<'_>, reply: &mut Encoder) -> Flow {
    reply.error("ERR", b"EXEC without MULTI");
    Flow::Next
}

/// Answers DISCARD outside a transaction.
pub(super) fn discard(_: &Call<'_>, _: &Caller<'_>, reply: &mut Encoder) -> Flow {
    reply.error("ERR", b"DISCARD without MULTI");
    Flow::Next
}

/// Answers WATCH outside a transaction.
pub(super) fn watch(_: &Call<'_>, _: &Caller<'_>, reply: &mut Encoder) -> Flow {
    reply.error("ERR", NO_WATCH);
    Flow::Next
}

pub(super) fn unwatch(_: &Call<'_>, _: &Caller<'_>, reply: &mut Encoder) -> Flow {
    reply.ok();
    Flow::Next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builtins_that_change_the_session_are_not_queued() {
        for name in ["close", "quit", "reset"] {
            assert_eq!(InTransaction::of(name, b""), InTransaction::Runs, "{name}");
        }
        for (name, subcommand) in [
            ("auth", "kim"),
            ("command", "WATCH"),
            ("command", "unwatch"),
            ("hello", "3"),
            ("ks", ""),
            ("plugin", "watch"),
            ("watch", "key"),
        ] {
            let treated = InTransaction::of(name, subcommand.as_bytes());
            assert!(matches!(treated, InTransaction::Refused(_)), "{name} {subcommand}");
        }
        for (name, subcommand) in
            [("command", "docs"), ("ping", ""), ("client", "setname"), ("unwatch", "")]
        {
            let treated = InTransaction::of(name, subcommand.as_bytes());
            assert_eq!(treated, InTransaction::Queued, "{name}");
        }
    }
}
