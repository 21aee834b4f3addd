//! The conversation with a host: transport, protocol, session, and signals that interrupt it.

pub mod background;
mod cancel;
pub mod cancel_request;
pub mod codec;
pub mod connection;
mod dial;
pub mod event;
pub mod frame;
pub mod internal_request;
pub mod quoting;
mod reconnect;
pub mod session;
pub mod signals;
mod tls;
pub mod transport;
