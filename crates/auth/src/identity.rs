//! The identity of a session, which decides which commands it may run.

use std::{net::SocketAddr, sync::Arc};

use super::{
    keys::{Key, Role},
    trust::{Distance, Trust, distance},
};

/// The level that a command requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLevel {
    /// Any client: the command belongs to logging in or to leaving.
    Anyone,
    /// A client that is trusted or has logged in.
    Known,
    /// A client that is trusted, or whose key's patterns match the command.
    Listed,
    /// An admin. A key's patterns must match the command, too.
    Admin,
}

/// A command that a session wants to run.
#[derive(Clone, Copy, Debug)]
pub struct RequiredAccess<'a> {
    /// The command's name.
    pub name: &'a str,
    /// The command's plugin; `None` for a built-in.
    pub plugin: Option<&'a str>,
    /// The level that it requires.
    pub access: AccessLevel,
}

/// The identity of a session.
#[derive(Clone, Debug)]
pub struct Identity {
    /// True if it may run every command. Then no other check is made.
    unrestricted: bool,
    principal: Principal,
    /// True if nobody on the way can read its input: it uses TLS or comes from this machine.
    secret: bool,
}

#[derive(Clone, Debug)]
enum Principal {
    /// It has not logged in.
    Stranger,
    /// It is trusted by its address.
    Trusted,
    /// It has logged in with this key.
    Holder(Arc<Key>),
}

/// The error for a command or a key that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The error's kind, as in Redis.
    pub kind: &'static str,
    /// The error's message: the cause, and the remedy.
    pub message: String,
}

impl Identity {
    /// Returns the identity of a client at this address before it logs in.
    #[must_use]
    pub fn of(peer: SocketAddr, trust: Trust) -> Self {
        let unrestricted = trust.covers(peer.ip());
        // Nobody on the way can read data that stays on this machine.
        let secret = distance(peer.ip()) == Distance::Loopback;
        Self {
            unrestricted,
            principal: if unrestricted { Principal::Trusted } else { Principal::Stranger },
            secret,
        }
    }

    /// Returns the same identity, over TLS if `tls` is true.
    #[must_use]
    pub fn over_tls(self, tls: bool) -> Self {
        Self { secret: self.secret || tls, ..self }
    }

    /// Returns the identity of the same client after a login with this key.
    #[must_use]
    pub fn with(&self, key: Arc<Key>) -> Self {
        let unrestricted = key.role == Role::Admin && key.commands.is_empty();
        Self { unrestricted, principal: Principal::Holder(key), ..*self }
    }

    /// Returns whether it may run every command.
    #[must_use]
    #[inline]
    pub fn is_unrestricted(&self) -> bool {
        self.unrestricted
    }

    /// Returns whether it is not trusted and has not logged in.
    #[must_use]
    pub fn is_stranger(&self) -> bool {
        matches!(self.principal, Principal::Stranger)
    }

    /// Returns its role; `None` for a stranger. A client that is trusted by address is an admin.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        match &self.principal {
            Principal::Stranger => None,
            Principal::Trusted => Some(Role::Admin),
            Principal::Holder(key) => Some(key.role),
        }
    }

    /// Returns whether it may manage the host and see the other sessions.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.role() == Some(Role::Admin)
    }

    /// Returns the key that it logged in with.
    #[must_use]
    pub fn key(&self) -> Option<&Arc<Key>> {
        match &self.principal {
            Principal::Holder(key) => Some(key),
            Principal::Stranger | Principal::Trusted => None,
        }
    }

    /// Returns whether it may run this command.
    #[must_use]
    pub fn can_run(&self, wanted: RequiredAccess<'_>) -> bool {
        match (&self.principal, wanted.access) {
            (Principal::Trusted, _) | (_, AccessLevel::Anyone) => true,
            (Principal::Stranger, _) => false,
            (Principal::Holder(_), AccessLevel::Known) => true,
            (Principal::Holder(key), AccessLevel::Listed) => key.lists(wanted.name, wanted.plugin),
            (Principal::Holder(key), AccessLevel::Admin) => {
                key.role == Role::Admin && key.lists(wanted.name, wanted.plugin)
            }
        }
    }

    /// Returns the error if it may not run this command. `None` as the argument is a command that
    /// does not exist: only a stranger gets an error for it, which does not reveal that.
    #[must_use]
    pub fn refuse(&self, wanted: Option<RequiredAccess<'_>>) -> Option<Refusal> {
        match (&self.principal, wanted) {
            (Principal::Trusted | Principal::Holder(_), None) => None,
            (_, Some(wanted)) if self.can_run(wanted) => None,
            (Principal::Holder(key), Some(wanted)) => Some(deny(key, wanted)),
            (Principal::Stranger | Principal::Trusted, _) => Some(self.require_login()),
        }
    }

    /// Returns the error if it may not send a key, because others could read it on the way.
    #[must_use]
    pub fn refuse_key(&self) -> Option<Refusal> {
        let message = "a key is accepted over TLS only, since others can read this connection: \
                       connect again with TLS, and have the key that you sent revoked";
        (!self.secret).then(|| Refusal { kind: "ERR", message: message.into() })
    }

    fn require_login(&self) -> Refusal {
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

fn deny(key: &Key, wanted: RequiredAccess<'_>) -> Refusal {
    let RequiredAccess { name, access, .. } = wanted;
    let why = if access == AccessLevel::Admin && key.role != Role::Admin {
        "it takes a key with the role admin".into()
    } else {
        format!("the key is for: {}", key.commands.join(" "))
    };
    let message =
        format!("User {} has no permissions to run the '{name}' command; {why}", key.name);
    Refusal { kind: "NOPERM", message }
}
