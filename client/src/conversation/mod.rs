//! The conversation with a host: connection, protocol, session, and signals that interrupt it.

pub mod cancelling;
pub mod codec;
pub mod connection;
pub mod dial;
pub mod event;
pub mod frame;
pub mod quoting;
pub mod route;
pub mod session;
pub mod signals;
pub mod tls;
