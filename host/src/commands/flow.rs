//! The next step of a session after a request.

use auth::identity::Identity;
use plugin_engine::events::{Subscription, Topic};

/// The next step of a session after a request.
pub enum Flow {
    /// It goes on.
    Next,
    /// It goes on, and its subscription to this topic begins, or ends with `None`.
    Subscribe(Topic, Option<Box<Subscription>>),
    /// It goes on with another identity.
    Become(Box<Identity>),
    /// It goes on in its initial state.
    Reset,
    /// It goes on, and queues commands until the transaction ends.
    Queue,
    /// It ends as asked.
    Close,
    /// It ends since the boundaries of its requests are lost.
    Break,
}
