//! The subjects that the hosts of a fleet use.

/// The name under which hosts appear as a service of NATS.
pub const SERVICE: &str = "dropin";

/// The queue group of the hosts that answer a command.
pub const GROUP: &str = "hosts";

/// Returns true if a reply may go to this subject. Those of NATS and of fleets may not: whoever asks
/// could otherwise have a host write there with its own permissions.
#[must_use]
pub fn is_reply_subject(subject: &str) -> bool {
    !subject.starts_with('$') && !subject.starts_with("dropin.")
}

/// The subjects of one fleet.
#[derive(Clone, Debug)]
pub struct Subjects {
    fleet: String,
}

impl Subjects {
    /// Makes the subjects of the fleet of this name.
    #[must_use]
    pub fn new(fleet: &str) -> Self {
        Self { fleet: fleet.to_owned() }
    }

    /// Returns true if a fleet may have this name: it is one token of a subject.
    #[must_use]
    pub fn is_fleet_name(name: &str) -> bool {
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=64).contains(&name.len()) && name.bytes().all(is_legal)
    }

    /// Returns the subject on which a command is called.
    #[must_use]
    pub fn call(&self, command: &str) -> String {
        format!("dropin.{}.call.{command}", self.fleet)
    }

    /// Returns the subject of the messages to one host.
    #[must_use]
    pub fn host(&self, id: &str) -> String {
        format!("dropin.{}.host.{id}", self.fleet)
    }

    /// Returns the subject on which all hosts announce themselves.
    #[must_use]
    pub fn alive(&self) -> String {
        format!("dropin.{}.alive", self.fleet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_goes_to_an_inbox() {
        assert!(is_reply_subject("_INBOX.a.1") && is_reply_subject("own.inbox"));
        for subject in ["$JS.API.STREAM.PURGE.x", "$KV.x.y", "dropin.default.alive"] {
            assert!(!is_reply_subject(subject), "{subject}");
        }
    }

    #[test]
    fn a_fleet_name_is_one_token() {
        for name in ["default", "A-1_b", &"x".repeat(64)] {
            assert!(Subjects::is_fleet_name(name), "{name}");
        }
        for name in ["", "a.b", "a b", "*", ">", "ä", &"x".repeat(65)] {
            assert!(!Subjects::is_fleet_name(name), "{name}");
        }
    }
}
