//! The built-in `auth`, which logs a session in with a key.

use std::time::{Duration, Instant};

use auth::identity::{Identity, Refusal};
use plugin_engine::call::Call;
use protocol::Encoder;

use crate::commands::{caller::Caller, flow::Flow};

/// Redis's error for a login while no password is configured.
const NO_KEYS: &str = "AUTH <password> called without any password configured for the default \
user. Are you sure your configuration is correct?";

/// Redis's error for a wrong password, which client libraries recognize.
const WRONG: &str = "invalid username-password pair or user is disabled.";

/// The delay of the reply to a session's first wrong key. Each further one doubles it, up to
/// [`LONGEST_DELAY`].
const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(1);

pub(super) fn run(call: &Call<'_>, caller: &Caller<'_>, reply: &mut Encoder) -> Flow {
    let (first, second) = (call.argument(0).unwrap_or_default(), call.argument(1));
    let outcome = match second {
        Some(key) => login(caller, Some(first), key),
        None => login(caller, None, first),
    };
    match outcome {
        Ok(identity) => {
            reply.ok();
            Flow::Become(Box::new(identity))
        }
        Err(refusal) => {
            reply.error(refusal.kind, refusal.message.as_bytes());
            Flow::Next
        }
    }
}

/// Checks a key, and returns the session's new identity or the error for the client.
pub(super) fn login(
    caller: &Caller<'_>,
    name: Option<&[u8]>,
    key: &[u8],
) -> Result<Identity, Refusal> {
    let keyring = &caller.shared.keyring;
    if let Some(refusal) = caller.identity.refuse_key() {
        return Err(refusal);
    }
    if !caller.identity.is_stranger() && keyring.is_empty() {
        return Err(Refusal { kind: "ERR", message: NO_KEYS.into() });
    }
    // Redis clients send this name if they are configured with a password only.
    let name = name.filter(|name| *name != b"default");
    let text = name.map(std::str::from_utf8);
    let found = match text {
        Some(Err(_)) => None,
        Some(Ok(name)) => keyring.find(Some(name), key),
        None => keyring.find(None, key),
    };
    match found {
        Some(key) => {
            keyring.note_login(caller.session.peer, &key);
            Ok(caller.identity.with(key))
        }
        None => {
            keyring.note_failure(caller.session.peer);
            delay(caller);
            Err(Refusal { kind: "WRONGPASS", message: WRONG.into() })
        }
    }
}

/// Delays this session's reply. The delay ends early at shutdown and when the client is gone.
fn delay(caller: &Caller<'_>) {
    const SLICE: Duration = Duration::from_millis(50);
    let before = caller.session.count_failure().min(16);
    let end = Instant::now() + (FIRST_DELAY * (1 << before)).min(LONGEST_DELAY);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let over = left.is_zero() || caller.shared.shutdown.is_stopping();
        if over || caller.session.wait_until_gone(left.min(SLICE)) {
            return;
        }
    }
}
