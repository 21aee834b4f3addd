//! What one session may do.

use std::{net::SocketAddr, sync::Arc};

use super::{
    keys::{Key, Role},
    trust::{Distance, Trust, distance},
};

/// Who may run a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLevel {
    /// Everybody: it is part of coming in or of going.
    Anyone,
    /// Everybody who is let in.
    Known,
    /// Who is let in and whose key does not leave it out.
    Listed,
    /// Who looks after the host.
    Admin,
}

/// A command that somebody wants to run.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Its name.
    pub name: &'a str,
    /// The plugin that answers it.
    pub plugin: Option<&'a str>,
    /// Who may run it.
    pub access: AccessLevel,
}

/// What one session may do.
#[derive(Clone, Debug)]
pub struct Identity {
    /// It may do everything; then nothing else is looked at.
    unrestricted: bool,
    who: Who,
    /// What it sends cannot be read on the way.
    secret: bool,
}

#[derive(Clone, Debug)]
enum Who {
    /// Nobody knows yet.
    Stranger,
    /// Trusted for where it is.
    Trusted,
    /// Let in by a key.
    Holder(Arc<Key>),
}

/// Why something is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its kind, as in Redis.
    pub kind: &'static str,
    /// What to do about it.
    pub message: String,
}

impl Identity {
    /// What a client from there may do before it has shown a key.
    #[must_use]
    pub fn of(peer: SocketAddr, trust: Trust) -> Self {
        let unrestricted = trust.covers(peer.ip());
        // What stays on this machine is read by nobody on the way.
        let secret = distance(peer.ip()) == Distance::Loopback;
        Self { unrestricted, who: if unrestricted { Who::Trusted } else { Who::Stranger }, secret }
    }

    /// The same over TLS.
    #[must_use]
    pub fn over_tls(self, tls: bool) -> Self {
        Self { secret: self.secret || tls, ..self }
    }

    /// What the same client may do with this key.
    #[must_use]
    pub fn with(&self, key: Arc<Key>) -> Self {
        let unrestricted = key.role == Role::Admin && key.commands.is_empty();
        Self { unrestricted, who: Who::Holder(key), ..*self }
    }

    /// Whether it may do everything.
    #[must_use]
    #[inline]
    pub fn is_unrestricted(&self) -> bool {
        self.unrestricted
    }

    /// Whether it still has to say who it is.
    #[must_use]
    pub fn is_stranger(&self) -> bool {
        matches!(self.who, Who::Stranger)
    }

    /// Its role; a client that is trusted for where it is has that of an admin.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        match &self.who {
            Who::Stranger => None,
            Who::Trusted => Some(Role::Admin),
            Who::Holder(key) => Some(key.role),
        }
    }

    /// Whether it may look after the host and see the other sessions.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.role() == Some(Role::Admin)
    }

    /// The key that let it in.
    #[must_use]
    pub fn key(&self) -> Option<&Arc<Key>> {
        match &self.who {
            Who::Holder(key) => Some(key),
            Who::Stranger | Who::Trusted => None,
        }
    }

    /// Whether it may run this command.
    #[must_use]
    pub fn may_run(&self, wanted: Wanted<'_>) -> bool {
        match (&self.who, wanted.access) {
            (Who::Trusted, _) | (_, AccessLevel::Anyone) => true,
            (Who::Stranger, _) => false,
            (Who::Holder(_), AccessLevel::Known) => true,
            (Who::Holder(key), AccessLevel::Listed) => key.lists(wanted.name, wanted.plugin),
            (Who::Holder(key), AccessLevel::Admin) => {
                key.role == Role::Admin && key.lists(wanted.name, wanted.plugin)
            }
        }
    }

    /// Why it may not run this command, if it may not. `None` stands for a command that there is
    /// not: that is told only to those who are let in.
    #[must_use]
    pub fn refuse(&self, wanted: Option<Wanted<'_>>) -> Option<Refusal> {
        match (&self.who, wanted) {
            (Who::Trusted | Who::Holder(_), None) => None,
            (_, Some(wanted)) if self.may_run(wanted) => None,
            (Who::Holder(key), Some(wanted)) => Some(not_for(key, wanted)),
            (Who::Stranger | Who::Trusted, _) => Some(self.unknown()),
        }
    }

    /// Why it may not show a key, if it may not.
    #[must_use]
    pub fn refuse_key(&self) -> Option<Refusal> {
        let message = "a key is accepted over TLS only, since others can read this connection: \
                       connect again with TLS, and have the key that you sent revoked";
        (!self.secret).then(|| Refusal { kind: "ERR", message: message.into() })
    }

    fn unknown(&self) -> Refusal {
        let todo = if self.secret {
            "Send AUTH NAME KEY"
        } else {
            "Connect over TLS and send AUTH NAME KEY"
        };
        let message = format!(
            "Authentication required. {todo}; the host's owner makes a key with: {} key add NAME",
            program::own()
        );
        Refusal { kind: "NOAUTH", message }
    }
}

fn not_for(key: &Key, wanted: Wanted<'_>) -> Refusal {
    let Wanted { name, access, .. } = wanted;
    let why = if access == AccessLevel::Admin && key.role != Role::Admin {
        "it takes a key with the role admin".into()
    } else {
        format!("the key is for: {}", key.commands.join(" "))
    };
    let message =
        format!("User {} has no permissions to run the '{name}' command; {why}", key.name);
    Refusal { kind: "NOPERM", message }
}
